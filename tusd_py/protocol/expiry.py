"""When an upload expires (tus 1.0, expiration)."""

from __future__ import annotations

from .model import Kind, Limits, Partial

# A new time has to be written down, so it is only given when it makes a difference: when it is
# later by this part of the whole time.
_WORTH_WRITING = 1 / 1000


def expiry_of(
    kind: Kind, limits: Limits, now: float, *, complete: bool, earlier: float | None = None
) -> float | None:
    """Return the time until which an upload will be kept from `now` on; None: for ever.

    The time slides with the bytes that arrive; an empty PATCH does not renew it.
    Complete uploads are kept for ever; complete parts are not, for nobody would remove them.

    Args:
        complete: whether it has all its bytes.
        earlier: until when it was to be kept before.
    """
    kept_for_ever = complete and not isinstance(kind, Partial)
    if limits.expire_after_s is None or kept_for_ever:
        return None
    renewed = now + limits.expire_after_s
    if earlier is not None and 0 <= renewed - earlier < limits.expire_after_s * _WORTH_WRITING:
        return earlier
    return renewed
