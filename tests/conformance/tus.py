"""The server under test, and the requests of tus 1.0.0 to it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urljoin

import pytest

from .wire import (
    CLIENT_ERROR,
    SUCCESS,
    Body,
    Connection,
    Field,
    Request,
    Response,
    WireError,
    exchange,
)

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = "1.0.0"
UPLOAD_TYPE = "application/offset+octet-stream"
POLL_S = 0.05
SETTLE_S = 5.0
NO_CONTENT = 204
PASSING = frozenset({409, 423, 429})  # errors which may be gone a moment later

# A field given with None takes a default field out of the request.
GivenField = tuple[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What the server's answer to OPTIONS announces."""

    versions: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()
    max_size: int | None = None  # None: the server announces no limit


def parse_announced(answer: Response) -> Announced:
    """Read what an answer to OPTIONS announces."""
    max_size = answer.get("Tus-Max-Size") or ""
    return Announced(
        versions=answer.items("Tus-Version"),
        extensions=answer.items("Tus-Extension"),
        algorithms=answer.items("Tus-Checksum-Algorithm"),
        max_size=int(max_size) if is_number(max_size) else None,
    )


def is_number(text: str) -> bool:
    """Tell whether a header value is a non-negative integer."""
    return re.fullmatch(r"[0-9]+", text) is not None


