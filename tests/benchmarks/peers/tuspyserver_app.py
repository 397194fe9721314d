"""tuspyserver on uvicorn: ``python tuspyserver_app.py DIRECTORY PORT``; runs in its own venv."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from tuspyserver import create_tus_router


def main(directory: str, port: str) -> None:
    """Serve until SIGTERM."""
    app = FastAPI()
    app.include_router(create_tus_router(prefix="files", files_dir=directory))
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(port),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
