"""Writes the reference pages that come from the code: ``python docs/generate.py``.

A test checks that the pages in the repository are what this writes.
"""

from __future__ import annotations

import enum
import inspect
import json
import typing
from collections.abc import Iterator
from pathlib import Path

import click
from aiohttp import web
from pydantic.fields import FieldInfo

from tusd_py import Settings
from tusd_py.cli import program
from tusd_py.config import ENV_PREFIX
from tusd_py.data.disk import WAITING_BYTES, WRITE_BYTES
from tusd_py.hooks.http import CONNECTIONS
from tusd_py.offsets.turns import MOST_WAITING
from tusd_py.protocol import errors
from tusd_py.protocol.metadata import MAX_HEADER_BYTES, MAX_KEYS
from tusd_py.protocol.model import LARGEST_SIZE, MAX_ID_LENGTH
from tusd_py.service.intake import WHOLE_BYTES
from tusd_py.service.progress import MOST_TASKS
from tusd_py.telemetry.catalogue import CATALOGUE
from tusd_py.telemetry.cells import Kind, Metric
from tusd_py.telemetry.logs import QUEUE_LINES
from tusd_py.web.admin.openapi import describe_api
from tusd_py.web.body import LINGER_BYTES, LINGER_S
from tusd_py.web.connection import FRAMING_BYTES
from tusd_py.web.status import MOST_STREAMS
from tusd_py.web.trailers import MAX_TRAILER_BYTES

MOST_VALUES_SHOWN = 12
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


