"""Names for finished files: a template of the operator's, filled with what others say, made safe.

What fills the template comes from clients, tokens and hooks. Whatever they say, a value never
makes a folder, leaves one, hides a file, reverses how a name reads or overwrites another one.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from .model import Upload

# Most file systems take 255 bytes; this leaves room for what makes a name unique.
MAX_NAME_BYTES = 200
# Of one name, before it gets the id.
MOST_NUMBERED = 99

_FIELD = re.compile(r"\{([a-z]+)\}")
_TEMPLATE = re.compile(r"(?:\{[a-z]+\}|[^{}\\\x00-\x1f\x7f])+")
_EXTENSION = re.compile(r"[a-z0-9]{1,16}")
# Windows and shares of it refuse these; the slash is the one that matters everywhere.
_SEPARATORS = re.compile(r'[/\\:*?"<>|]')
# Controls, formatting (it reverses the direction of text, or cannot be seen), lines, surrogates.
_UNWANTED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)
_ANYBODY = "_"
_NAMELESS = "unnamed"


@dataclass(frozen=True, slots=True)
class Template:
    """A template that `parse_template` has accepted."""

    segments: tuple[str, ...]


def parse_template(text: str) -> Template:
    """Parse a relative path with fields such as ``{owner}/{date}/{id}-{filename}``.

    Raises:
        ValueError: it leads elsewhere, or has a field that there is not.
    """
    segments = tuple(text.split("/"))
    if not all(map(_TEMPLATE.fullmatch, segments)):
        raise ValueError("must be a relative path with fields in braces")
    if any(segment.startswith((".", " ")) or segment.endswith((".", " ")) for segment in segments):
        raise ValueError("must have no name that begins or ends with a dot or a blank")
    for field in _FIELD.findall(text):
        if field not in _VALUES:
            raise ValueError(f"has no {{{field}}}; there are {', '.join(_VALUES)}")
    return Template(segments)


def place_name(template: Template, upload: Upload, at: float) -> str:
    """Return the path, below where files are placed, for an upload that is finished at that time.

    Args:
        template: of the path.
        upload: what is to be placed.
        at: seconds since the epoch; the day is that of UTC.
    """
    values = {field: value(upload, at) for field, value in _VALUES.items()}
    return "/".join(_filled(segment, values) for segment in template.segments)


def candidate_names(name: str, upload: Upload) -> Iterator[str]:
    """Yield the last segment of a path, then what it may be instead if that is taken.

    The last one has the id, which nobody else has.
    """
    stem, dot, extension = name.rpartition(".")
    if not (dot and stem and _EXTENSION.fullmatch(extension.lower())):
        stem, dot, extension = name, "", ""
    yield name
    for number in range(1, MOST_NUMBERED + 1):
        yield f"{stem}-{number}{dot}{extension}"
    yield f"{stem}-{_short_id(upload)}{dot}{extension}"


def safe_name(text: str) -> str:
    """Return the text as a part of a name; it may be empty."""
    composed = unicodedata.normalize("NFC", text)
    visible = "".join(c for c in composed if unicodedata.category(c) not in _UNWANTED)
    return _SEPARATORS.sub("_", visible).strip().lstrip(".").rstrip(". ").strip()


def _filled(segment: str, values: Mapping[str, str]) -> str:
    # One pass: what a value says in braces is not filled in.
    filled = safe_name(_FIELD.sub(lambda field: values[field[1]], segment))
    if _RESERVED.fullmatch(filled):
        filled = f"_{filled}"
    return _shortened(filled) or _NAMELESS


def _shortened(name: str) -> str:
    """Return the name with at most so many bytes in UTF-8, and its extension kept."""
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not (dot and _EXTENSION.fullmatch(extension.lower())):
        stem, dot, extension = name, "", ""
    room = MAX_NAME_BYTES - len(dot + extension)
    return stem.encode()[:room].decode(errors="ignore").rstrip(". ") + dot + extension


def _short_id(upload: Upload) -> str:
    """Return the id, which a hook may have made long or given folders."""
    if len(upload.id) <= 40 and safe_name(upload.id) == upload.id:
        return upload.id
    return hashlib.sha256(upload.id.encode()).hexdigest()[:32]


def _owner(upload: Upload, at: float) -> str:
    """Return the owner so that no two owners share a folder, however they are spelled."""
    owner = upload.owner
    if owner is None:
        return _ANYBODY
    name = _shortened(safe_name(owner))
    if name == owner and not name.startswith("_") and "~" not in name:
        return name
    raw = owner.encode(errors="surrogatepass")
    return f"{name[:40]}~{hashlib.sha256(raw).hexdigest()[:16]}"


def _filename(upload: Upload, at: float) -> str:
    told = upload.metadata.text("filename") or upload.metadata.text("name") or ""
    return safe_name(told.replace("\\", "/").rpartition("/")[2]) or _NAMELESS


def _extension(upload: Upload, at: float) -> str:
    stem, _, extension = _filename(upload, at).lower().rpartition(".")
    return extension if stem and _EXTENSION.fullmatch(extension) else ""


def _day(form: str) -> Callable[[Upload, float], str]:
    def format_day(upload: Upload, at: float) -> str:
        return datetime.fromtimestamp(at, UTC).strftime(form)

    return format_day


def _id(upload: Upload, at: float) -> str:
    return upload.id


_VALUES: Mapping[str, Callable[[Upload, float], str]] = {
    "owner": _owner,
    "date": _day("%Y-%m-%d"),
    "year": _day("%Y"),
    "month": _day("%m"),
    "day": _day("%d"),
    "id": _id,
    "filename": _filename,
    "ext": _extension,
}
