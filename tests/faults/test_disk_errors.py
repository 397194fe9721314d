"""A disk that fails: 503, never the client's fault, and nothing is believed that is not stored."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from tests.support import raw_http
from tests.support.redis_server import running_redis
from tests.support.server import running_server
from tests.support.small_disk import small_disk
from tests.support.tusd import Client

from .crash_script import KILLED
from .needed import needs, needs_root
from .shim import ALWAYS, Action, Call, Shim
from .uploading import Uploading, some_bytes, whole

MIB = 1 << 20


@pytest.mark.parametrize("level", ["complete", "ack"])
@pytest.mark.parametrize("times", [1, ALWAYS], ids=["once", "for-ever"])
def test_a_write_that_fails(shim: Shim, tmp_path: Path, times: int, level: str) -> None:
    """What was written before counts, other uploads go on, and this one does afterwards."""
    with running_server(tmp_path / "uploads", "--durability", level, env=shim.env) as server:
        upload, other = Uploading(server, some_bytes(4 * MIB)), whole(server)
        path = server.upload_dir / upload.name
        with shim.fault(Action.FAIL, Call.WRITE, path=path, skip=1, times=times, error=errno.EIO):
            assert upload.patch(0).status == 503
            assert 0 < upload.offset == upload.stored_bytes < 4 * MIB
            other.check_whole()
            Uploading(server, some_bytes(1_000)).resume()
        upload.resume()


def test_short_writes(shim: Shim, tmp_path: Path) -> None:
    """A disk that takes half of everything gets the other half, too."""
    with running_server(tmp_path / "uploads", env=shim.env) as server:
        upload = Uploading(server, some_bytes(3 * MIB))
        with shim.fault(Action.SHORT, Call.WRITE, path=server.upload_dir):
            assert upload.patch(0, MIB, checksum=True).status == 204
            assert upload.patch(MIB).status == 204
        assert shim.met > 8
        upload.check_whole()


@pytest.mark.parametrize("truncate", [True, False], ids=["can-be-cut", "cannot-be-cut"])
def test_a_failed_sync_is_not_healed_by_the_next(
    shim: Shim, tmp_path: Path, *, truncate: bool
) -> None:
    """The kernel forgets it, so its bytes are sent again, even if they could not be cut off."""
    with running_server(tmp_path / "uploads", "--durability", "ack", env=shim.env) as server:
        upload = Uploading(server, some_bytes(3 * MIB))
        assert upload.patch(0, MIB).status == 204
        calls = Call.FDATASYNC if truncate else Call.FDATASYNC | Call.TRUNCATE
        path = server.upload_dir / upload.name
        with shim.fault(Action.FAIL, calls, path=path, error=errno.EIO):
            assert upload.patch(MIB).status == 503
        assert upload.offset == MIB
        upload.resume()


def test_what_a_crash_left_is_not_believed_after_a_failed_sync(shim: Shim, tmp_path: Path) -> None:
    """All bytes were there when the server died, but the disk does not take them."""
    folder = tmp_path / "uploads"
    with running_server(folder, env=shim.env) as server:
        upload = Uploading(server, some_bytes(2 * MIB))
        assert upload.patch(0, MIB).status == 204
        path = folder / upload.name
        with shim.fault(Action.KILL_BEFORE, Call.FDATASYNC, path=path):
            with pytest.raises(raw_http.NoAnswer):
                upload.patch(MIB)
            server.process.wait(30)
    with running_server(folder, env=shim.env) as server:
        client = Client(server.url)
        with shim.fault(Action.FAIL, Call.FDATASYNC, path=path, times=1, error=errno.EIO):
            assert client.head(upload.name).status == 423
        assert shim.met == 1
        head = client.head(upload.name)
        assert head.offset == path.stat().st_size < 2 * MIB
        assert client.patch(upload.name, head.offset, upload.content[head.offset :]).status == 204
        assert client.get(upload.name).body == upload.content


def test_bytes_that_are_lost_at_close(shim: Shim, tmp_path: Path) -> None:
    """NFS and quotas may tell as late as that; what was not synced is sent again."""
    with (
        running_redis() as redis,
        running_server(tmp_path / "uploads", "--redis-url", redis.url, env=shim.env) as server,
    ):
        upload = Uploading(server, some_bytes(2 * MIB))
        path = server.upload_dir / upload.name
        with shim.fault(Action.FAIL, Call.CLOSE, path=path, times=1, error=errno.EIO):
            assert upload.patch(0, MIB).status == 503
        assert shim.met == 1
        assert upload.offset == upload.stored_bytes == 0
        upload.resume()


def test_a_disk_that_cannot_be_read(shim: Shim, tmp_path: Path) -> None:
    """A download is broken off, a concatenation fails as a whole, and both can be repeated."""
    with running_server(tmp_path / "uploads", env=shim.env) as server:
        upload = Uploading(server, some_bytes(6 * MIB))
        upload.resume()
        client = upload.client
        path = server.upload_dir / upload.name
        with (
            shim.fault(Action.FAIL, Call.READ, path=path, skip=1, error=errno.EIO),
            pytest.raises(KILLED),
        ):
            client.get(upload.name)
        upload.check_whole()
        body, part = some_bytes(2 * MIB), {"Upload_Concat": "partial"}
        parts = [client.create(len(body), **part), client.create(len(body), **part)]
        for name in parts:
            assert client.patch(name, 0, body).status == 204
        urls = {"Upload_Concat": "final;" + " ".join(client.url(name) for name in parts)}
        names = sorted(path.name for path in server.upload_dir.iterdir())
        calls = Call.COPY | Call.TRUNCATE  # nor can what was copied be cut off
        with shim.fault(Action.FAIL, calls, path=server.upload_dir, skip=1, error=errno.EIO):
            assert client.send("POST", "", b"", **urls).status == 503
        assert sorted(path.name for path in server.upload_dir.iterdir()) == names
        assert client.get(client.concatenate(*parts)).body == body * 2


def test_a_disk_that_became_read_only(tmp_path: Path) -> None:
    """What needs no writing goes on; the rest is 503 until it can be written to."""
    needs_root()
    with (
        small_disk(tmp_path / "disk", 16 * MIB) as disk,
        running_server(disk.path) as server,
    ):
        done, upload = whole(server), Uploading(server, some_bytes(2 * MIB))
        assert upload.patch(0, MIB).status == 204
        disk.change("ro")
        done.check_whole()
        assert upload.offset == MIB
        assert upload.patch(MIB).status == 503
        assert upload.patch(MIB, checksum=True).status == 503
        assert done.client.send("POST", "", b"", Upload_Length="5").status == 503
        assert done.client.send("DELETE", done.name).status == 503
        done.check_whole()
        disk.change("rw")
        upload.resume()
        assert done.client.send("DELETE", done.name).status == 204


def test_a_file_that_nobody_may_change(tmp_path: Path) -> None:
    """An immutable file is a fault of this upload only."""
    needs_root()
    with running_server(tmp_path / "uploads") as server:
        upload, other = Uploading(server, some_bytes(2 * MIB)), Uploading(server, some_bytes(MIB))
        assert upload.patch(0, MIB).status == 204
        path = server.upload_dir / upload.name
        changed = subprocess.run(["chattr", "+i", path], check=False, capture_output=True)
        needs(changed.returncode == 0, "needs a file system on which files can be immutable")
        try:
            assert upload.patch(MIB).status == 503
            assert upload.client.send("DELETE", upload.name).status == 503
            assert upload.offset == MIB
            other.resume()
        finally:
            subprocess.run(["chattr", "-i", path], check=True)
        upload.resume()
