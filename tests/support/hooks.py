"""Events to send, and real ends that hooks lead to."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from tusd_py.interfaces import HookEvent, HookType, RequestInfo
from tusd_py.protocol.metadata import Metadata
from tusd_py.protocol.model import Upload, UploadId

EVENT_ID = "00112233445566778899aabbccddeeff"
AT = 1_700_000_000.25
UPLOAD = Upload(
    id=UploadId("0123456789abcdef0123456789abcdef"),
    length=10,
    offset=4,
    metadata=Metadata("filename eA==,empty"),
    storage={"Type": "filestore", "Path": "/up/0123", "InfoPath": "/up/0123.info"},
    owner="ann",
)
REQUEST = RequestInfo(
    method="PATCH",
    uri="/files/0123?a=b",
    remote="127.0.0.1",
    port=5000,
    headers={"Host": ["x.org"], "X-Cat": ["a", "b"], "Authorization": ["Bearer t"]},
)


def event(kind: HookType = HookType.PRE_CREATE, upload: Upload = UPLOAD) -> HookEvent:
    """Return an event."""
    return HookEvent(type=kind, upload=upload, request=REQUEST, id=EVENT_ID, at=AT)


Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def receiving(handle: Handle) -> AsyncIterator[str]:
    """Serve one handler for everything on loopback; yields the URL."""
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/"
    finally:
        await runner.cleanup()


class Receiver:
    """An HTTP endpoint for hooks; it notes what comes and answers as the test has said.

    Attributes:
        received: the payloads, parsed.
        says: the reply to each type of hook; an int is a status.
    """

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.requests: list[tuple[Mapping[str, str], bytes]] = []
        self.says: dict[str, Mapping[str, Any] | int] = {}

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        content = await request.read()
        self.requests.append((dict(request.headers), content))
        payload = json.loads(content)
        self.received.append(payload)
        says = self.says.get(payload["Type"], {})
        if isinstance(says, int):
            return web.Response(status=says)
        return web.json_response(says)

    @property
    def types(self) -> list[str]:
        """What has been received, in order."""
        return [payload["Type"] for payload in self.received]


class Commands:
    """A directory of hook commands; each notes what it is given and answers as it was told.

    Args:
        directory: made if missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "given").mkdir(parents=True)

    def script(self, name: str, *lines: str) -> Path:
        """Put a command in the directory: these lines of shell, and nothing else."""
        path = self.directory / name
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        path.chmod(0o755)
        return path

    def answer(self, name: str, reply: Mapping[str, Any] | str | None = None) -> None:
        """Put a command in the directory that notes its input and gives this reply."""
        text = reply if isinstance(reply, str) else "" if reply is None else json.dumps(reply)
        (self.directory / f"{name}.reply").write_text(text)
        # Nobody may read what is only half written.
        take = f"cat > half-$$ && mv half-$$ given/$$-{name}"
        self.script(name, take, f"cat {name}.reply")

    @property
    def received(self) -> list[Any]:
        """The payloads, parsed, the oldest first."""
        given = sorted((self.directory / "given").iterdir(), key=lambda p: p.stat().st_mtime_ns)
        return [json.loads(path.read_text()) for path in given]
