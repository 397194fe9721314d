"""Did every acknowledged byte stay what it was? A checker for what clients were told.

Whatever drives a server, in one process or over a network, notes an `Event` for each operation
and hands all of them to `check`. One upload is checked independently of the others.

What `args` and `result` hold:

======== ================================ ====================================================
op       args                             result
======== ================================ ====================================================
create   id, length or None, data         status, offset
append   id, offset, data                 status, offset
head     id                               status, offset, length
get      id                               status, data
peek     id                               status, data: stored bytes, complete or not
delete   id                               status
finish   id                               status: the application heard that it is complete
cut      id, floor                        none needed: a power cut, or what is as bad; of what
                                          was acknowledged only `floor` bytes have to be left
======== ================================ ====================================================

`result` is None when the answer got lost: it may have happened, wholly or in part, or not.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

OK: Final = "ok"
PARTLY: Final = "partly"  # an error after some of the body: as much as you like may be kept
CONFLICT: Final = "conflict"  # 409; nothing has changed; `offset` if it was told
REFUSED: Final = "refused"  # any other answer after which nothing has changed
GONE: Final = "gone"  # 404 or 410, to somebody who may see the upload

_NOTHING_KEPT = frozenset({CONFLICT, REFUSED, GONE})
_REFUSALS = frozenset({403, 411, 412, 413, 415, 417, 460})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One operation, from its first byte to its answer; any clock that only goes forward."""

    t_start: float
    t_end: float
    client: str
    op: str
    args: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None

    @property
    def id(self) -> str:
        """Of the upload."""
        return str(self.args["id"])

    @property
    def status(self) -> str | None:
        """How it ended; None: nobody knows."""
        return None if self.result is None else str(self.result["status"])

    @property
    def told(self) -> int | None:
        """The offset that the client was told, if any."""
        offset: int | None = (self.result or {}).get("offset")
        return offset

    def to_json(self) -> str:
        """Return it as a line."""
        return json.dumps(
            {
                "t_start": self.t_start,
                "t_end": self.t_end,
                "client": self.client,
                "op": self.op,
                "args": _as_text(self.args),
                "result": None if self.result is None else _as_text(self.result),
            }
        )

    @classmethod
    def from_json(cls, line: str) -> Event:
        """Return what a line says."""
        fields = json.loads(line)
        result = fields["result"]
        fields["args"] = _as_bytes(fields["args"])
        fields["result"] = None if result is None else _as_bytes(result)
        return cls(**fields)


def answer(status: int, offset: int | None = None, **more: object) -> dict[str, object]:
    """Return the `result` for an HTTP status, and the Upload-Offset that came with it."""
    if status < 300:
        word = OK
    elif status == 409:
        word = CONFLICT
    elif status in {404, 410}:
        word = GONE
    else:
        word = REFUSED if status in _REFUSALS else PARTLY
    return {"status": word, "offset": offset, **more}


def check(history: Iterable[Event]) -> list[str]:
    """Return what must not have happened, a sentence each; an empty list is what one hopes for."""
    by_upload: defaultdict[str, list[Event]] = defaultdict(list)
    for event in history:
        by_upload[event.id].append(event)
    return [
        f"upload {upload_id}: {sentence}"
        for upload_id, events in by_upload.items()
        for sentence in _check_upload(sorted(events, key=lambda event: event.t_start))
    ]


def _check_upload(events: Sequence[Event]) -> Iterator[str]:
    yield from _offsets_go_back(events)
    yield from _offset_refused(events)
    yield from _comes_back(events)
    yield from _completes_oddly(events)
    if not any(event.args.get("parts") for event in events):  # their bytes came elsewhere
        yield from _bytes_differ(events)


# --- I1, I17: offsets


def _offsets_go_back(events: Sequence[Event]) -> Iterator[str]:
    told = [event for event in events if event.told is not None]
    for later in told:
        for earlier in told:
            if earlier.t_end > later.t_start or earlier.told is None or later.told is None:
                continue
            least = min([earlier.told, *_floors(events, earlier.t_end, later.t_start)])
            if later.told < least:
                yield f"I1: offset {earlier.told} was told ({earlier.op}), then {later.told}"


def _floors(events: Sequence[Event], after: float, before: float) -> Iterator[int]:
    for event in events:
        if event.op == "cut" and after <= event.t_end and event.t_start <= before:
            yield int(event.args["floor"])


