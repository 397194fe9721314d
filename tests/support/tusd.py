"""Upload directories as tusd writes them (its file store), and tus requests without a library."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TUSD_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "ID": str,
    "Size": int,
    "SizeIsDeferred": bool,
    "Offset": int,
    "MetaData": (dict, type(None)),
    "IsPartial": bool,
    "IsFinal": bool,
    "PartialUploads": (list, type(None)),
    "Storage": dict,
}
"""The fields of tusd's FileInfo in Go's order, with what encoding/json takes for each."""


def write_upload(
    directory: Path,
    upload_id: str,
    content: bytes,
    *,
    size: int | None,
    metadata: Mapping[str, str] | None = None,
    partial: bool = False,
    parts: Sequence[str] | None = None,
    named_directory: Path | None = None,
) -> None:
    """Write the two files of an upload, to the letter of Go's encoding/json.

    Args:
        directory: where they are.
        upload_id: may have slashes.
        content: the bytes that have arrived.
        size: None for a deferred length.
        metadata: decoded.
        partial: whether it is a part.
        parts: of a final upload.
        named_directory: where tusd thought they were, if the directory has moved since.
    """
    named = (named_directory or directory) / upload_id
    fields = {
        "ID": upload_id,
        "Size": size or 0,
        "SizeIsDeferred": size is None,
        "Offset": 0,
        "MetaData": dict(sorted((metadata or {}).items())),
        "IsPartial": partial,
        "IsFinal": parts is not None,
        "PartialUploads": parts,
        "Storage": {"InfoPath": f"{named}.info", "Path": str(named), "Type": "filestore"},
    }
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    path = directory / upload_id
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.with_name(path.name + ".info").write_text(text, encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server answered; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def offset(self) -> int:
        """Upload-Offset."""
        return int(self.headers["upload-offset"])


class Client:
    """The few requests that a take-over needs.

    Args:
        url: the creation URL, with a trailing slash.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, method: str, url: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send one request; underscores in names of headers stand for hyphens."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(  # noqa: S310 - loopback only
            self.url(url), method=method, data=body, headers={"Tus-Resumable": "1.0.0", **fields}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310
                return _answer(response.status, response.headers.items(), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.headers.items(), error.read())

    def url(self, name: str) -> str:
        """The URL of an upload; a URL stays what it is."""
        return name if "://" in name else self._url + name

    def create(self, length: int | None, **headers: str) -> str:
        """POST; return the id."""
        known = {"Upload_Defer_Length": "1"} if length is None else {"Upload_Length": str(length)}
        return self._created({**known, **headers})

    def concatenate(self, *parts: str) -> str:
        """POST a final upload; return the id."""
        urls = " ".join(self.url(part) for part in parts)
        return self._created({"Upload_Concat": f"final;{urls}"})

    def _created(self, headers: Mapping[str, str]) -> str:
        answer = self.send("POST", "", b"", **headers)
        assert answer.status == 201, answer
        return answer.headers["location"].removeprefix(self._url)

    def patch(self, name: str, offset: int, body: bytes, **headers: str) -> Answer:
        """PATCH."""
        kind = "application/offset+octet-stream"
        return self.send(
            "PATCH", name, body, Upload_Offset=str(offset), Content_Type=kind, **headers
        )

    def head(self, name: str) -> Answer:
        """HEAD."""
        return self.send("HEAD", name)

    def get(self, name: str) -> Answer:
        """GET."""
        return self.send("GET", name)


def _answer(status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Answer:
    return Answer(
        status=status, headers={name.lower(): value for name, value in headers}, body=body
    )
