"""A server whose stores are the fakes in memory: ``python -m tests.support.memory_server``."""

from __future__ import annotations

import argparse
from pathlib import Path

from tusd_py import Settings, Stores
from tusd_py.data.memory import MemoryData
from tusd_py.offsets.memory import MemoryOffsets
from tusd_py.server import run_worker, upload_url
from tusd_py.web.listening import listen_tcp


def main() -> None:
    """Serve on a free port of loopback until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--expire-after", default="0")
    options = parser.parse_args()
    settings = Settings.model_validate(
        {"host": "127.0.0.1", "upload_dir": Path("unused"), "expire_after": options.expire_after}
    )
    with listen_tcp("127.0.0.1", 0) as sock:

        def ready() -> None:
            print(f"Upload to {upload_url(settings, sock)}", flush=True)

        run_worker(settings, sock, ready, stores=Stores(MemoryOffsets(), MemoryData()))


if __name__ == "__main__":
    main()
