"""The list: what is broken, where, and which tests have to notice.

I1 to I36 are the invariants that the tests of this project are written for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One sabotage.

    Attributes:
        name: says what is broken.
        invariant: that does not hold any more.
        file: below the repository.
        old: text that is there exactly once.
        new: what is there instead.
        tests: arguments for pytest, so few that they take seconds; one of them has to fail.
    """

    name: str
    invariant: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


_LUA: Final = "tusd_py/offsets/redis_scripts.py"

ACTS: Final = (
    # --- what is acknowledged is on disk
    Act(
        name="data are not synced at the end of a body",
        invariant="I6",
        file="tusd_py/data/session.py",
        old="os.fdatasync(self._fd)",
        new="pass",
        tests=("tests/data/test_disk.py::test_syncs_come_when_they_are_asked_for",),
    ),
    Act(
        name="the bytes of a finished upload are not synced",
        invariant="I6",
        file="tusd_py/data/disk.py",
        old="os.fdatasync(file.fd)",
        new="pass",
        tests=("tests/data/test_disk.py::test_syncs_come_when_they_are_asked_for",),
    ),
    Act(
        name="directories are not synced",
        invariant="I16",
        file="tusd_py/filesystem/calls.py",
        old="        os.fsync(fd)\n",
        new="        pass\n",
        tests=("tests/filesystem/test_calls.py::test_parents_are_synced_up_to_the_root",),
    ),
    Act(
        name="a new record is not synced",
        invariant="I7",
        file="tusd_py/filesystem/new_files.py",
        old="os.fsync(file.fd)",
        new="pass",
        tests=(
            "tests/offsets/test_files.py::test_a_durable_record_is_synced_before_and_after_it_is_named",
        ),
    ),
    Act(
        name="a record that says the same again is not synced",
        invariant="I7",
        file="tusd_py/offsets/directory.py",
        old="if saved.content == locked.content and not durable:",
        new="if saved.content == locked.content:",
        tests=(
            "tests/offsets/test_files.py::test_a_record_that_says_the_same_is_synced_all_the_same",
        ),
    ),
    Act(
        name="the directory is not synced after a removal",
        invariant="I11",
        file="tusd_py/offsets/directory.py",
        old="            sync_directory(os.path.dirname(path))\n",
        new="",
        tests=("tests/offsets/test_files.py::test_a_removal_is_synced",),
    ),
    Act(
        name="an upload is finished before its bytes are",
        invariant="I7",
        file="tusd_py/service/completion.py",
        old="            await self.make_final(upload)\n        except (Ins",
        new="            pass\n        except (Ins",
        tests=("tests/service/test_completion.py",),
    ),
    Act(
        name="an offset is acknowledged before the write has ended",
        invariant="I7",
        file="tusd_py/data/session.py",
        old="            await self._run(self._write, buffers)\n        return self._stored",
        new="            self._run.submit(self._write, buffers)\n"
        "        return self._stored + size",
        tests=("tests/contracts/test_data_store.py",),
    ),
    Act(
        name="bytes are believed although their sync failed",
        invariant="I9",
        file="tusd_py/data/session.py",
        old="            self._truncate(self._durable)\n",
        new="",
        tests=("tests/data/test_disk.py::test_bytes_whose_sync_failed_are_dropped",),
    ),
    Act(
        name="the size counts after a reboot",
        invariant="I1",
        file="tusd_py/offsets/records.py",
        old="if self.boot is not None and self.boot != boot:",
        new="if False:",
        tests=("tests/offsets/test_files.py::test_only_the_checkpoint_counts_after_a_reboot",),
    ),
    Act(
        name="a short write is taken for a whole one",
        invariant="I10",
        file="tusd_py/filesystem/calls.py",
        old="            rest[0] = rest[0][written:]",
        new="            rest.pop(0)",
        tests=("tests/filesystem/test_calls.py",),
    ),
    Act(
        name="Redis gives an upload back before its copy is on disk",
        invariant="I6",
        file="tusd_py/offsets/redis_claims.py",
        old="            release = release and not (durable or self.uncopied)\n",
        new="",
        tests=(
            "tests/offsets/redis/test_copies.py::test_nothing_is_told_before_its_copy_is_on_disk",
        ),
    ),
    Act(
        name="with Redis a finished upload is told of while its copy is being written",
        invariant="I6",
        file="tusd_py/offsets/redis.py",
        old="            await self._have_on_disk(upload, int(fence))\n",
        new="            pass\n",
        tests=(
            "tests/offsets/redis/test_copies.py::test_nothing_is_told_before_its_copy_is_on_disk",
        ),
    ),
    # --- one writer
    Act(
        name="nobody waits for his turn",
        invariant="I4",
        file="tusd_py/offsets/turns.py",
        old="await _wait_granted(turn, timeout_s)",
        new="pass",
        tests=("tests/offsets/test_turns.py", "tests/contracts/test_claims.py"),
    ),
    Act(
        name="records are not locked between processes",
        invariant="I4",
        file="tusd_py/offsets/directory.py",
        old="if not try_lock(file):",
        new="if False:",
        tests=("tests/offsets/test_files.py::test_the_lock_moves_along_with_the_record",),
    ),
    Act(
        name="a lock on a record that was replaced counts",
        invariant="I4",
        file="tusd_py/offsets/directory.py",
        old="if self._is_current(upload_id, file):",
        new="if True:",
        tests=("tests/offsets/test_files.py::test_a_lock_on_the_old_record_is_no_claim",),
    ),
    Act(
        name="cancelled requests do not wait for their threads",
        invariant="I28",
        file="tusd_py/filesystem/lanes.py",
        old="        return False\n\n\nclass Lanes",
        new="        return super().cancel(msg)\n\n\nclass Lanes",
        tests=("tests/filesystem/test_lanes.py",),
    ),
    Act(
        name="a session is left while its thread writes",
        invariant="I28",
        file="tusd_py/data/session.py",
        old="with contextlib.suppress(TusError):\n"
        "                await self._settle()\n        finally:",
        new="pass\n        finally:",
        tests=("tests/data/test_disk.py::test_a_session_that_is_left_closes_its_file",),
    ),
    Act(
        name="bytes are not taken from a holder that vanished",
        invariant="I5",
        file="tusd_py/service/custody.py",
        old="if claim.seized:",
        new="if False:",
        tests=("tests/service/test_custody.py",),
    ),
    Act(
        name="a writer does not see that its file has another name",
        invariant="I5",
        file="tusd_py/data/seizing.py",
        old="        if not _is_named(file, path):\n            raise ClaimLost",
        new="        pass",
        tests=("tests/data/test_fencing.py",),
    ),
    Act(
        name="what was written to a file without a name counts",
        invariant="I5",
        file="tusd_py/data/session.py",
        old="if self._fenced and is_taken_away(fd):",
        new="if False:",
        tests=("tests/data/test_fencing.py",),
    ),
    # --- fences in Redis, one act for each script
    Act(
        name="CREATE takes an id that is there",
        invariant="I5",
        file=_LUA,
        old="if h[1] then return {'exists'} end",
        new="",
        tests=("tests/offsets/redis/test_fences.py",),
    ),
    Act(
        name="CLAIM takes what somebody holds",
        invariant="I4",
        file=_LUA,
        old="if live and live ~= ARGV[3] then",
        new="if false then",
        tests=(
            "tests/offsets/redis/test_claims.py::test_without_patience_no_other_node_is_disturbed",
        ),
    ),
    Act(
        name="CLAIM does not count on",
        invariant="I5",
        file=_LUA,
        old="  redis.call('HINCRBY', hash, 'fence', '1')\n  h[3]",
        new="  h[3]",
        tests=("tests/offsets/redis/test_claims.py::test_fences_only_grow",),
    ),
    Act(
        name="SAVE does not look at holder and fence",
        invariant="I5",
        file=_LUA,
        old="if h[1] ~= ARGV[3] or h[2] ~= ARGV[4] then return {'lost'} end\n-- What was",
        new="-- What was",
        tests=(
            "tests/offsets/redis/test_claims.py::test_after_its_lease_a_dead_holder_holds_nothing",
        ),
    ),
    Act(
        name="SAVE lets an earlier save undo a later one",
        invariant="I24",
        file=_LUA,
        old="if tonumber(ARGV[6]) > tonumber(h[3]) then",
        new="if true then",
        tests=(
            "tests/offsets/redis/test_claims.py::test_a_save_that_was_overtaken_changes_nothing",
        ),
    ),
    Act(
        name="RENEW does not look at the holder",
        invariant="I5",
        file=_LUA,
        old="if h[1] ~= ARGV[3] then return {'lost'} end\nredis.call('SET', claim",
        new="redis.call('SET', claim",
        tests=("tests/offsets/redis/test_claims.py::test_a_lost_claim_is_noticed",),
    ),
    Act(
        name="RELEASE does not look at the holder",
        invariant="I5",
        file=_LUA,
        old="if h[1] == ARGV[3] then\n  if ARGV[4]",
        new="if true then\n  if ARGV[4]",
        tests=("tests/offsets/redis/test_fences.py",),
    ),
    Act(
        name="REMOVE does not look at holder and fence",
        invariant="I5",
        file=_LUA,
        old="if not ours or (ARGV[4] ~= '' and h[2] ~= ARGV[4]) then return {'lost'} end",
        new="",
        tests=("tests/offsets/redis/test_fences.py",),
    ),
    Act(
        name="REMOVE leaves no mark",
        invariant="I11",
        file=_LUA,
        old="redis.call('SET', gone, h[2] .. ':' .. ARGV[3], 'EX', ARGV[5])\n",
        new="",
        tests=("tests/offsets/redis/test_fences.py",),
    ),
    Act(
        name="VERIFIED does not look at the holder",
        invariant="I5",
        file=_LUA,
        old="if h[1] ~= ARGV[3] then return {'lost'} end\nif h[2]",
        new="if h[2]",
        tests=("tests/offsets/redis/test_fences.py",),
    ),
    Act(
        name="REBUILD brings terminated uploads back",
        invariant="I11",
        file=_LUA,
        old="if redis.call('EXISTS', gone) == 1 then return {'gone'} end",
        new="",
        tests=("tests/offsets/redis/test_fences.py",),
    ),
    # --- offsets and bytes
    Act(
        name="the tail is not cut before bytes are appended",
        invariant="I8",
        file="tusd_py/data/session.py",
        old="    if size > offset:\n",
        new="    if False:\n",
        tests=("tests/contracts/test_data_store.py",),
    ),
    Act(
        name="a connection goes on with bytes of the body in its socket",
        invariant="I3",
        file="tusd_py/web/direct.py",
        old="return self._due == (0 if",
        new="return self._handed_on is not None or self._due == (0 if",
        tests=("tests/web/test_direct.py::test_what_nobody_took_is_no_request",),
    ),
    Act(
        name="what a full disk did not take stays in the pipe",
        invariant="I2",
        file="tusd_py/filesystem/bulk.py",
        old="        if left:\n            pipe.close()\n            _mine.pipe = None\n",
        new="        pass\n",
        tests=("tests/filesystem/test_bulk.py",),
    ),
    Act(
        name="bytes are stored behind those that failed",
        invariant="I2",
        file="tusd_py/data/pipeline.py",
        old="self._over = True  # unless",
        new="self._over = False  # unless",
        tests=("tests/data/test_pipeline.py",),
    ),
    Act(
        name="offsets are not compared",
        invariant="I3",
        file="tusd_py/protocol/rules.py",
        old="if append.offset != upload.offset:",
        new="if False:",
        tests=("tests/protocol/test_rules.py",),
    ),
    Act(
        name="bytes beyond the length are stored",
        invariant="I15",
        file="tusd_py/service/transfer.py",
        old="if self.received + coming > self._plan.room:",
        new="if False:",
        tests=("tests/service/test_transfer.py",),
    ),
    Act(
        name="a length can change",
        invariant="I15",
        file="tusd_py/protocol/rules.py",
        old="    if upload.length is not None:\n        raise InvalidUploadLength",
        new="    if False:\n        raise InvalidUploadLength",
        tests=("tests/protocol/test_rules.py",),
    ),
    Act(
        name="checksums are not compared",
        invariant="I19",
        file="tusd_py/service/transfer.py",
        old="            raise ChecksumMismatch",
        new="            pass",
        tests=("tests/service/test_transfer.py",),
    ),
    Act(
        name="bytes with a wrong checksum stay",
        invariant="I19",
        file="tusd_py/service/transfer.py",
        old="            if not verified:",
        new="            if False:",
        tests=("tests/service/test_transfer.py",),
    ),
    Act(
        name="bytes that were never verified count after a crash",
        invariant="I19",
        file="tusd_py/service/transfer.py",
        old="        if not marked:",
        new="        if False:",
        tests=("tests/service/test_on_disk.py::test_unverified_bytes_do_not_survive_the_process",),
    ),
    Act(
        name="bytes that nobody verified count once a body comes without a checksum",
        invariant="I19",
        file="tusd_py/service/transfer.py",
        old="            await self._session.commit()  # cuts off what does not count\n",
        new="",
        tests=(
            "tests/service/test_on_disk.py::test_bytes_behind_verified_ones_survive_the_process",
        ),
    ),
    Act(
        name="nobody learns that Redis and the copy may differ",
        invariant="I19",
        file="tusd_py/offsets/redis_claims.py",
        old='            seized = "1" if self.uncopied else "0"',
        new='            seized = "0"',
        tests=("tests/offsets/redis/test_copies.py::test_a_mark_in_redis_is_one_in_the_copy",),
    ),
    Act(
        name="parts are joined before all of them are complete",
        invariant="I20",
        file="tusd_py/protocol/rules.py",
        old="if not all(part.complete for part in parts):",
        new="if False:",
        tests=("tests/protocol/test_rules.py", "tests/service/test_assembly.py"),
    ),
    # --- how long uploads stay
    Act(
        name="bytes do not put the end off",
        invariant="I21",
        file="tusd_py/protocol/rules.py",
        old="if stored > upload.offset or (complete and not upload.finished):",
        new="if False:",
        tests=("tests/service/test_expiry.py",),
    ),
    Act(
        name="an empty PATCH puts the end off",
        invariant="I26",
        file="tusd_py/protocol/rules.py",
        old="if stored > upload.offset or (complete and not upload.finished):",
        new="if True:",
        tests=("tests/protocol/test_rules.py",),
    ),
    Act(
        name="a sweep disturbs who is uploading",
        invariant="I21",
        file="tusd_py/service/uploads.py",
        old="self._offsets.claim(upload_id, timeout_s=0, damaged=True) as",
        new="self._offsets.claim(upload_id, timeout_s=9, damaged=True) as",
        tests=("tests/service/test_expiry.py",),
    ),
    Act(
        name="a sweep does not look at the time again under the claim",
        invariant="I21",
        file="tusd_py/service/uploads.py",
        old="if not claim.upload.expired(self._policy.clock()):",
        new="if False:",
        tests=("tests/service/test_expiry.py",),
    ),
    Act(
        name="an expired final is joined",
        invariant="I21",
        file="tusd_py/service/assembly.py",
        old="if final.expired(self._keeping.clock()):",
        new="if False:",
        tests=("tests/service/test_expiry.py",),
    ),
    # --- files and names
    Act(
        name="a new file replaces one that is there",
        invariant="I30",
        file="tusd_py/filesystem/calls.py",
        old="os.O_CREAT | os.O_EXCL |",
        new="os.O_CREAT |",
        tests=("tests/contracts/test_data_store.py",),
    ),
    Act(
        name="a new name replaces one that is there",
        invariant="I30",
        file="tusd_py/filesystem/new_files.py",
        old="os.link(place, path, src_dir_fd=opened.folder.fd)",
        new="os.replace(place, path, src_dir_fd=opened.folder.fd)",
        tests=("tests/contracts/test_offset_store.py::test_a_taken_id_is_refused",),
    ),
    Act(
        name="new files go wherever the upload directory was moved to",
        invariant="I30",
        file="tusd_py/filesystem/new_files.py",
        old="if not os.path.samestat(",
        new="if False and os.path.samestat(",
        tests=("tests/web/test_bad_input_planted.py",),
    ),
    Act(
        name="symbolic links are followed",
        invariant="I30",
        file="tusd_py/filesystem/calls.py",
        old="flags | os.O_NOFOLLOW | ",
        new="flags | ",
        tests=("tests/filesystem/test_calls.py",),
    ),
    Act(
        name="files with a second name are written to",
        invariant="I30",
        file="tusd_py/data/session.py",
        old="if file.found.st_nlink != 1 and not has_names(upload):",
        new="if False:",
        tests=("tests/data/test_fencing.py::test_a_file_with_a_second_name_is_left_alone",),
    ),
    Act(
        name="ids may begin with dots",
        invariant="I30",
        file="tusd_py/protocol/model.py",
        old='_SEGMENT = r"[A-Za-z0-9_~-]',
        new='_SEGMENT = r"[.A-Za-z0-9_~-]',
        tests=("tests/protocol/test_model.py",),
    ),
    Act(
        name="escapes in ids are decoded",
        invariant="I30",
        file="tusd_py/web/handlers.py",
        old='    escaped = not raw.endswith(f"/{tail}")',
        new="    escaped = False",
        tests=("tests/web/test_bad_input_paths.py",),
    ),
    Act(
        name="ids of hooks are not checked",
        invariant="I30",
        file="tusd_py/service/replies.py",
        old="upload_id = parse_upload_id(reply.id)",
        new="upload_id = reply.id",
        tests=("tests/service/test_creation.py",),
    ),
    # --- what clients are told
    Act(
        name="an outage of Redis looks like a missing upload",
        invariant="I23",
        file="tusd_py/offsets/redis_link.py",
        old="note_trouble(error)\n            raise StoreUnavailable from error",
        new="note_trouble(error)\n"
        "            from ..protocol.errors import UploadNotFound\n"
        "            raise UploadNotFound from error",
        tests=("tests/offsets/redis/test_trouble.py",),
    ),
    Act(
        name="a broken disk looks like a missing upload",
        invariant="I23",
        file="tusd_py/filesystem/calls.py",
        old="            raise StoreUnavailable from error",
        new="            from ..protocol.errors import UploadNotFound\n"
        "            raise UploadNotFound from error",
        tests=("tests/filesystem/test_calls.py",),
    ),
    Act(
        name="HEAD is answered with 5xx",
        invariant="I23",
        file="tusd_py/web/handlers.py",
        old="error.status >= 500:",
        new="error.status >= 600:",
        tests=(
            "tests/web/test_bad_input_planted.py::test_a_directory_that_became_a_link_is_not_followed",
        ),
    ),
    Act(
        name="uploads of others are shown",
        invariant="I29",
        file="tusd_py/service/access.py",
        old="if (await self._ask(operation, upload, request)).owner != upload.owner:",
        new="if (await self._ask(operation, upload, request)).owner == object():",
        tests=("tests/service/test_access.py",),
    ),
    Act(
        name="parts of others are joined",
        invariant="I29",
        file="tusd_py/protocol/rules.py",
        old="if part.owner != final.owner:",
        new="if False:",
        tests=("tests/protocol/test_rules.py",),
    ),
    # --- finished files
    Act(
        name="a hash goes on although somebody else may have written",
        invariant="I2",
        file="tusd_py/service/digests.py",
        old="if claim.fence not in (known.fence, known.fence + 1):",
        new="if False:",
        tests=("tests/service/test_digests.py",),
    ),
    Act(
        name="a file that is not the one declared is finished",
        invariant="I19",
        file="tusd_py/service/digests.py",
        old="if not self._rules.are_as_declared(upload, digests):",
        new="if False:",
        tests=("tests/service/test_digests.py",),
    ),
    Act(
        name="a file is placed that a power cut makes incomplete",
        invariant="I13",
        file="tusd_py/service/completion.py",
        old="            await claim.save(upload, durable=self._durable)\n",
        new="",
        tests=("tests/service/test_placement.py",),
    ),
    Act(
        name="a placed file is joined again",
        invariant="I14",
        file="tusd_py/service/assembly.py",
        old="if PLACED_AT in final.storage:",
        new="if False:",
        tests=("tests/service/test_placement.py",),
    ),
    Act(
        name="a file gets a second name after a crash",
        invariant="I13",
        file="tusd_py/data/placing.py",
        old="if source.found.st_nlink > 1:",
        new="if False:",
        tests=("tests/data/test_placing.py::test_placing_again_finds_the_name",),
    ),
    Act(
        name="owners share a folder",
        invariant="I29",
        file="tusd_py/protocol/placement.py",
        old="if name == owner and not",
        new="if name and not",
        tests=("tests/protocol/test_placement.py",),
    ),
    # --- what the application is told
    Act(
        name="an attempt that failed is told once another one has succeeded",
        invariant="I32",
        file="tusd_py/service/announce.py",
        old="await self._settle(left, before)",
        new="await self._outbox.confirm(left)",
        tests=("tests/service/test_announce.py",),
    ),
    Act(
        name="Redis does not say what an attempt that failed has left",
        invariant="I32",
        file="tusd_py/hooks/outbox_scripts.py",
        old="return left",
        new="return {}",
        tests=("tests/contracts/test_outbox.py",),
    ),
    Act(
        name="a finish is told before it is saved",
        invariant="I32",
        file="tusd_py/service/announce.py",
        old="return record is not None and record.finished",
        new="return True",
        tests=("tests/service/test_announce.py",),
    ),
    # --- what owners may have
    Act(
        name="an upload that is finished stays open in the ledger",
        invariant="I36",
        file="tusd_py/service/accounts.py",
        old="open=not over",
        new="open=True",
        tests=(
            "tests/service/test_accounts.py::test_an_upload_counts_from_its_creation_to_its_end",
        ),
    ),
    Act(
        name="what is removed is counted on",
        invariant="I36",
        file="tusd_py/service/removal.py",
        old="        await self._accounts.left(claim.upload.id)\n",
        new="",
        tests=("tests/service/test_accounts.py::test_what_expires_counts_no_more",),
    ),
    Act(
        name="a body does not wait for what it owes",
        invariant="I26",
        file="tusd_py/service/throttle.py",
        old="            await self._pause(self._stopped, delay_s)\n",
        new="            pass\n",
        tests=("tests/service/test_throttle.py::test_a_body_takes_its_time",),
    ),
)
