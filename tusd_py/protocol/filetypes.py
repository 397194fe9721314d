"""What a file is: as its client declares it, and as its first bytes show it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from .metadata import Metadata

ANYTHING = "application/octet-stream"
ISO_MEDIA = "application/x-iso-media"  # ours: begins like MP4 and its many relations

# Names for the same beginning: a browser takes its name from the extension, and containers are
# told apart by what comes later. A file of these types always begins as its type says.
_FAMILIES = (
    ("image/png", "image/x-png", "image/apng"),
    ("image/jpeg", "image/jpg", "image/pjpeg"),
    ("image/gif",),
    ("image/webp",),
    ("image/bmp", "image/x-ms-bmp", "image/x-bmp", "image/x-windows-bmp"),
    ("image/tiff", "image/x-canon-cr2"),
    ("image/heic", "image/heif", "image/avif", "image/heic-sequence", "image/heif-sequence"),
    ("image/x-icon", "image/vnd.microsoft.icon"),
    ("image/vnd.adobe.photoshop", "image/x-photoshop", "application/x-photoshop"),
    ("application/pdf", "application/x-pdf"),
    ("application/rtf", "text/rtf"),
    ("application/gzip", "application/x-gzip"),
    ("application/x-bzip2", "application/x-bzip"),
    ("application/x-xz",),
    ("application/zstd",),
    ("application/x-7z-compressed",),
    ("application/x-rar-compressed", "application/vnd.rar", "application/x-rar"),
    (
        *("application/zip", "application/x-zip-compressed", "application/epub+zip"),
        *("application/java-archive", "application/vnd.android.package-archive"),
    ),
    (
        *("video/mp4", "audio/mp4", "video/quicktime", "video/x-m4v", "audio/x-m4a", "audio/m4a"),
        *("video/3gpp", "audio/3gpp", "video/3gpp2", "audio/3gpp2"),
    ),
    (
        *("video/webm", "audio/webm", "video/x-matroska", "audio/x-matroska"),
        *("video/matroska", "audio/matroska"),
    ),
    ("audio/ogg", "video/ogg", "application/ogg", "audio/opus", "audio/vorbis"),
    ("audio/flac", "audio/x-flac"),
    ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave", "audio/x-pn-wav"),
    ("video/x-msvideo", "video/avi", "video/msvideo", "video/vnd.avi"),
    ("video/x-ms-wmv", "audio/x-ms-wma", "video/x-ms-asf"),
    ("video/x-flv",),
)
# The same, but what is not recognised may be one of them all the same.
_LAX_FAMILIES = (
    ("audio/mpeg", "audio/mp3", "audio/x-mp3", "audio/mpeg3"),
    ("audio/aac", "audio/aacp", "audio/x-aac"),
    ("audio/midi", "audio/x-midi"),
    ("application/x-tar", "application/tar"),
    ("application/x-msdownload", "application/vnd.microsoft.portable-executable"),
)
_FIRST_OF = {name: names[0] for names in (*_FAMILIES, *_LAX_FAMILIES) for name in names}
_ALWAYS_SHOWS = frozenset(names[0] for names in _FAMILIES)
_IN_ZIP = ("application/vnd.openxmlformats-", "application/vnd.oasis.opendocument.")


def declared_type(metadata: Metadata) -> str | None:
    """Return the type that the client declares as ``filetype``, without its parameters."""
    text = metadata.text("filetype")
    return None if text is None else text.partition(";")[0].strip().lower() or None


def has_extension(metadata: Metadata, extensions: Sequence[str]) -> bool:
    """Whether the ``filename`` ends in one of these, such as ``tar.gz``."""
    name = (metadata.text("filename") or "").lower()
    return any(name.endswith(f".{extension}") for extension in extensions)


def is_one_of(media_type: str, globs: Sequence[str]) -> bool:
    """Whether the type matches one of the globs, such as ``video/*``."""
    return any(_pattern(glob).fullmatch(media_type) for glob in globs)


def is_plausible(found: str | None, declared: str) -> bool:
    """Whether a file may be what was declared, when its first bytes look like `found`.

    Args:
        found: None if they look like nothing that is known, as text does.
        declared: in lower case, without parameters.
    """
    if declared == ANYTHING:
        return True
    family = _family(declared)
    if found is None:
        return family not in _ALWAYS_SHOWS
    if found == ISO_MEDIA:
        return family in (_family("video/mp4"), _family("image/heic"))
    return _family(found) == family


def _family(media_type: str) -> str:
    if media_type.startswith(_IN_ZIP):
        return "application/zip"
    return _FIRST_OF.get(media_type, media_type)


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(piece) for piece in glob.lower().split("*")))
