"""The application's say: who may do what, and what it is asked and told."""

from __future__ import annotations

import enum
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from ..protocol.model import Upload
from ..protocol.quota import Quota

# --- who may do what ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseChange:
    """What a hook wants the client to be answered; the rest stays as it is."""

    status: int | None = None
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def merged_with(self, later: ResponseChange) -> ResponseChange:
        """Return both; where they disagree, the later one counts."""
        return ResponseChange(
            status=later.status or self.status,
            body=later.body or self.body,
            headers={**self.headers, **later.headers},
        )


class ResponseChanges:
    """What the hooks of one request want its client to be answered, collected as they are asked.

    Attributes:
        if_done: for the answer of a request that was carried out.
        if_refused: for the answer of a request that a hook refused.
    """

    __slots__ = ("if_done", "if_refused")

    def __init__(self) -> None:
        self.if_done: ResponseChange | None = None
        self.if_refused: ResponseChange | None = None

    def add(self, change: ResponseChange) -> None:
        """Add to the answer of success."""
        self.if_done = change if self.if_done is None else self.if_done.merged_with(change)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInfo:
    """The request as hooks and authorisation see it."""

    method: str  # the effective one
    uri: str  # the raw request target
    remote: str  # address of the peer, "" on a UNIX socket
    headers: Mapping[str, Sequence[str]]  # names in canonical form: Upload-Length
    port: int | None = None  # of the peer; None: not known
    changes: ResponseChanges = field(default_factory=ResponseChanges, compare=False, repr=False)


class Operation(enum.StrEnum):
    """What a client wants to do."""

    CREATE = "create"
    INSPECT = "inspect"
    APPEND = "append"
    TERMINATE = "terminate"
    FETCH = "fetch"
    WATCH = "watch"  # its status, once or as it changes
    CONCATENATE = "concatenate"
    FINISH = "finish"  # the last byte of an APPEND has arrived; asked once more, it may be late


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A request for permission."""

    operation: Operation
    request: RequestInfo
    upload: Upload | None  # None: it is about to be created, or there is none of that id


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A permission: on whose behalf the request acts, and what it may make.

    An upload belongs to the owner that created it; to all others it looks missing.
    """

    owner: str | None = None  # None: nobody in particular
    max_size: int | None = None  # bytes of one upload; None: no limit but the server's
    types: tuple[str, ...] | None = None  # globs such as "video/*"; None: what the server allows
    quota: Quota | None = None  # of this owner; None: what the server allows each of them
    bytes_per_second: int | None = None  # of one upload; None: what the server allows

    @property
    def limited(self) -> bool:
        """Whether it allows less than the server does."""
        return (self.max_size, self.types, self.quota, self.bytes_per_second) != (None,) * 4


Authorize = Callable[[Access], Awaitable[Grant | str | None]]
"""Decides who may do what, before the claim is touched and before a byte is read.

A string is short for a `Grant` to that owner, None for one to nobody in particular.

Raises:
    Unauthorized, Forbidden, UploadNotFound: the request is refused with that error.
"""


# --- hooks --------------------------------------------------------------------------------


class HookType(enum.StrEnum):
    """When a hook is called, spelled as tusd spells it."""

    PRE_ACCESS = "pre-access"  # ours: before HEAD, PATCH, GET, DELETE and concatenation
    PRE_CREATE = "pre-create"
    POST_CREATE = "post-create"
    POST_RECEIVE = "post-receive"
    PRE_FINISH = "pre-finish"
    POST_FINISH = "post-finish"
    PRE_TERMINATE = "pre-terminate"
    POST_TERMINATE = "post-terminate"
    POST_INTERRUPT = "post-interrupt"  # ours: a body ended early; what arrived is kept
    POST_EXPIRE = "post-expire"  # ours: removed because its time was over


def new_event_id() -> str:
    """Return 128 random bits; receivers know a repeated event by them."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookEvent:
    """What happened, or is about to happen."""

    type: HookType
    upload: Upload
    request: RequestInfo | None  # None: nobody asked, the server itself did it
    id: str = field(default_factory=new_event_id)  # the same each time it is delivered
    at: float | None = None  # seconds since the epoch; None: not known
    operation: Operation | None = None  # pre-access: what is asked for
    cause: str | None = None  # post-interrupt: code of the error that ended the body


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """What a hook limits a new upload to; None: as it is."""

    max_size: int | None = None  # bytes
    bytes_per_second: int | None = None
    quota: Quota | None = None  # of its owner


@dataclass(frozen=True, slots=True, kw_only=True)
class HookReply:
    """What a hook wants changed."""

    id: str | None = None  # pre-create: use this id instead
    metadata: Mapping[str, str] | None = None  # pre-create: replace the metadata
    storage_path: str | None = None  # pre-create: where below the directory the bytes go
    limits: UploadLimits | None = None  # pre-create: for this upload, and its owner
    reject: bool = False  # any pre- hook: refuse
    stop: bool = False  # post-receive: end the upload and remove it
    response: ResponseChange | None = None


@runtime_checkable
class Hooks(Protocol):
    """The application's say in what happens to uploads.

    ``pre-`` events and ``post-receive`` are put to `call`; all others go through the outbox and
    from there to `tell`, once for each receiver.
    """

    def listens_to(self, event: HookType) -> bool:
        """Whether `call` would do anything for such an event."""

    def receivers(self, event: HookType) -> Sequence[str]:
        """Return the names of those that want to be told of such an event, in any order.

        Names stay the same over restarts: what was not delivered is kept by them.
        """

    async def call(self, event: HookEvent) -> HookReply | None:
        """Ask the hook, if there is one for this event.

        Raises:
            TusError: it refuses.
            HookUnavailable: it could not be asked; what it was asked about is not done.
        """

    async def tell(self, event: HookEvent, receiver: str) -> None:
        """Tell one receiver what happened.

        Raises:
            Exception: it was not told, and must be again.
        """
