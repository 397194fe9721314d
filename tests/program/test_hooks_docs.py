"""The pages about hooks: what they print is what the code does, and their examples work."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.hooks import event, receiving
from tusd_py import (
    HookReply,
    HookType,
    Operation,
    Quota,
    RequestInfo,
    ResponseChange,
    Settings,
    UploadLimits,
)
from tusd_py.hooks.command import CommandHooks, CommandOptions
from tusd_py.hooks.http import HttpHooks, HttpOptions
from tusd_py.hooks.payload import format_payload, parse_reply
from tusd_py.hooks.signing import Signer, parse_secrets
from tusd_py.interfaces import HookEvent
from tusd_py.protocol.errors import Forbidden, TerminationRejected, UploadRejected
from tusd_py.protocol.metadata import Metadata
from tusd_py.protocol.model import Upload, UploadId

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCE = (DOCS / "reference/hooks.md").read_text()
NAMELESS = replace(event().upload, metadata=Metadata())
REFUSAL = HookReply(reject=True, response=ResponseChange(status=422, body="a filename, please\n"))
TUSDS = frozenset(HookType) - {
    *(HookType.PRE_ACCESS, HookType.POST_INTERRUPT, HookType.POST_EXPIRE),
}


def json_blocks() -> list[Any]:
    """Return what the page of reference shows as JSON."""
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", REFERENCE, re.DOTALL)]


def example(name: str) -> str:
    """Return the code block of the guide that has this name."""
    page = (DOCS / "howto/hooks.md").read_text()
    match = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)```", page, re.DOTALL)
    assert match is not None
    return match[1]


def run(name: str) -> Mapping[str, Any]:
    """Run an example as a module that is imported; return its names."""
    scope: dict[str, Any] = {"__name__": "example"}
    exec(compile(example(name), name, "exec"), scope)  # noqa: S102 - our own example
    return scope


# --- the reference


def test_every_hook_is_in_the_table() -> None:
    """In order, with whether tusd has it, and whether it is on by default."""
    rows = re.findall(r"^\| `([a-z-]+)` \|.*\| (yes|no) \| (yes|no) \|$", REFERENCE, re.MULTILINE)
    default = Settings().hooks_enabled_events
    said = {True: "yes", False: "no"}
    assert rows == [(kind, said[kind in TUSDS], said[kind in default]) for kind in HookType]


def test_the_payload_is_what_is_sent() -> None:
    """Every key of the page, with its type and in its place."""
    shown, _ = json_blocks()
    fields = shown["Event"]
    upload, request = fields["Upload"], fields["HTTPRequest"]
    host, _, port = request["RemoteAddr"].partition(":")
    sent = HookEvent(
        type=HookType(shown["Type"]),
        id=fields["ID"],
        at=1_700_000_000.0,
        upload=Upload(
            id=UploadId(upload["ID"]),
            length=upload["Size"],
            offset=upload["Offset"],
            metadata=Metadata("filename aGVsbG8udHh0"),
            owner=upload["Owner"],
            storage=upload["Storage"],
        ),
        request=RequestInfo(
            method=request["Method"],
            uri=request["URI"],
            remote=host,
            port=int(port),
            headers=request["Header"],
        ),
    )
    assert json.loads(format_payload(sent)) == shown


@pytest.mark.parametrize("kind", HookType)
def test_the_reply_is_understood(kind: HookType) -> None:
    """Every key of the page says something to the hooks that it is for."""
    _, shown = json_blocks()
    reply = parse_reply(kind, json.dumps(shown).encode())
    assert reply == HookReply(
        id="cats/tom-1",
        metadata={"filename": "tom.jpg"},
        storage_path="cats/tom.jpg",
        reject=True,
        stop=True,
        limits=UploadLimits(
            max_size=1_000_000_000,
            bytes_per_second=1_000_000,
            quota=Quota(
                open_uploads=3,
                total_bytes=5_000_000_000,
                uploads_per_minute=10,
                bytes_per_second=2_000_000,
            ),
        ),
        response=ResponseChange(status=403, body="no\n", headers={"X-Reason": "quota"}),
    )
    if kind.value.startswith("pre-"):
        key = {"pre-access": "RejectAccess", "pre-terminate": "RejectTermination"}
        only = {key.get(kind, "RejectUpload"): True}
        assert parse_reply(kind, json.dumps(only).encode()).reject


def test_the_statuses_are_those_of_the_errors() -> None:
    """The table says which status a refusal has."""
    for kind, error in (
        ("pre-access", Forbidden),
        ("pre-create", UploadRejected),
        ("pre-finish", UploadRejected),
        ("pre-terminate", TerminationRejected),
    ):
        row = rf"^\| `{kind}` \|.*Reject[A-Za-z]+`: {error.status}"
        assert re.search(row, REFERENCE, re.MULTILINE)


def test_the_operations_are_named() -> None:
    """All that pre-access can be asked about."""
    line = next(line for line in REFERENCE.splitlines() if line.startswith("- `Operation`"))
    assert set(re.findall(r"`([a-z]+)`", line)) == set(Operation) - {"create", "finish"}


# --- the guide


async def test_the_callable_works(capsys: pytest.CaptureFixture[str]) -> None:
    """It refuses what has no name, lets the rest pass, and tells of what is finished."""
    hook = run("python")["hook"]
    assert await hook(event(upload=NAMELESS)) == REFUSAL
    assert await hook(event()) is None
    assert await hook(event(HookType.POST_FINISH)) is None
    assert capsys.readouterr().out == "got x 10\n"


async def test_the_endpoint_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same over HTTP; what is not signed is refused, and nothing is done twice."""
    secret = "whsec_" + base64.b64encode(b"s" * 32).decode() + "\n"
    (tmp_path / "hook-secret").write_text(secret)
    monkeypatch.chdir(tmp_path)
    handle = run("http")["hook"]
    async with receiving(handle) as url:
        options = HttpOptions(url=url)
        hooks = HttpHooks(options, signer=Signer(parse_secrets(secret)), clock=time.time)
        await hooks.open()
        assert await hooks.call(event(upload=NAMELESS)) == REFUSAL
        assert await hooks.call(event()) == HookReply()
        for _ in range(2):
            await hooks.tell(event(HookType.POST_FINISH), "http")
        await hooks.close()
        unsigned = HttpHooks(options)
        await unsigned.open()
        with pytest.raises(Exception, match="401"):
            await unsigned.call(event())
        await unsigned.close()
    assert capsys.readouterr().out == "got x 10\n"


async def test_the_command_works(tmp_path: Path) -> None:
    """The same as an executable."""
    command = tmp_path / "pre-create"
    command.write_text(example("command"))
    command.chmod(0o755)
    hooks = CommandHooks(CommandOptions(directory=tmp_path))
    assert await hooks.call(event(upload=NAMELESS)) == REFUSAL
    assert await hooks.call(event()) is None
