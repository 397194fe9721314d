"""Hooks that are commands: as tusd runs them, but bounded, and nothing of them is left."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from tests.support.hooks import UPLOAD, Commands, event
from tusd_py.hooks.command import CommandHooks, CommandOptions
from tusd_py.hooks.payload import HookError, format_payload
from tusd_py.interfaces import HookReply, HookType
from tusd_py.protocol.errors import HookUnavailable
from tusd_py.protocol.metadata import format_metadata
from tusd_py.protocol.model import UploadId

PATIENCE_S = 10.0


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """A directory without a command."""
    return Commands(tmp_path / "hooks")


def hooks_in(commands: Commands, **options: Any) -> CommandHooks:
    """Run what is in the directory."""
    return CommandHooks(CommandOptions(directory=commands.directory, **options))


async def gone(pid: int) -> bool:
    """Wait until a process has ended."""
    async with asyncio.timeout(PATIENCE_S):
        while _is_alive(pid):  # noqa: ASYNC110 - the kernel tells nobody else
            await asyncio.sleep(0.01)
    return True


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# --- as tusd does


async def test_a_command_gets_what_tusd_gives(commands: Commands) -> None:
    """JSON in the standard input, three variables, and the directory to run in."""
    commands.script("post-create", "cat > given/a", "env > env", "pwd > pwd", "echo $# > count")
    hooks = hooks_in(commands)
    await hooks.tell(event(HookType.POST_CREATE), "command")
    given = (commands.directory / "given/a").read_text()
    assert given == format_payload(event(HookType.POST_CREATE))
    env = (commands.directory / "env").read_text().splitlines()
    assert {f"TUS_ID={UPLOAD.id}", "TUS_SIZE=10", "TUS_OFFSET=4"} <= set(env)
    assert (commands.directory / "pwd").read_text().strip() == str(commands.directory)
    assert (commands.directory / "count").read_text() == "0\n"


async def test_before_the_creation_there_is_no_id(commands: Commands) -> None:
    """As with tusd TUS_ID is empty; a length that is not known yet is 0."""
    commands.script("pre-create", 'echo "$TUS_ID,$TUS_SIZE" > seen')
    await hooks_in(commands).call(event(upload=replace(UPLOAD, length=None)))
    assert (commands.directory / "seen").read_text() == ",0\n"


async def test_without_a_command_nothing_happens(commands: Commands) -> None:
    """A hook without a file is none; one can be added at any time."""
    hooks = hooks_in(commands)
    assert not hooks.listens_to(HookType.PRE_CREATE)
    assert hooks.receivers(HookType.POST_CREATE) == []
    assert await hooks.call(event()) is None
    commands.answer("pre-create", {"RejectUpload": True})
    assert hooks.listens_to(HookType.PRE_CREATE)
    assert await hooks.call(event()) == HookReply(reject=True)


async def test_a_command_need_not_read(commands: Commands) -> None:
    """Megabytes for a command that is not interested do no harm."""
    metadata = format_metadata({f"k{n}": b"x" * 80 for n in range(60)})
    headers = {f"X-{n}": ["v" * 8000] for n in range(200)}
    asked = event(upload=replace(UPLOAD, metadata=metadata))
    assert asked.request is not None
    asked = replace(asked, request=replace(asked.request, headers=headers))
    commands.script("pre-create", "exit 0")
    assert await hooks_in(commands).call(asked) is None


async def test_whoever_is_only_told_may_chatter(commands: Commands) -> None:
    """For post-hooks the exit code is all that counts."""
    commands.script("post-finish", "echo thanks", "echo a lot >&2")
    await hooks_in(commands).tell(event(HookType.POST_FINISH), "command")


async def test_a_command_may_leave_something_running(commands: Commands) -> None:
    """What a command starts in the background goes on, and holds up nobody."""
    commands.script("post-finish", "(sleep 30 & echo $! > child)", "exit 0")
    async with asyncio.timeout(PATIENCE_S):
        await hooks_in(commands).tell(event(HookType.POST_FINISH), "command")
    child = int((commands.directory / "child").read_text())
    try:
        assert psutil.pid_exists(child)
    finally:
        os.kill(child, 9)


# --- bounds


async def test_time_is_limited_for_all_of_the_group(commands: Commands) -> None:
    """A command that does not end is killed, with everything that it has started."""
    commands.script("pre-create", "trap '' TERM", "sleep 60 &", "echo $! > child", "wait")
    with pytest.raises(HookUnavailable):
        await hooks_in(commands, timeout_s=0.5).call(event())
    assert await gone(int((commands.directory / "child").read_text()))


async def test_whoever_gives_up_takes_it_along(commands: Commands) -> None:
    """When the request is cancelled, its command is killed."""
    commands.script("pre-create", "echo $$ > pid.new", "mv pid.new pid", "sleep 60")
    asking = asyncio.create_task(hooks_in(commands).call(event()))
    async with asyncio.timeout(PATIENCE_S):
        while not (commands.directory / "pid").exists():  # noqa: ASYNC110 - nor does a command
            await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait([asking])
    assert await gone(int((commands.directory / "pid").read_text()))


async def test_only_so_many_run_at_once(commands: Commands) -> None:
    """Others wait for room; who waits too long is told that the hook cannot be reached."""
    commands.script("pre-create", "echo $$ >> running", "sleep 60")
    hooks = hooks_in(commands, at_once=2, timeout_s=1.0)
    calls = [asyncio.create_task(hooks.call(event())) for _ in range(5)]
    await asyncio.wait(calls)
    assert [type(call.exception()) for call in calls] == [HookUnavailable] * 5
    assert len((commands.directory / "running").read_text().splitlines()) <= 4


async def test_output_is_limited(commands: Commands) -> None:
    """A98: a command that writes without end is killed at the limit."""
    commands.script("pre-create", "echo $$ > pid", "exec cat /dev/zero")
    with pytest.raises(HookError, match="too long"):
        await hooks_in(commands).call(event())
    assert await gone(int((commands.directory / "pid").read_text()))


async def test_complaints_are_logged_in_part(
    commands: Commands, caplog: pytest.LogCaptureFixture
) -> None:
    """Its standard error goes to the log, however much it is, and holds up nobody."""
    caplog.set_level("INFO")
    commands.script("pre-create", "echo useful >&2", "head -c 1000000 /dev/zero >&2")
    assert await hooks_in(commands).call(event()) is None
    (record,) = [record for record in caplog.records if record.message == "HookOutput"]
    assert record.__dict__["text"].startswith("useful\n")
    assert len(record.__dict__["text"]) < 4096


# --- failures are no consent


@pytest.mark.parametrize(
    "lines", [["exit 1"], ["echo no"], ["kill -9 $$"], ["echo '{\"RejectUpload\":1}'"]]
)
async def test_whatever_goes_wrong_is_a_failure(commands: Commands, lines: list[str]) -> None:
    """A100: an exit code, a signal or output that is no reply."""
    commands.script("pre-create", *lines)
    with pytest.raises(HookError):
        await hooks_in(commands).call(event())


async def test_what_cannot_be_run_is_a_failure(commands: Commands) -> None:
    """A file that is no program, a missing interpreter, a folder."""
    for make in (
        lambda path: path.write_text("neither"),
        lambda path: (path.write_text("#!/missing\n"), path.chmod(0o755)),
        lambda path: (path.unlink(), path.mkdir()),
    ):
        make(commands.directory / "pre-create")
        with pytest.raises(HookError):
            await hooks_in(commands).call(event())


# --- attacks


async def test_nothing_of_a_client_is_a_command(commands: Commands, tmp_path: Path) -> None:
    """A103: there is no shell: metacharacters in ids, metadata and headers are just text."""
    evil = f"$(touch {tmp_path}/owned); `touch {tmp_path}/owned`\nFOO=bar\x00"
    upload = replace(
        UPLOAD,
        id=UploadId("a=b;$(x)"),  # no id could be so, and still
        metadata=format_metadata({"filename": evil.encode(), "$(x)": b""}),
    )
    asked = event(HookType.POST_CREATE, upload)
    assert asked.request is not None
    asked = replace(asked, request=replace(asked.request, headers={"X": [evil]}))
    commands.script("post-create", "cat > given/a", "env > env")
    await hooks_in(commands).tell(asked, "command")
    told = json.loads((commands.directory / "given/a").read_text())
    assert told["Event"]["Upload"]["MetaData"]["filename"] == evil
    env = (commands.directory / "env").read_text().splitlines()
    assert "TUS_ID=a=b;$(x)" in env
    assert not any(line.startswith("FOO") for line in env)
    assert not (tmp_path / "owned").exists()


async def test_commands_do_not_see_our_settings(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A102: secrets of the server in its environment are not handed on; all else is."""
    monkeypatch.setenv("TUSD_PY_HOOKS_HTTP_SECRET", "whsec_x")
    monkeypatch.setenv("THEIR_OWN", "1")
    commands.script("post-create", "env > env")
    await hooks_in(commands).tell(event(HookType.POST_CREATE), "command")
    env = (commands.directory / "env").read_text()
    assert "whsec_x" not in env
    assert "THEIR_OWN=1" in env


def test_uvloop_runs_commands_as_well(commands: Commands) -> None:
    """The program runs on uvloop, whose transports differ: replies, ends and time limits hold."""
    commands.answer("pre-create", {"RejectUpload": True})
    commands.script("pre-finish", "exit 3")
    commands.script("pre-terminate", "sleep 60 & wait")
    commands.script("pre-access", "exec cat /dev/zero")

    async def run() -> None:
        hooks = hooks_in(commands, timeout_s=1.0)
        for _ in range(20):  # one that ends before it is fed, or after
            with pytest.raises(HookError, match="ended with 3"):
                await hooks.call(event(HookType.PRE_FINISH))
        assert await hooks.call(event()) == HookReply(reject=True)
        with pytest.raises(HookUnavailable):
            await hooks.call(event(HookType.PRE_TERMINATE))
        with pytest.raises(HookError, match="too long"):
            await hooks.call(event(HookType.PRE_ACCESS))

    uvloop.run(run())
