"""What a client was told about its uploads, and what each level of durability makes of that."""

from __future__ import annotations

import base64
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from tusd_py.interfaces import Durability

from .client import Answer

# All uploads are pieces of these bytes. Which piece, the metadata tell, so that even those can be
# checked whose creation was never acknowledged.
SOURCE: Final = random.Random(1).randbytes(6 * 1024 * 1024)  # noqa: S311 - the same at every run
LONGEST: Final = 2 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Told:
    """An upload as its client knows it.

    Attributes:
        target: its path.
        content: all of its bytes.
        metadata: the header.
        offset: the highest that the client was told.
        sent: as many bytes may be there at most.
        complete: whether the client was told so.
        created: whether the client was told so.
        ending: whether its client wants it removed.
        ended: whether that was acknowledged.
        partial: whether it is a part of others.
        parts: that it is made of.
        cuts: how many it has seen.
    """

    target: str
    content: bytes
    metadata: str
    offset: int = 0
    sent: int = 0
    complete: bool = False
    created: bool = False
    ending: bool = False
    ended: bool = False
    partial: bool = False
    parts: tuple[Told, ...] = ()
    cuts: int = 0

    @property
    def length(self) -> int:
        """How long it will be."""
        return len(self.content)

    def told(self, answer: Answer) -> None:
        """Note what an answer acknowledges."""
        offset = answer.number("upload-offset") or 0
        self.created = True
        self.offset = max(self.offset, offset)  # answers on two connections pass each other
        self.sent = max(self.sent, self.offset)
        # All bytes of an upload may be there before the server knows that they are all.
        deferred = "upload-defer-length" in answer.headers
        self.complete = self.offset == self.length and not deferred

    def came_back(self, answer: Answer) -> None:
        """Go on from what a power cut has left."""
        self.cuts += 1
        self.offset = 0
        self.told(answer)
        self.sent = self.length if self.parts else self.offset


def describe(start: int, length: int) -> str:
    """Return the metadata of the piece of that place."""
    return f"piece {base64.b64encode(f'{start}+{length}'.encode()).decode()}"


def piece(metadata: str) -> bytes:
    """Return the bytes that these metadata describe."""
    start, _, length = base64.b64decode(metadata.split(" ")[1]).decode().partition("+")
    return SOURCE[int(start) : int(start) + int(length)]


@dataclass(slots=True)
class Tally:
    """What happened in many cuts.

    Attributes:
        acknowledged: how many acknowledgements there were of each kind, within the level's
            promise, before a cut that they had to survive.
        promised_bytes: of these, how many bytes had to survive.
        lost: broken promises, as sentences.
        unpromised: what happened to uploads that nothing was promised about.
    """

    cuts: int = 0
    seconds: float = 0.0
    acknowledged: Counter[str] = field(default_factory=Counter)
    promised_bytes: int = 0
    lost_bytes: int = 0
    resumed: int = 0
    unpromised: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


class Promises:
    """Compares what a server tells after a cut with what it has told before.

    Args:
        level: of durability.
        checkpoint: how much a running upload may lose.
        tally: where it is counted.
    """

    def __init__(self, level: Durability, checkpoint: int, tally: Tally) -> None:
        self._level = level
        self._checkpoint = checkpoint
        self.tally = tally

    def least_offset(self, told: Told) -> int | None:
        """Return the offset that has to be there after a cut; None: the upload may be gone."""
        match self._level:
            case Durability.NONE:
                return None
            case Durability.COMPLETE if told.complete:
                return told.length
            case Durability.COMPLETE:
                kept = told.offset - self._checkpoint
                return None if kept < 0 else kept
            case Durability.ACK:
                return told.offset if told.created else None

    def check(self, told: Told, head: Answer, stored: bytes, *, where: str) -> bool:
        """Judge the answer to a HEAD after a cut; return whether the upload can be gone on with.

        Args:
            told: what the client knew before.
            head: the answer.
            stored: the bytes that are there up to the offset, at least.
            where: to find the case again.
        """
        tally = self.tally
        least = None if told.ending else self.least_offset(told)
        self._count(told, least)
        if head.status not in (200, 404, 410):
            self._broken(told, f"HEAD answered {head.status}", where)
            return False
        if head.status != 200:
            if least is not None:
                tally.lost_bytes += least
                self._broken(told, f"gone ({head.status}), not at {least}", where)
            elif not told.ending:
                tally.unpromised[f"gone ({head.status})"] += 1
            return False
        if told.ended and self._level is not Durability.NONE:
            self._broken(told, "terminated, and back", where)
            return False
        offset = head.number("upload-offset") or 0
        if least is not None and offset < least:
            tally.lost_bytes += least - offset
            self._broken(told, f"offset {offset}, not {least}", where)
        return self._is_right(told, head, offset, stored, where)

    def _is_right(self, told: Told, head: Answer, offset: int, stored: bytes, where: str) -> bool:
        if offset > max(told.sent, told.offset):
            self._broken(told, f"offset {offset}, but only {told.sent} were sent", where)
        if head.headers.get("upload-metadata") != told.metadata:
            self._broken(told, f"metadata {head.headers.get('upload-metadata')}", where)
        if head.number("upload-length") not in (told.length, None):
            self._broken(told, f"length {head.number('upload-length')}", where)
        if stored[:offset] == told.content[:offset]:
            told.came_back(head)
            return not told.ending
        if self._level is Durability.NONE and offset == told.length:
            self.tally.unpromised["completed with wrong bytes"] += 1
        else:
            self._broken(told, f"wrong bytes below the offset {offset}", where)
        return False

    def _count(self, told: Told, least: int | None) -> None:
        if told.ended:
            self.tally.acknowledged["terminated"] += 1
        elif least is not None:
            self.tally.promised_bytes += least
            kind = "completed" if told.complete else "offset" if told.offset else "created"
            self.tally.acknowledged[kind] += 1

    def _broken(self, told: Told, what: str, where: str) -> None:
        self.tally.broken.append(
            f"{where}: {told.target} of {told.length} bytes, told {told.offset}"
            f"{' complete' if told.complete else ''}{' ended' if told.ended else ''}"
            f", after {told.cuts} cuts: {what}"
        )
