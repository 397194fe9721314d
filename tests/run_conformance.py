"""Runs the conformance suite against this server, once for each store there is.

``python tests/run_conformance.py redis`` runs it only with stores whose name has that word.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.redis_server import running_redis  # noqa: E402

EXPIRE_AFTER_S = 3

SERVE = (sys.executable, "-m", "tusd_py", "serve", "--host", "127.0.0.1", "--port", "0")
EXPIRY = ("--expire-after", f"{EXPIRE_AFTER_S}s")


def servers(folder: Path, redis_url: str) -> dict[str, tuple[str, ...]]:
    """Return the command of each server by what is special about it."""
    return {
        "a directory": (
            *(*SERVE, *EXPIRY, "--upload-dir", str(folder / "complete")),
            *("--max-size", "1GB"),
        ),
        "a directory, durability ack, two workers": (
            *(*SERVE, *EXPIRY, "--upload-dir", str(folder / "ack")),
            *("--durability", "ack", "--workers", "2"),
        ),
        "a directory and redis, two workers": (
            *(*SERVE, *EXPIRY, "--upload-dir", str(folder / "redis")),
            *("--redis-url", redis_url, "--workers", "2"),
        ),
        "memory": (sys.executable, "-m", "tests.support.memory_server", *EXPIRY),
    }


def run_suite(name: str, command: tuple[str, ...]) -> bool:
    """Start the server, run the suite against it, stop it; return whether all passed."""
    print(f"\n=== conformance with {name}", flush=True)
    with (
        tempfile.TemporaryFile() as log,  # a line for each request is too much to read
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
        ) as server,
    ):
        try:
            assert server.stdout is not None
            url = server.stdout.readline().removeprefix("Upload to ").strip()
            suite = [
                *(sys.executable, "-m", "pytest", "tests/conformance", "-q"),
                *("--url", url, "--house", "--expires-in", str(EXPIRE_AFTER_S + 5)),
            ]
            passed = subprocess.run(suite, cwd=ROOT, check=False).returncode == 0
            if not passed:
                log.seek(0)
                print(log.read().decode(errors="replace"))
            return passed
        finally:
            server.terminate()


def main() -> int:
    """Run the suite against each server; return 1 if a test failed anywhere."""
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, running_redis() as redis:
        failed = [
            name
            for name, command in servers(Path(folder), redis.url).items()
            if all(word in name for word in words) and not run_suite(name, command)
        ]
    for name in failed:
        print(f"not conformant: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
