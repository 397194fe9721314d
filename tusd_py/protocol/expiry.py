"""When an upload expires (tus 1.0, expiration)."""

from __future__ import annotations

from dataclasses import replace

from .model import Limits, Partial, Upload


def renew_expiry(upload: Upload, limits: Limits, now: float) -> Upload:
    """Return the upload with the time until which it will be kept from `now` on.

    The time slides with every byte that arrives; an empty PATCH does not renew it.
    Complete uploads are kept for ever; complete parts are not, for nobody would remove them.
    """
    kept_for_ever = upload.complete and not isinstance(upload.kind, Partial)
    if limits.expire_after_s is None or kept_for_ever:
        return replace(upload, expires_at=None)
    return replace(upload, expires_at=now + limits.expire_after_s)