def merge_fields(defaults: tuple[Field, ...], given: tuple[GivenField, ...]) -> tuple[Field, ...]:
    """Return the given fields and those defaults whose names are not among the given."""
    names = {name.lower() for name, _ in given}
    kept = tuple(field for field in defaults if field[0].lower() not in names)
    return kept + tuple((name, value) for name, value in given if value is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tus:
    """The server under test.

    Methods named after HTTP methods send one request and return whatever is answered.
    The other methods bring a test to its starting point; where that fails, the test does not
    count, because the rule which was broken has a test of its own.
    """

    url: str
    fields: tuple[Field, ...] = ()
    announced: Announced = Announced()
    strict: bool = False  # a starting point which cannot be reached is a failure

    def request(self, method: str, url: str, *given: GivenField, body: Body = None) -> Request:
        """Build a request with Tus-Resumable and the fields the user wants on each request."""
        version = () if method == "OPTIONS" else (("Tus-Resumable", VERSION),)
        fields = merge_fields((*version, *self.fields), given)
        return Request(method=method, url=url, fields=fields, body=body)

    def send(self, method: str, url: str, *given: GivenField, body: Body = None) -> Response:
        """Send one request on a connection of its own."""
        return exchange(self.request(method, url, *given, body=body))

    def options(self, url: str = "", *given: GivenField) -> Response:
        """Ask what the server can do."""
        return self.send("OPTIONS", url or self.url, *given)

    def post(self, *given: GivenField, body: Body = b"") -> Response:
        """Send a POST to the creation URL."""
        return self.send("POST", self.url, *given, body=body)

    def create(self, length: int, *given: GivenField) -> Response:
        """Create an upload of a known length."""
        return self.post(*merge_given(("Upload-Length", str(length)), given))

    def create_with_body(self, length: int, body: Body, *given: GivenField) -> Response:
        """Create an upload of a known length with a body."""
        return self.post(("Upload-Length", str(length)), *given, body=body)

    def head(self, url: str, *given: GivenField) -> Response:
        """Ask for the state of an upload."""
        return self.send("HEAD", url, *given)

    def patch_request(
        self, url: str, offset: int | str, *given: GivenField, body: Body = b""
    ) -> Request:
        """Build a PATCH at an offset."""
        defaults: tuple[GivenField, ...] = (
            ("Content-Type", UPLOAD_TYPE),
            ("Upload-Offset", str(offset)),
        )
        names = {name.lower() for name, _ in given}
        kept = tuple(field for field in defaults if field[0].lower() not in names)
        return self.request("PATCH", url, *kept, *given, body=body)

    def patch(self, url: str, offset: int | str, body: Body = b"", *given: GivenField) -> Response:
        """Append bytes at an offset."""
        return exchange(self.patch_request(url, offset, *given, body=body))

    def delete(self, url: str, *given: GivenField) -> Response:
        """Terminate an upload."""
        return self.send("DELETE", url, *given)

    def need(self, *extensions: str) -> None:
        """Skip the test unless the server announces these extensions."""
        for extension in extensions:
            if extension not in self.announced.extensions:
                pytest.skip(f"server does not announce {extension}")

    def upload(self, length: int, *given: GivenField, data: bytes = b"") -> str:
        """Create an upload, append bytes to it and return its URL."""
        self.need("creation")
        return self._started(self.create(length, *given), data)

    def deferred(self, *given: GivenField, data: bytes = b"") -> str:
        """Create an upload of unknown length, append bytes to it and return its URL."""
        self.need("creation", "creation-defer-length")
        return self._started(self.post(("Upload-Defer-Length", "1"), *given), data)

    def partial(self, data: bytes, *given: GivenField) -> str:
        """Create a finished partial upload and return its URL."""
        self.need("creation", "concatenation")
        concat = ("Upload-Concat", "partial")
        return self._started(self.create(len(data), concat, *given), data)

    def state(self, url: str) -> Response:
        """Ask for the state of an upload where HEAD is only a means."""
        answer = self._known(self.head(url))
        if not is_number(answer.get("Upload-Offset") or ""):
            self.unmet("HEAD does not tell the offset this test needs (row 9)", answer)
        return answer

    def location(self, answer: Response) -> str:
        """Return the URL of the upload an answer to POST tells of."""
        value = answer.get("Location")
        if answer.status not in SUCCESS or not value:
            self.unmet("cannot create the upload this test needs (rows 35, 51)", answer)
        return urljoin(self.url, value)

    def unknown(self) -> str:
        """Return the URL of an upload that does not exist, shaped like one that does."""
        if "creation" not in self.announced.extensions:
            return urljoin(self.url.rstrip("/") + "/", "0123456789abcdef0123456789abcdef")
        return alter_id(self.upload(1))

    def wait_head(self, url: str, ready: Callable[[Response], bool]) -> Response:
        """Return the first answer to HEAD that is ready, or one that will not get better."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            answer = self.head(url)
            lasting = answer.status in CLIENT_ERROR and answer.status not in PASSING
            if ready(answer) or lasting or time.monotonic() >= deadline:
                return answer
            time.sleep(POLL_S)

    def wait_state(self, url: str, ready: Callable[[Response], bool]) -> Response:
        """Return the state of an upload once it is ready, or as it is after SETTLE_S."""
        return self._known(self.wait_head(url, ready))

    def cut_patch(self, request: Request, sent: bytes, pause_s: float = 0.0) -> None:
        """Send the head of a PATCH and a piece of its body, then end the connection.

        A server may take bytes well before a cut and drop those which come along with it.
        Nothing tells a client when bytes have been taken, so the pause between is a guess.
        """
        with Connection(request.url) as connection:
            connection.send_head(request)
            connection.send(sent)
            time.sleep(pause_s)
            connection.cut()

    def unmet(self, what: str, answer: Response) -> NoReturn:
        """End a test whose starting point cannot be reached."""
        text = f"not tested: {what}: answered {answer.status}"
        if self.strict:
            pytest.fail(f"{text}\n{answer.transcript()}", pytrace=False)
        pytest.skip(text)

    def _known(self, answer: Response) -> Response:
        if answer.status not in SUCCESS:
            self.unmet("HEAD does not tell the state this test needs (row 12)", answer)
        return answer

    def _started(self, created: Response, data: bytes) -> str:
        url = self.location(created)
        if data:
            answer = self.patch(url, 0, data)
            if answer.status != NO_CONTENT:
                self.unmet("cannot append the bytes this test needs (row 18)", answer)
        return url


def merge_given(default: GivenField, given: tuple[GivenField, ...]) -> tuple[GivenField, ...]:
    """Return the given fields after a default, unless they have one of its name."""
    if default[0].lower() in {name.lower() for name, _ in given}:
        return given
    return (default, *given)


def alter_id(url: str) -> str:
    """Return the URL with its last twelve letters and digits changed within their kind."""
    altered = list(url)
    places = [at for at, letter in enumerate(url) if letter.isascii() and letter.isalnum()]
    for at in places[-12:]:
        altered[at] = other_letter(altered[at])
    return "".join(altered)


def other_letter(letter: str) -> str:
    """Return another letter of the same kind: digit, hexadecimal, small or capital."""
    for kind in ("0123456789", "abcdef", "ghijklmnopqrstuvwxyz", "ABCDEF", "GHIJKLMNOPQRSTUVWXYZ"):
        if letter in kind:
            return kind[(kind.index(letter) + 1) % len(kind)]
    return letter


def discover(url: str, fields: tuple[Field, ...], *, strict: bool) -> Tus:
    """Ask a server what it can do; one that gives no good answer announces nothing."""
    server = Tus(url=url, fields=fields, strict=strict)
    try:
        announced = parse_announced(server.options())
    except WireError as error:
        pytest.exit(f"no tus server answers at {url}: {error}", returncode=2)
    return Tus(url=url, fields=fields, announced=announced, strict=strict)