def limits_page() -> str:
    """Return the page of everything that is bounded."""
    lines = [
        "# Limits",
        "",
        "Nothing that a client sends makes the server keep, do or wait for more than this.",
        "What has a setting can be changed; the rest is part of the program.",
        "The numbers are those of the code: this page is made from it.",
    ]
    for title, rows in _limits().items():
        lines += ["", f"## {title}", ""]
        lines += ["| what | limit | setting | beyond it |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _limits() -> dict[str, list[tuple[str, str, str, str]]]:
    http = inspect.signature(web.RequestHandler.__init__).parameters
    bad = _answer(errors.BadRequest)
    locked = _answer(errors.UploadLocked)
    busy = _answer(errors.TooManyConnections)
    broken = _answer(errors.InvalidBody)
    metadata = _answer(errors.InvalidMetadata)
    too_large = _answer(errors.MaxSizeExceeded)
    lingering = f"{_bytes(LINGER_BYTES)}, {LINGER_S:g} s"
    waiting = f"about {_bytes(WAITING_BYTES)}"
    return {
        "Heads": [
            ("request line", _bytes(http["max_line_size"].default), "", bad),
            ("one header field", _bytes(http["max_field_size"].default), "", bad),
            ("header fields", str(http["max_headers"].default), "", bad),
            ("Upload-Metadata", _bytes(MAX_HEADER_BYTES), "", metadata),
            ("keys of Upload-Metadata", str(MAX_KEYS), "", metadata),
            ("an upload's id", f"{MAX_ID_LENGTH} characters", "", _answer(errors.UploadNotFound)),
            *_limit("max_parts", "parts of a concatenation", errors.InvalidConcat),
            *_limit("network_timeout", "time for a head to come, idle ones too", "closed"),
        ],
        "Bodies": [
            *_limit("max_size", "an upload", errors.MaxSizeExceeded),
            ("an upload, whatever the setting", _bytes(LARGEST_SIZE), "", too_large),
            *_limit("network_timeout", "silence within a body", errors.ReadTimeout),
            *_limit(
                "upload_max_bytes_per_second",
                "bytes a second of an upload, at most",
                "the client waits",
            ),
            *_limit("owner_max_bytes_per_second", "of an owner's bodies", "the client waits"),
            *_limit("max_bytes_per_second", "of all bodies", "the client waits"),
            *_limit("min_body_rate", "bytes a second, at least", errors.ReadTimeout),
            (
                "framing of chunks",
                f"{_bytes(FRAMING_BYTES)} and a quarter of what it frames",
                "",
                broken,
            ),
            ("trailer fields, together", _bytes(MAX_TRAILER_BYTES), "", broken),
            ("of a refused body, read and dropped", lingering, "", "closed"),
        ],
        "Uploads": [
            *_limit("max_open_uploads", "unfinished ones of the server", errors.TooManyUploads),
            *_limit("owner_max_open_uploads", "of an owner", errors.TooManyUploads),
            *_limit("max_total_bytes", "bytes of all of them", errors.InsufficientStorage),
            *_limit("owner_max_total_bytes", "of an owner", errors.QuotaExceeded),
            *_limit("max_uploads_per_minute", "new ones a minute", errors.TooManyCreations),
            *_limit("owner_max_uploads_per_minute", "of an owner", errors.TooManyCreations),
            *_limit("min_free_space", "bytes free on the volume", errors.InsufficientStorage),
        ],
        "Memory": [
            ("a small upload that comes with its creation", _bytes(WHOLE_BYTES), "", "streamed"),
            ("a body on its way to the disk", _bytes(WRITE_BYTES), "", "the client waits"),
            ("all bodies on their way to the disk", waiting, "", "smaller steps"),
            ("lines of the log that wait to be written", str(QUEUE_LINES), "", "dropped"),
        ],
        "At once": [
            (
                "connections of a worker",
                "a third of the files it may open",
                "`--max-connections`",
                _answer(errors.TooManyConnections),
            ),
            *_limit("max_connections_per_address", "with one address", errors.TooManyConnections),
            ("streams of the status of an upload", str(MOST_STREAMS), "", busy),
            ("requests that wait for one upload", str(MOST_WAITING), "", locked),
            *_limit("acquire_lock_timeout", "time that they wait", errors.UploadLocked),
            *_limit("shutdown_timeout", "time to end, at SIGTERM", errors.ServerShutdown),
        ],
        "Hooks": [
            *_limit("hooks_http_size_limit", "bytes of a reply", errors.InternalError),
            *_limit("hooks_http_timeout", "time of all attempts", errors.HookUnavailable),
            ("connections to the endpoint", str(CONNECTIONS), "", "wait"),
            *_limit("hooks_command_timeout", "time of a command", errors.HookUnavailable),
            *_limit("hooks_command_limit", "commands at once", errors.HookUnavailable),
            ("bodies that post-receive is told of at once", str(MOST_TASKS), "", "not told"),
        ],
    }


def _limit(
    name: str, what: str, beyond: type[errors.TusError] | str
) -> Iterator[tuple[str, str, str, str]]:
    value = Settings.model_fields[name].default
    shown = f"{value:g} s" if isinstance(value, float) else str(int(value or 0) or "none")
    answer = beyond if isinstance(beyond, str) else _answer(beyond)
    yield what, shown, f"`--{name.replace('_', '-')}`", answer


def _answer(error: type[errors.TusError]) -> str:
    return f"{error.status} `{error.code}`"


def _bytes(count: int) -> str:
    for unit, size in (("MiB", 1024**2), ("KiB", 1024)):
        if count % size == 0:
            return f"{count // size} {unit}"
    return f"{count} bytes"


def command_line_page() -> str:
    """Return the page of all commands, with what each takes beside the settings."""
    lines = [
        "# Command line",
        "",
        (
            "Every command but a group takes the [settings](settings.md) as options, and finds them"
            " in the environment and in the file of `--config`, too; give all of them those of the"
            " server."
        ),
        "A mistake is one sentence and exit code 2; what cannot be done is exit code 1.",
        "To upload a file from a terminal, use tuspy or another tus client.",
    ]
    for name, found in _commands(program, "tusd-py"):
        lines += ["", f"## {name}", "", str(found.help)]
        own = [one for one in found.params if one.name not in {*Settings.model_fields, "config"}]
        rows = [f"| {_usage(one)} | {getattr(one, 'help', None) or ''} |" for one in own]
        if rows:
            lines += ["", "| takes | what it does |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    for key, found in group.commands.items():
        if isinstance(found, click.Group):
            yield from _commands(found, f"{name} {key}")
        else:
            yield f"{name} {key}", found


def _usage(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return f"`{parameter.make_metavar(click.Context(program))}`"
    kind = parameter.type
    value = ""
    if isinstance(kind, click.Choice):
        value = f" {'&#124;'.join(str(choice) for choice in kind.choices)}"
    elif not getattr(parameter, "is_flag", False):
        value = " VALUE"
    return f"`{parameter.opts[0]}`{value}"


def openapi_page() -> str:
    """Return the description of the API of operators."""
    return json.dumps(describe_api(), indent=1) + "\n"


def metrics_page() -> str:
    """Return the page of all metrics."""
    lines = [
        "# Metrics",
        "",
        (
            "What `/metrics` of the admin listener shows; [Monitor](../howto/monitor.md) tells how"
            " to get there."
        ),
        "The names that tusd has come first; a scrape of tusd goes on with them.",
        (
            "No label is taken from a client: a method or a code that is not known beforehand is"
            " `other`."
        ),
        (
            "With `--workers` the numbers are those of all workers, whichever of them is asked;"
            " what a worker that died had counted stays counted."
        ),
        (
            "With one worker there are also `process_...` metrics: memory, CPU, open files, start"
            " time."
        ),
    ]
    for title, prefix in (("As tusd has them", "tusd_"), ("Ours", "tusd_py_")):
        ours = prefix == "tusd_py_"
        lines += ["", f"## {title}", "", "| name | type | labels | what |", "|---|---|---|---|"]
        for metric in CATALOGUE:
            if metric.name.startswith("tusd_py_") is not ours:
                continue
            labels = ", ".join(_label(metric, n) for n in range(len(metric.labels)))
            kind = "gauge" if metric.kind is Kind.SHARED else metric.kind.value
            if metric.kind is Kind.COUNTER and not metric.name.endswith("_total"):
                kind = "counter, shown untyped"
            lines.append(f"| `{metric.name}` | {kind} | {labels} | {metric.text} |")
    return "\n".join(lines) + "\n"


def _label(metric: Metric, n: int) -> str:
    name, values = metric.labels[n], list(dict.fromkeys(child[n] for child in metric.children))
    many = len(values) > MOST_VALUES_SHOWN
    return f"`{name}`" + ("" if many else f" ({', '.join(values)})")


PAGES: typing.Final = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "limits.md": limits_page,
    "metrics.md": metrics_page,
    "command-line.md": command_line_page,
    "openapi.json": openapi_page,
}


if __name__ == "__main__":
    for file, page in PAGES.items():
        (REFERENCE / file).write_text(page())
