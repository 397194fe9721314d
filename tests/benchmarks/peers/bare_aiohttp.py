"""aiohttp alone: ``python bare_aiohttp.py DIRECTORY PORT``; what no server on it can go below.

It takes a body, writes it and a second file as small as a record, and answers like an upload
server: nothing is checked, counted, logged or kept from others.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import socket
import sys

import uvloop
from aiohttp import web

_RECORD = bytes(400)


def serve(listening: socket.socket, directory: str) -> None:
    """Serve until SIGTERM."""
    names = (f"{directory}/{os.getpid()}-{n}" for n in itertools.count())

    async def create(request: web.Request) -> web.Response:
        body = await request.read()
        name = next(names)
        _write(name, body)
        _write(f"{name}.info", _RECORD)
        headers = {"Location": f"/files/{name}", "Tus-Resumable": "1.0.0"}
        return web.Response(status=201, headers=headers | {"Upload-Offset": str(len(body))})

    app = web.Application()
    app.router.add_post("/files/", create)
    web.run_app(app, sock=listening, access_log=None, print=None, loop=uvloop.new_event_loop())


def _write(name: str, content: bytes) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o664)
    os.write(fd, content)
    os.close(fd)


def main(directory: str, port: str) -> None:
    """Serve with a process for each core."""
    own, *others = [
        socket.create_server(("127.0.0.1", int(port)), reuse_port=True)
        for _ in range(os.cpu_count() or 1)
    ]
    for listening in others:
        multiprocessing.Process(target=serve, args=(listening, directory), daemon=True).start()
    for listening in others:
        listening.close()
    serve(own, directory)


if __name__ == "__main__":
    main(*sys.argv[1:])
