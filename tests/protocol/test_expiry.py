"""When an upload expires."""

from __future__ import annotations

import pytest

from tusd_py.protocol.expiry import renew_expiry
from tusd_py.protocol.model import Final, Kind, Limits, Partial, Upload, UploadId, Whole

NOW = 1_000_000.0
AN_HOUR = Limits(expire_after_s=3600.0)
FINAL = Final(parts=(UploadId("p"),))


def upload(kind: Kind, offset: int, length: int | None) -> Upload:
    """Return an upload that was to expire at another time."""
    return Upload(id=UploadId("x"), length=length, offset=offset, kind=kind, expires_at=5.0)


@pytest.mark.parametrize(
    ("kind", "offset", "length", "expires_at"),
    [
        # realistic
        (Whole(), 3, 10, NOW + 3600),
        (Whole(), 10, 10, None),
        (Partial(), 3, 10, NOW + 3600),
        (Partial(), 10, 10, NOW + 3600),  # nobody else would remove it
        (FINAL, 0, 10, NOW + 3600),
        (FINAL, 10, 10, None),
        # synthetic
        (Whole(), 3, None, NOW + 3600),
        (Whole(), 0, 0, None),
        (FINAL, 0, None, NOW + 3600),
        (Partial(), 0, 0, NOW + 3600),
    ],
)
def test_the_time_slides_until_the_upload_is_complete(
    kind: Kind, offset: int, length: int | None, expires_at: float | None
) -> None:
    """What is unfinished, or a part, expires a while from now; what is complete never does."""
    renewed = renew_expiry(upload(kind, offset, length), AN_HOUR, NOW)
    assert renewed.expires_at == expires_at
    assert (renewed.offset, renewed.length, renewed.kind) == (offset, length, kind)


@pytest.mark.parametrize("kind", [Whole(), Partial(), FINAL])
def test_nothing_expires_without_a_time(kind: Kind) -> None:
    """Without the setting nothing expires, not even what was to expire before."""
    assert renew_expiry(upload(kind, 0, 10), Limits(), NOW).expires_at is None


def test_the_end_is_included() -> None:
    """At the very time it is told, an upload has expired; a moment before it has not."""
    renewed = renew_expiry(upload(Whole(), 0, 10), AN_HOUR, NOW)
    assert not renewed.expired(NOW + 3599.999)
    assert renewed.expired(NOW + 3600)
