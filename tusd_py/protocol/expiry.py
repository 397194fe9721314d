"""When an upload expires (tus 1.0, expiration)."""

from __future__ import annotations

from dataclasses import replace

from .model import Limits, Partial, Upload

# A new time has to be written down, so it is only given when it makes a difference: when it is
# later by this part of the whole time.
_WORTH_WRITING = 1 / 1000


def renew_expiry(upload: Upload, limits: Limits, now: float) -> Upload:
    """Return the upload with the time until which it will be kept from `now` on.

    The time slides with the bytes that arrive; an empty PATCH does not renew it.
    Complete uploads are kept for ever; complete parts are not, for nobody would remove them.
    """
    expires_at = _expiry_of(upload, limits, now)
    return upload if expires_at == upload.expires_at else replace(upload, expires_at=expires_at)


def _expiry_of(upload: Upload, limits: Limits, now: float) -> float | None:
    kept_for_ever = upload.complete and not isinstance(upload.kind, Partial)
    if limits.expire_after_s is None or kept_for_ever:
        return None
    renewed, earlier = now + limits.expire_after_s, upload.expires_at
    if earlier is not None and 0 <= renewed - earlier < limits.expire_after_s * _WORTH_WRITING:
        return earlier
    return renewed
