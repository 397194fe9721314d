"""Which files are taken: by what clients declare, then by the first bytes, read once."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..interfaces import SHOWN_BYTES, Body, BodyEnd, Chunk, DataStore
from ..protocol.errors import FileTypeNotAllowed
from ..protocol.filetypes import declared_type, has_extension, is_one_of, is_plausible
from ..protocol.model import Partial, Upload, Whole

# Enough to tell the documents that are zip archives from each other.
SNIFF_BYTES = SHOWN_BYTES
_MOST_NAMED = 10
# Python's own table: what else is installed on a machine must not matter.
_NAMES = mimetypes.MimeTypes()


def recognise_nothing(head: bytes) -> str | None:
    """Take the client's word for everything."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRules:
    """What the server takes from anybody.

    Attributes:
        types: globs such as ``video/*``; None: all.
        extensions: such as ``mp4`` or ``tar.gz``, in lower case; None: all.
        sniff: tells the type from the first bytes; None: they look like nothing known.
    """

    types: tuple[str, ...] | None = None
    extensions: tuple[str, ...] | None = None
    sniff: Callable[[bytes], str | None] = recognise_nothing


class FileTypes:
    """Refuses what is not to be taken; it costs nothing where everything is.

    Parts of a file are not looked into, but the final upload is, before they are joined.
    """

    def __init__(self, rules: FileRules, data: DataStore) -> None:
        self._rules = rules
        self._data = data

    def check_declared(self, upload: Upload) -> None:
        """Check what the client says of a file that is about to be created.

        Raises:
            FileTypeNotAllowed
        """
        declared = declared_type(upload.metadata)
        silent = isinstance(upload.kind, Partial)  # whoever joins the parts will say it
        for globs in self._globs(upload):
            if declared is None and silent:
                continue
            if declared is None or not is_one_of(declared, globs):
                raise _not_one_of(globs, "Upload-Metadata must have a filetype that is accepted")
        extensions = self._rules.extensions
        if extensions is None or (silent and "filename" not in upload.metadata.pairs):
            return
        if not has_extension(upload.metadata, extensions):
            raise _not_one_of(extensions, "the filename must have an extension that is accepted")

    def check_whole(self, upload: Upload, content: bytes) -> None:
        """Check all the bytes of a small upload.

        Raises:
            FileTypeNotAllowed
        """
        if content and len(content) == upload.length and self._looks_into(upload):
            self._judge(upload, content[:SNIFF_BYTES], enough=True)

    async def check_stored(self, upload: Upload) -> None:
        """Check a complete upload that was too small to be judged while it came.

        Raises:
            FileTypeNotAllowed
        """
        if self._looks_into(upload) and 0 < upload.offset < SNIFF_BYTES:
            self._judge(upload, await self._head_of([upload]), enough=True)

    async def check_joined(self, final: Upload, parts: Sequence[Upload]) -> None:
        """Check what a final upload will begin with.

        Raises:
            FileTypeNotAllowed
        """
        if self._is_restricted(final) and (head := await self._head_of(parts)):
            self._judge(final, head, enough=True)

    async def watch(self, upload: Upload, body: Body) -> Body:
        """Return the body, so that reading it checks the first bytes of the upload.

        They are checked once enough of them are there; a body that ends before is refused
        only if it is clear already. Reading may then raise `FileTypeNotAllowed`.
        """
        if not self._looks_into(upload) or upload.offset >= SNIFF_BYTES:
            return body
        head = await self._head_of([upload]) if upload.offset else b""
        return _Watched(body, head, lambda head, enough: self._judge(upload, head, enough=enough))

    def _globs(self, upload: Upload) -> Iterator[tuple[str, ...]]:
        for globs in (self._rules.types, upload.types):
            if globs is not None:
                yield globs

    def _is_restricted(self, upload: Upload) -> bool:
        rules = self._rules
        return not (rules.types is rules.extensions is upload.types is None)

    def _looks_into(self, upload: Upload) -> bool:
        return self._is_restricted(upload) and isinstance(upload.kind, Whole)

    def _judge(self, upload: Upload, head: bytes, *, enough: bool) -> None:
        found = self._rules.sniff(head)
        if found is None and not enough:
            return
        if any(not is_plausible(found, expected) for expected in self._expected(upload)) and not (
            found is not None and self._takes(upload, found)
        ):
            raise FileTypeNotAllowed("the file is not what its name and filetype say")

    def _expected(self, upload: Upload) -> Iterator[str]:
        """Iterate over what the file should be, going by what the rules go by."""
        declared = declared_type(upload.metadata)
        if declared is not None and any(self._globs(upload)):
            yield declared
        if self._rules.extensions is not None:
            name = upload.metadata.text("filename") or ""
            by_name, encoding = _NAMES.guess_type(f"file:///{name.rpartition('/')[2]}")
            if by_name is not None and encoding is None:
                yield by_name

    def _takes(self, upload: Upload, found: str) -> bool:
        """Whether a file of that type would be taken under its right name, too."""
        globs = list(self._globs(upload))
        return bool(globs) and all(is_one_of(found, each) for each in globs)

    async def _head_of(self, uploads: Sequence[Upload]) -> bytes:
        head = b""
        for upload in uploads:
            stop = min(upload.offset, SNIFF_BYTES - len(head))
            async for chunk in self._data.read(upload, 0, stop):
                head += chunk
            if len(head) >= SNIFF_BYTES:
                break
        return head


class _Watched:
    """Implements `Body`: has the first bytes judged as soon as they are there."""

    def __init__(self, body: Body, head: bytes, judge: Callable[[bytes, bool], None]) -> None:
        self._body = body
        self._head: bytes | None = head
        self._judge = judge

    @property
    def end(self) -> BodyEnd | None:
        return self._body.end

    async def read(self) -> Chunk:
        chunk = await self._body.read()
        if self._head is not None:
            assert isinstance(chunk, bytes)  # so many of them are shown
            self._head += chunk[: SNIFF_BYTES - len(self._head)]
            enough = len(self._head) >= SNIFF_BYTES
            if enough or not chunk:
                head, self._head = self._head, None
                self._judge(head, enough)
        return chunk

    def stop(self, why: BodyEnd) -> None:
        self._body.stop(why)

    def in_pieces(self) -> None:
        self._body.in_pieces()

    def trailers(self) -> Mapping[str, str] | None:
        return self._body.trailers()


def _not_one_of(accepted: Sequence[str], sentence: str) -> FileTypeNotAllowed:
    named = ", ".join(accepted[:_MOST_NAMED]) or "none"
    more = ", ..." if len(accepted) > _MOST_NAMED else ""
    return FileTypeNotAllowed(f"{sentence}: {named}{more}")
