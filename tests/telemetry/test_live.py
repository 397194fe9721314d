"""What is being received now."""

from __future__ import annotations

from tusd_py.interfaces.occurrences import BodyBegun, BodyEnded, Occurrence
from tusd_py.protocol.model import Upload, UploadId
from tusd_py.telemetry.live import LiveUploads
from tusd_py.telemetry.several import guarded, observe_all

UPLOAD = Upload(id=UploadId("a" * 32), length=1000, offset=100, created_at=0.0)


def test_a_running_body_is_seen_with_its_speed_until_it_ends() -> None:
    """Offset, bytes a second over the last seconds, and how long the rest will take."""
    now, received = [10.0], [0]
    live = LiveUploads(lambda: now[0])
    observe_all(live.notes)(BodyBegun(upload=UPLOAD, received=lambda: received[0]))
    assert len(live) == 1
    (seen,) = live.snapshot()
    assert (seen.offset, seen.speed, seen.eta_s) == (100, 0.0, None)
    now[0], received[0] = 12.0, 400
    at_once = live.get(UPLOAD.id)
    assert at_once is not None
    assert (at_once.offset, at_once.speed, at_once.running_s) == (500, 200.0, 2.0)
    assert at_once.eta_s == 2.5
    now[0] = 16.0  # nothing has come since
    stalled = live.get(UPLOAD.id)
    assert stalled is not None
    assert stalled.speed == 0.0
    observe_all(live.notes)(BodyEnded(upload=UPLOAD, received=400, duration_s=6.0, cause=None))
    assert live.snapshot() == []
    assert live.get(UPLOAD.id) is None


def test_all_watchers_are_told_and_the_applications_own_may_fail() -> None:
    """Its error is logged, and the others see everything."""
    seen: list[Occurrence] = []

    def broken(_: Occurrence) -> None:
        raise ValueError

    tell = observe_all(guarded(broken), guarded(seen.append))
    ended = BodyEnded(upload=UPLOAD, received=0, duration_s=0.0, cause=None)
    tell(ended)
    assert seen == [ended]
