"""Writes the reference pages that come from the code: ``python docs/generate.py``.

A test checks that the pages in the repository are what this writes.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from tusd_py import Settings
from tusd_py.config import ENV_PREFIX
from tusd_py.protocol import errors

REFERENCE = Path(__file__).parent / "reference"


def settings_page() -> str:
    """Return the page of all settings, grouped as in the table."""
    lines = [
        "# Settings",
        "",
        (
            "Every setting is a flag of `tusd-py serve`, an environment variable and a key of the"
            " TOML file that `--config` (or `TUSD_PY_CONFIG`) names."
        ),
        "Flags go before the environment, that goes before the file.",
        (
            "Durations are written `90s`, `1m30s`, `24h` or as plain seconds; sizes as bytes or"
            " with a unit, `10GiB`."
        ),
        "A switch is turned off with `--no-...`, or with `false`.",
    ]
    for name, field in Settings.model_fields.items():
        if field.title is not None:
            lines += ["", f"## {field.title}", ""]
            lines += ["| flag, key | environment | default | what it does |", "|---|---|---|---|"]
        flag = name.replace("_", "-")
        default = _default(name, field)
        # A secret among the arguments of a program can be read by everybody on the machine.
        shown = f"`{flag}`" if field.json_schema_extra == {"flag": False} else f"`--{flag}`"
        lines.append(
            f"| {shown} | `{ENV_PREFIX}{name.upper()}` | {default} | {field.description} |"
        )
    return "\n".join(lines) + "\n"


def _default(name: str, field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, enum.Enum):
        value = value.value
    if value in (None, ()):
        return ""
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value:o}`" if name.endswith("_perms") else f"`{value}`"


def errors_page() -> str:
    """Return the page of all errors a client can see."""
    lines = [
        "# Errors",
        "",
        "The body of an error is one line of plain text, `CODE: sentence`; a HEAD has no body.",
        "tus-js-client gives up for good on every 4xx but 409 and 423, and tries the others again.",
        (
            "On HEAD whatever would be a 5xx is a 423, because that client starts over from byte 0"
            " after a 5xx there."
        ),
        "",
        "| status | code | meaning |",
        "|---|---|---|",
    ]
    for error in sorted(_errors(), key=lambda e: (e.status, e.code)):
        meaning = (error.__doc__ or "").splitlines()[0]
        lines.append(f"| {error.status} | `{error.code}` | {meaning} |")
    return "\n".join(lines) + "\n"


def _errors() -> Iterator[type[errors.TusError]]:
    internal = {errors.TusError, errors.UploadExists}
    for value in vars(errors).values():
        is_error = isinstance(value, type) and issubclass(value, errors.TusError)
        if is_error and value not in internal:
            yield value


PAGES: typing.Final = {"settings.md": settings_page, "errors.md": errors_page}


if __name__ == "__main__":
    for file, page in PAGES.items():
        (REFERENCE / file).write_text(page())