def _offset_refused(events: Sequence[Event]) -> Iterator[str]:
    writers = [event for event in events if event.op in {"create", "append", "delete", "cut"}]
    for late in events:
        if late.op != "append" or late.status != CONFLICT:
            continue
        for head in events:
            if head.op != "head" or head.status != OK or head.t_end > late.t_start:
                continue
            alone = not any(
                other is not late and other.t_end >= head.t_start and other.t_start <= late.t_end
                for other in writers
            )
            if alone and head.told == late.args["offset"]:
                yield f"I17: HEAD told {head.told}, and then a PATCH at that offset was refused"


# --- I11: existence


def _comes_back(events: Sequence[Event]) -> Iterator[str]:
    ends = [
        event.t_end
        for event in events
        if event.status == GONE or (event.op == "delete" and event.status == OK)
    ]
    for event in events:
        seen = event.status == OK and event.op not in {"finish", "cut"}
        if seen and any(end <= event.t_start for end in ends):
            yield f"I11: it was gone, and then {event.op} found it"


# --- I13, I14, I15: completion


def _completes_oddly(events: Sequence[Event]) -> Iterator[str]:
    if sum(event.op == "finish" for event in events) > 1:
        yield "I13: it was completed more than once"
    lengths = {
        event.result["length"]
        for event in events
        if event.op == "head" and event.result and event.result.get("length") is not None
    }
    lengths |= {
        event.args["length"]
        for event in events
        if event.op == "create" and event.status == OK and event.args.get("length") is not None
    }
    if len(lengths) > 1:
        yield f"I15: its length was {' and '.join(map(str, sorted(lengths)))}"
    whole = {bytes(event.result["data"]) for event in _reads(events, "get") if event.result}
    if len(whole) > 1:
        yield "I14: downloads of it differ"
    if any(len(data) != length for data in whole for length in lengths):
        yield "I13: it could be downloaded before it was complete"


def _reads(events: Sequence[Event], *ops: str) -> Iterator[Event]:
    return (event for event in events if event.op in ops and event.status == OK)


# --- I2, I3: bytes


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Bytes that somebody sent: all of them count, or any first part of them."""

    start: int
    data: bytes
    end: int | None  # None: nobody knows how far it got
    lasting: bool  # no power cut came between it and now


def _bytes_differ(events: Sequence[Event]) -> Iterator[str]:
    for read in _reads(events, "get", "peek"):
        assert read.result is not None
        content = bytes(read.result["data"])
        attempts = list(_attempts(events, read))
        for one in attempts:
            sure = one.end is not None and one.lasting
            if sure and content[one.start : one.end] != one.data[: (one.end or 0) - one.start]:
                yield f"I2: {read.op} gave other bytes than those acknowledged at {one.start}"
        if not _is_explained(content, attempts):
            yield f"I2, I3: {read.op} gave {len(content)} bytes that nobody sent in this order"


def _attempts(events: Sequence[Event], read: Event) -> Iterator[_Attempt]:
    for event in events:
        if event.op not in {"create", "append"} or event.t_start >= read.t_end:
            continue
        if event.status in _NOTHING_KEPT:
            continue
        start = int(event.args.get("offset", 0))
        known = event.status == OK and event.told is not None and event.t_end <= read.t_start
        lasting = not any(True for _ in _floors(events, event.t_start, read.t_end))
        end = event.told if known else None
        yield _Attempt(start, bytes(event.args.get("data", b"")), end, lasting)


def _is_explained(content: bytes, attempts: Sequence[_Attempt]) -> bool:
    """Whether the content can be put together of attempts, each from its own start on."""
    stops = {attempt.start for attempt in attempts} | {len(content)}
    todo, reached = [0], {0}
    while todo:
        place = todo.pop()
        for attempt in attempts:
            if attempt.start != place:
                continue
            most = place + _common_length(attempt.data, content[place:])
            exact = attempt.end if attempt.lasting else None
            ends = stops if exact is None else {exact}
            fresh = {end for end in ends if place < end <= most} - reached
            reached |= fresh
            todo += fresh
    return len(content) in reached


def _common_length(one: bytes, other: bytes) -> int:
    most = min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    return next(n for n in range(most) if one[n] != other[n])


# --- lines


def _as_text(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: base64.b64encode(value).decode() if key == "data" else value
        for key, value in values.items()
    }


def _as_bytes(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: base64.b64decode(v) if key == "data" else v for key, v in values.items()}
