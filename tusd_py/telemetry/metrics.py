"""Counts what happens."""

from __future__ import annotations

from ..interfaces import HookType
from ..interfaces.occurrences import (
    Answered,
    BodyBegun,
    BodyEnded,
    Claimed,
    Created,
    Expired,
    Finished,
    HookCalled,
    Terminated,
)
from ..protocol.errors import ChecksumMismatch, UploadInterrupted
from ..protocol.model import UploadId
from .catalogue import CODES, ERRORS, LAYOUT, METHODS, OK, OTHER
from .cells import Buckets, Cells
from .several import Notes

# Uploads that were cut short and may go on; of more than these the oldest are forgotten.
MOST_INTERRUPTED = 10_000


class Metrics:
    """Keeps the numbers of this process.

    Args:
        cells: where they are; those of this process are chosen already.

    Attributes:
        notes: what takes note of what.
    """

    def __init__(self, cells: Cells | None = None) -> None:
        self.cells = cells = Cells(LAYOUT) if cells is None else cells
        self._own = cells.own
        self.notes: Notes = {
            Answered: self._answered,
            BodyBegun: self._body_begun,
            BodyEnded: self._body_ended,
            Claimed: self._claimed,
            Created: self._created,
            Expired: self._expired,
            Finished: self._finished,
            HookCalled: self._hook_called,
            Terminated: self._terminated,
        }
        self._interrupted: dict[UploadId, int] = {}  # how often each
        self._bind_requests()
        self._bind_uploads()
        self._bind_hooks()

    def buckets(self, name: str, *labels: str) -> Buckets:
        """Return a histogram to count in."""
        return Buckets(self.cells, name, *labels)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set what this process has of a gauge."""
        self._own[LAYOUT.cell(name, *labels)] = value

    def add(self, name: str, amount: float, *labels: str) -> None:
        """Add to a counter."""
        self._own[LAYOUT.cell(name, *labels)] += amount

    # --- cells, looked up once

    def _bind_requests(self) -> None:
        cell = LAYOUT.cell
        self._requests = {method: cell("tusd_requests_total", method) for method in METHODS}
        self._durations = {
            method: self.buckets("tusd_py_request_duration_seconds", method) for method in METHODS
        }
        self._first_byte = self.buckets("tusd_py_first_byte_seconds")
        # By code alone: what status a client was told may have been chosen by a hook.
        self._errors = {code: cell("tusd_errors_total", status, code) for status, code in ERRORS}
        self._mismatches = cell("tusd_py_checksum_mismatches_total")

    def _bind_uploads(self) -> None:
        cell = LAYOUT.cell
        self._n_created = cell("tusd_uploads_created")
        self._n_finished = cell("tusd_uploads_finished")
        self._n_terminated = cell("tusd_uploads_terminated")
        self._n_cancelled = cell("tusd_py_uploads_cancelled_total")
        self._n_expired = cell("tusd_py_uploads_expired_total")
        self._n_resumed = cell("tusd_py_resumptions_total")
        self._n_handed_over = cell("tusd_py_hand_overs_total")
        self._n_bytes = cell("tusd_bytes_received")
        self._bodies = {
            None if code == OK else code: cell("tusd_py_bodies_total", code)
            for code in (OK, *CODES)
        }
        self._duration = self.buckets("tusd_py_upload_duration_seconds")
        self._size = self.buckets("tusd_py_upload_size_bytes")
        self._speed = self.buckets("tusd_py_body_speed_bytes")
        self._resumptions = self.buckets("tusd_py_upload_resumptions")
        self._granted = self.buckets("tusd_py_claim_wait_seconds", "yes")
        self._not_granted = self.buckets("tusd_py_claim_wait_seconds", "no")

    def _bind_hooks(self) -> None:
        self._hooks = {
            hook: (
                LAYOUT.cell("tusd_hook_invocations_total", hook.value),
                LAYOUT.cell("tusd_hook_errors_total", hook.value),
                self.buckets("tusd_py_hook_duration_seconds", hook.value),
            )
            for hook in HookType
        }

    # --- what happened

    def _answered(self, one: Answered) -> None:
        method = one.method if one.method in self._requests else OTHER
        self._own[self._requests[method]] += 1.0
        self._durations[method].note(one.duration_s)
        if one.first_byte_s is not None:
            self._first_byte.note(one.first_byte_s)
        if one.code is not None:
            self._own[self._errors.get(one.code, self._errors[OTHER])] += 1.0
            if one.code == ChecksumMismatch.code:
                self._own[self._mismatches] += 1.0

    def _created(self, _: Created) -> None:
        self._own[self._n_created] += 1.0

    def _body_begun(self, one: BodyBegun) -> None:
        if one.upload.id in self._interrupted:
            self._own[self._n_resumed] += 1.0

    def _body_ended(self, one: BodyEnded) -> None:
        own = self._own
        own[self._n_bytes] += one.received
        own[self._bodies.get(one.cause, self._bodies[OTHER])] += 1.0
        if one.duration_s > 0.0 and one.received:
            self._speed.note(one.received / one.duration_s)
        if one.cause is not None:
            self._note_interrupted(one.upload.id)
            if one.cause == UploadInterrupted.code:
                own[self._n_handed_over] += 1.0

    def _note_interrupted(self, upload_id: UploadId) -> None:
        times = self._interrupted.pop(upload_id, 0)
        if len(self._interrupted) >= MOST_INTERRUPTED:
            del self._interrupted[next(iter(self._interrupted))]
        self._interrupted[upload_id] = times + 1

    def _finished(self, one: Finished) -> None:
        self._own[self._n_finished] += 1.0
        self._size.note(float(one.upload.offset))
        if one.duration_s is not None:
            self._duration.note(one.duration_s)
        self._resumptions.note(float(self._interrupted.pop(one.upload.id, 0)))

    def _terminated(self, one: Terminated) -> None:
        self._own[self._n_terminated] += 1.0
        if not one.upload.finished:
            self._own[self._n_cancelled] += 1.0
        self._interrupted.pop(one.upload.id, None)

    def _expired(self, one: Expired) -> None:
        self._own[self._n_expired] += 1.0
        self._interrupted.pop(one.upload.id, None)

    def _claimed(self, one: Claimed) -> None:
        (self._granted if one.granted else self._not_granted).note(one.wait_s)

    def _hook_called(self, one: HookCalled) -> None:
        invocations, errors, duration = self._hooks[one.type]
        self._own[invocations] += 1.0
        duration.note(one.duration_s)
        if one.error is not None:
            self._own[errors] += 1.0
