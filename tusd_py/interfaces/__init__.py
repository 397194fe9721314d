"""Ring 1: the seams, as Protocols whose docstrings are contracts.

Every adapter of a seam passes that seam's suite in ``tests/contracts``.
"""

from .application import (
    Access,
    Authorize,
    Grant,
    HookEvent,
    HookReply,
    Hooks,
    HookType,
    Operation,
    RequestInfo,
    ResponseChange,
    ResponseChanges,
    UploadLimits,
    new_event_id,
)
from .bodies import SHOWN_BYTES, Body, BodyEnd, Chunk, Unread, size_of
from .outbox import Entry, EventState, Outbox
from .quotas import Account, Counts, Ledger
from .stores import AppendSession, Claim, DataStore, Durability, Listed, OffsetStore, Placer

__all__ = [
    "SHOWN_BYTES",
    "Access",
    "Account",
    "AppendSession",
    "Authorize",
    "Body",
    "BodyEnd",
    "Chunk",
    "Claim",
    "Counts",
    "DataStore",
    "Durability",
    "Entry",
    "EventState",
    "Grant",
    "HookEvent",
    "HookReply",
    "HookType",
    "Hooks",
    "Ledger",
    "Listed",
    "OffsetStore",
    "Operation",
    "Outbox",
    "Placer",
    "RequestInfo",
    "ResponseChange",
    "ResponseChanges",
    "Unread",
    "UploadLimits",
    "new_event_id",
    "size_of",
]
