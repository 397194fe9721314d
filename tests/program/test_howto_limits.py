"""The guide to limits does what it says: its own code is run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

from tests.access.making import SECRET, token
from tests.support.raw_http import exchange, request
from tests.support.server import running_server
from tusd_py.access.jwt import JwtRules, JwtTokens
from tusd_py.access.keys import FileKeys, Secret
from tusd_py.access.tokens import parse_tokens
from tusd_py.interfaces import Access, Grant, Operation, RequestInfo
from tusd_py.protocol.quota import Quota

PAGE = (Path(__file__).resolve().parents[2] / "docs/howto/limit-users.md").read_text()
GIB = 1024**3


def block(name: str) -> str:
    """Return the code block of that name."""
    match = re.search(rf"<!-- run: {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert match is not None
    return match[1]


def test_the_server(tmp_path: Path) -> None:
    """It starts with these options, and keeps to them."""
    program, serve, *options = shlex.split(block("serve").replace("\\\n", ""))
    assert (program, serve) == ("tusd-py", "serve")
    place = options.index("--min-free-space")
    options[place + 1] = "1MiB"  # who knows what is free here
    with running_server(tmp_path / "data", *options) as server:
        for length, status in ((10 * GIB + 1, 413), (0, 201)):
            fields = (("Tus-Resumable", "1.0.0"), ("Upload-Length", str(length)))
            assert exchange(server.port, request("POST", "/files/", *fields)).status == status


def test_a_token() -> None:
    """Its limits are those of the page."""
    (grant,) = parse_tokens(block("tokens").encode()).values()
    assert grant == Grant(
        owner="scanner",
        quota=Quota(
            open_uploads=3, total_bytes=5 * GIB, uploads_per_minute=10, bytes_per_second=1024**2
        ),
        bytes_per_second=512 * 1024,
    )


async def test_a_jwt(tmp_path: Path) -> None:
    """With the setting of the page."""
    assert "--auth-jwt-quota-claim upload_quota" in PAGE
    (tmp_path / "secret").write_text(SECRET)
    rules = JwtRules(algorithms=("HS256",), quota_claim="upload_quota")
    check = JwtTokens(FileKeys(tmp_path / "secret", Secret), rules)
    grant = await check.grant(token(**json.loads(block("claims"))), Operation.CREATE)
    assert grant == Grant(owner="anna", quota=Quota(open_uploads=3, total_bytes=5 * GIB))


async def test_python() -> None:
    """The callable grants what it says."""
    scope: dict[str, Any] = {}
    exec(block("grant"), scope)  # noqa: S102 - our own page
    info = RequestInfo(method="POST", uri="/", remote="", headers={"X-User": ["eve"]})
    grant = await scope["authorize"](Access(operation=Operation.CREATE, request=info, upload=None))
    assert grant == Grant(owner="eve", quota=Quota(open_uploads=3, bytes_per_second=1024**2))
