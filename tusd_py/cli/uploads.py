"""``tusd-py ls``, ``show``, ``rm`` and ``expire``: the uploads, beside servers that run."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import get_args

import click
from pydantic import TypeAdapter, ValidationError

from ..config import Settings
from ..config.kinds import Seconds
from ..protocol.errors import TusError
from ..protocol.model import UploadId, parse_upload_id
from ..service.administration import Administration, Filter
from ..service.status import KindName, State, Status
from ..web.admin.api import OperatorStatus
from .operating import Counting, printable, size, with_stores
from .options import as_json, command

_SECONDS: TypeAdapter[float] = TypeAdapter(Seconds)


def duration(text: str) -> float:
    """Return the seconds of a duration, written as in settings: 90s, 1m30s, 7d."""
    try:
        return _SECONDS.validate_python(text)
    except ValidationError:
        raise click.BadParameter(f"{text!r} is no duration such as 90s, 24h or 7d") from None


# --- ls


def _list(  # noqa: PLR0913 - by name, as click gives them
    settings: Settings,
    *,
    as_json: bool,
    state: Sequence[str],
    kind: Sequence[KindName],
    owner: str | None,
    older_than: float | None,
    younger_than: float | None,
    limit: int | None,
) -> int:
    which = Filter(
        states=frozenset(State(name) for name in state),
        kinds=frozenset(kind),
        owner=owner,
        older_than_s=older_than,
        younger_than_s=younger_than,
    )

    async def show(administration: Administration) -> int:
        shown = 0
        async for status in administration.every(which):
            if not shown and not as_json:
                print(f"{'ID':<34}{'STATE':<12}{'OFFSET':>10} {'LENGTH':>10}  NAME")
            print(_json(status) if as_json else _row(status))
            shown += 1
            if shown == limit:
                break
        if not shown and not as_json:
            print("no uploads")
        return 0

    return with_stores(settings, show)


def _row(status: Status) -> str:
    return (
        f"{status.id:<34}{status.state.value:<12}{size(status.offset):>10} "
        f"{size(status.length):>10}  {_name(status)}"
    ).rstrip()


def _name(status: Status) -> str:
    if status.upload is None:
        return ""
    metadata = status.upload.metadata
    return printable(metadata.text("filename") or metadata.text("name") or "")


def _json(status: Status) -> str:
    # Without a character that a terminal would obey, which pydantic's own JSON may have.
    return json.dumps(OperatorStatus.of(status).model_dump(mode="json"))


# --- show


def _show(settings: Settings, *, as_json: bool, upload: str) -> int:
    async def show(administration: Administration) -> int:
        try:
            status = await administration.show(_id(upload))
        except TusError as error:
            return _complain(upload, error)
        print(_json(status) if as_json else _details(status))
        return 0

    return with_stores(settings, show)


def _details(status: Status) -> str:
    fields = OperatorStatus.of(status).model_dump(mode="json")
    lines = []
    for name, value in fields.items():
        if isinstance(value, dict):
            lines += [f"{name}.{printable(key)}: {printable(text)}" for key, text in value.items()]
        elif value not in (None, []):
            text = ", ".join(value) if isinstance(value, list) else str(value)
            lines.append(f"{name}: {printable(text)}")
    return "\n".join(lines)


def _id(text: str) -> UploadId:
    upload_id = parse_upload_id(text)
    if upload_id is None:
        raise click.UsageError(f"{printable(text)} is no id of an upload")
    return upload_id


# --- rm


def _remove(settings: Settings, *, as_json: bool, uploads: Sequence[str]) -> int:
    ids = [_id(text) for text in uploads]

    async def remove(administration: Administration) -> int:
        failed = 0
        with Counting("removed") as counting:
            for upload_id in ids:
                error: TusError | None = None
                try:
                    await administration.terminate(upload_id)
                except TusError as why:
                    error = why
                    failed = 1
                counting.clear()
                _tell(upload_id, error, as_json=as_json)
                counting.step()
        return failed

    return with_stores(settings, remove)


def _tell(upload_id: UploadId, error: TusError | None, *, as_json: bool) -> None:
    if as_json:
        outcome = "removed" if error is None else error.code
        print(json.dumps({"id": upload_id, "outcome": outcome}), flush=True)
    elif error is not None:
        _complain(upload_id, error)


def _complain(text: str, error: TusError) -> int:
    print(f"tusd-py: {printable(text)}: {error}", file=sys.stderr)
    return 1


# --- expire


def _expire(settings: Settings, *, as_json: bool, dry_run: bool) -> int:
    async def expire(administration: Administration) -> int:
        removed = failed = 0
        with Counting("looked at") as counting:
            if dry_run:
                due = Filter(states=frozenset({State.EXPIRED}))
                async for status in administration.every(due):
                    counting.clear()
                    print(_json(status) if as_json else status.id)
                return 0
            async for upload_id, error in administration.expire_due():
                counting.step()
                counting.clear()
                _tell(upload_id, error, as_json=as_json)
                removed, failed = removed + (error is None), failed + (error is not None)
        if not as_json:
            print(f"{removed} removed" + (f", {failed} not" if failed else ""))
        return int(failed > 0)

    return with_stores(settings, expire)


uploads = [
    command(
        "ls",
        _list,
        "List uploads, in the order of their ids. May run while servers do, and disturbs nobody.",
        [
            as_json,
            click.Option(
                ["--state"],
                type=click.Choice([state.value for state in State if state is not State.GONE]),
                multiple=True,
                help="only in this state; may be given several times",
            ),
            click.Option(
                ["--kind"],
                type=click.Choice(get_args(KindName)),
                multiple=True,
                help="only of this kind; may be given several times",
            ),
            click.Option(["--owner"], help="only of this owner"),
            click.Option(["--older-than"], type=duration, help="created so long ago, or more"),
            click.Option(["--younger-than"], type=duration, help="created so long ago, or less"),
            click.Option(["--limit"], type=click.IntRange(1), help="so many at most"),
        ],
    ),
    command(
        "show",
        _show,
        "Show one upload. May run while servers do, and disturbs nobody.",
        [as_json, click.Argument(["upload"], metavar="ID")],
    ),
    command(
        "rm",
        _remove,
        "Remove uploads, as DELETE does: whoever is sending one is stopped. May run while servers "
        "do. Give it their settings, so that hooks are told.",
        [as_json, click.Argument(["uploads"], metavar="ID...", nargs=-1, required=True)],
    ),
    command(
        "expire",
        _expire,
        "Remove the uploads whose time is over and that nobody uses, as servers do by themselves "
        "from time to time. May run while they do. Give it their settings, so that hooks are told.",
        [
            as_json,
            click.Option(["--dry-run"], is_flag=True, help="only show which ones these are"),
        ],
    ),
]
