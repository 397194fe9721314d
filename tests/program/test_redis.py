"""The program with Redis: start, upload, loss, rebuild."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.redis_server import running_redis
from tusd_py.offsets.directory import RecordDirectory
from tusd_py.protocol.model import Upload, UploadId


def tusd_py(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TUSD_PY_")}
    return subprocess.run(
        [sys.executable, "-m", "tusd_py", *arguments],
        capture_output=True,
        text=True,
        env=env,
        timeout=30,
        check=False,
    )


def test_redis_that_is_down_is_one_sentence(tmp_path: Path) -> None:
    """The program does not start without its Redis, and says why without the password."""
    url = "redis://:secret@127.0.0.1:1"
    done = tusd_py("serve", "--port", "0", "--upload-dir", str(tmp_path), "--redis-url", url)
    assert done.returncode == 1
    assert done.stderr.startswith("tusd-py: cannot start: Redis at redis://127.0.0.1:1 cannot")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_a_wrong_url_is_one_sentence(tmp_path: Path) -> None:
    """A URL that cannot be understood is a mistake in the settings."""
    url = "http://:secret@redis"
    done = tusd_py("serve", "--port", "0", "--upload-dir", str(tmp_path), "--redis-url", url)
    assert done.returncode == 2
    assert done.stderr.startswith("tusd-py: redis-url must begin with redis://")
    assert "secret" not in done.stderr


def test_records_are_rebuilt(tmp_path: Path) -> None:
    """`rebuild` takes every upload up that Redis does not know, and tells of each."""
    records = RecordDirectory(tmp_path)
    records.make()
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"12")
        storage = {"Path": str(tmp_path / name), "Type": "filestore"}
        upload = Upload(id=UploadId(name), length=5, storage=storage)
        records.add(upload, durable=False).file.close()
    (tmp_path / "b.info").write_text("{")
    with running_redis() as server:
        options = ["--upload-dir", str(tmp_path), "--redis-url", server.url]
        done = tusd_py("rebuild", "--json", *options)
        assert done.returncode == 1
        *lines, sums = [json.loads(line) for line in done.stdout.splitlines()]
        assert {line["id"]: line["outcome"] for line in lines} == {
            "a": "rebuilt",
            "b": "ERR_UPLOAD_DAMAGED",
        }
        assert sums == {"sums": {"rebuilt": 1, "ERR_UPLOAD_DAMAGED": 1}}
        (tmp_path / "b.info").unlink()
        done = tusd_py("rebuild", *options)
        assert (done.returncode, done.stdout) == (0, "1 present\n")


def test_without_redis_there_is_nothing_to_rebuild(tmp_path: Path) -> None:
    """The embedded store cannot lose its records."""
    done = tusd_py("rebuild", "--upload-dir", str(tmp_path))
    assert (done.returncode, "redis-url is missing" in done.stderr) == (2, True)
