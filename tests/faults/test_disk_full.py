"""A disk without room: the client is told 507, and everything that needs no room goes on."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

from tests.support.server import running_server
from tests.support.small_disk import small_disk

from .needed import needs_root
from .shim import Action, Call, Shim
from .uploading import Uploading, some_bytes, whole

MIB = 1 << 20


@pytest.fixture(params=["complete", "ack"])
def level(request: pytest.FixtureRequest) -> str:
    """The durability."""
    return str(request.param)


def test_a_disk_that_gets_full_in_a_body(tmp_path: Path, level: str) -> None:
    """What fits is kept; HEAD, GET and DELETE work; with room again it goes on."""
    needs_root()
    with (
        small_disk(tmp_path / "disk", 2 * MIB) as disk,
        running_server(disk.path / "uploads", "--durability", level) as server,
    ):
        done, other = whole(server), whole(server)
        upload = Uploading(server, some_bytes(4 * MIB))
        assert upload.patch(0).status == 507
        assert MIB < upload.offset == upload.stored_bytes < 2 * MIB
        kept = upload.offset
        assert upload.patch(kept).status == 507
        assert upload.patch(kept, checksum=True).status == 507
        assert upload.offset == kept
        before = set(os.listdir(server.upload_dir))
        full = upload.client.send("POST", "", b"", Upload_Length="5")
        assert full.status in (201, 507)  # a tmpfs may have room for a name
        if full.status == 507:
            assert set(os.listdir(server.upload_dir)) == before
        done.check_whole()
        assert done.client.send("DELETE", done.name).status == 204
        assert done.client.head(done.name).status in (404, 410)
        disk.change(f"size={16 * MIB}")
        upload.resume()
        other.check_whole()
        assert not os.listdir(server.upload_dir / ".tusd_py" / "new")


def test_a_disk_without_room_for_another_file(tmp_path: Path, level: str) -> None:
    """Nothing half-made stays, what is there can be read and removed, and then it goes on."""
    needs_root()
    with (
        small_disk(tmp_path / "disk", 8 * MIB, files=30) as disk,
        running_server(disk.path / "uploads", "--durability", level) as server,
    ):
        done = whole(server)
        begun = [Uploading(server, some_bytes(1_000))]
        assert begun[0].patch(0, 500).status == 204
        for _ in range(30):
            answer = done.client.send("POST", "", b"", Upload_Length="1000")
            if answer.status != 201:
                break
        assert answer.status == 507
        names = os.listdir(server.upload_dir)
        assert all(name + ".info" in names for name in names if "." not in name)
        assert not os.listdir(server.upload_dir / ".tusd_py" / "new")
        done.check_whole()
        assert begun[0].offset == 500
        assert begun[0].patch(500).status in (204, 507)  # a new record needs a file
        assert done.client.send("DELETE", done.name).status == 204
        begun[0].resume()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_write_without_room(shim: Shim, tmp_path: Path, error: int) -> None:
    """However the system says that there is no room, it is 507 and the offset is exact."""
    with running_server(tmp_path / "uploads", env=shim.env) as server:
        upload, other = Uploading(server, some_bytes(5 * MIB)), whole(server)
        path = server.upload_dir / upload.name
        with shim.fault(Action.FAIL, Call.WRITE, path=path, skip=1, error=error):
            assert upload.patch(0).status == 507
            assert 0 < upload.offset == upload.stored_bytes < 5 * MIB
            other.check_whole()
            Uploading(server, some_bytes(1_000)).resume()
        upload.resume()


def test_room_that_is_missing_only_at_the_sync(shim: Shim, tmp_path: Path) -> None:
    """A thin disk takes writes and then has no room for them: nothing of that counts."""
    with running_server(tmp_path / "uploads", "--durability", "ack", env=shim.env) as server:
        upload = Uploading(server, some_bytes(3 * MIB))
        assert upload.patch(0, MIB).status == 204
        path = server.upload_dir / upload.name
        with shim.fault(Action.FAIL, Call.FDATASYNC, path=path, times=1, error=errno.ENOSPC):
            assert upload.patch(MIB).status == 507
        assert upload.offset == upload.stored_bytes == MIB
        upload.resume()


def test_a_limit_of_the_size_of_files(tmp_path: Path) -> None:
    """RLIMIT_FSIZE cuts a write short, then refuses: the offset is where the limit is."""
    with running_server(tmp_path / "uploads") as server:
        upload = Uploading(server, some_bytes(300_000))
        before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (100_000, before[1]))
        assert upload.patch(0).status == 507
        assert upload.offset == upload.stored_bytes == 100_000
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)
        upload.resume()
