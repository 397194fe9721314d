"""When an upload expires."""

from __future__ import annotations

import pytest

from tusd_py.protocol.expiry import expiry_of
from tusd_py.protocol.model import Final, Kind, Limits, Partial, Upload, UploadId, Whole

NOW = 1_000_000.0
AN_HOUR = Limits(expire_after_s=3600.0)
FINAL = Final(parts=(UploadId("p"),))


@pytest.mark.parametrize(
    ("kind", "complete", "expires_at"),
    [
        (Whole(), False, NOW + 3600),
        (Whole(), True, None),
        (Partial(), False, NOW + 3600),
        (Partial(), True, NOW + 3600),  # nobody else would remove it
        (FINAL, False, NOW + 3600),
        (FINAL, True, None),
    ],
)
@pytest.mark.parametrize("earlier", [None, 5.0])
def test_the_time_slides_until_the_upload_is_complete(
    kind: Kind, earlier: float | None, expires_at: float | None, *, complete: bool
) -> None:
    """What is unfinished, or a part, expires a while from now; what is complete never does."""
    assert expiry_of(kind, AN_HOUR, NOW, complete=complete, earlier=earlier) == expires_at


@pytest.mark.parametrize("kind", [Whole(), Partial(), FINAL])
def test_nothing_expires_without_a_time(kind: Kind) -> None:
    """Without the setting nothing expires, not even what was to expire before."""
    assert expiry_of(kind, Limits(), NOW, complete=False, earlier=5.0) is None


def test_the_end_is_included() -> None:
    """At the very time it is told, an upload has expired; a moment before it has not."""
    expires_at = expiry_of(Whole(), AN_HOUR, NOW, complete=False)
    renewed = Upload(id=UploadId("x"), length=10, expires_at=expires_at)
    assert not renewed.expired(NOW + 3599.999)
    assert renewed.expired(NOW + 3600)


@pytest.mark.parametrize(
    ("earlier", "expires_at"),
    [(NOW + 3598, NOW + 3598), (NOW + 3596, NOW + 3600), (NOW + 3601, NOW + 3600)],
)
def test_a_time_that_hardly_differs_stays(earlier: float, expires_at: float) -> None:
    """To write a record for a later end is only worth it if it is noticeably later."""
    assert expiry_of(Whole(), AN_HOUR, NOW, complete=False, earlier=earlier) == expires_at
