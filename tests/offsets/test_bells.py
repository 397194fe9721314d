"""How processes on one directory ask each other for uploads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.work import HeldWork, running_lanes
from tusd_py.offsets.bells import Bell
from tusd_py.protocol.model import UploadId

from .conftest import names_in

ID = UploadId("in/folders")


class Listener:
    """A process with a bell, and what it heard."""

    def __init__(self, directory: Path, run: HeldWork) -> None:
        self.heard: asyncio.Queue[tuple[str, UploadId, str]] = asyncio.Queue()
        self.bell = Bell(
            directory,
            run,
            wanted=lambda upload_id, asker: self.heard.put_nowait(("want", upload_id, asker)),
            freed=lambda upload_id: self.heard.put_nowait(("free", upload_id, "")),
        )

    async def next(self) -> tuple[str, UploadId, str]:
        """What is heard next."""
        async with asyncio.timeout(5):
            return await self.heard.get()


@pytest.fixture
def bells(tmp_path: Path) -> Path:
    """Where the bells hang."""
    return tmp_path / "private" / "bells"


@pytest.fixture
async def pair(bells: Path, run: HeldWork) -> AsyncIterator[tuple[Listener, Listener]]:
    """Two processes."""
    first, second = Listener(bells, run), Listener(bells, run)
    await first.bell.open()
    await second.bell.open()
    yield first, second
    await first.bell.close()
    await second.bell.close()


def write_to(path: Path, content: bytes) -> None:
    """Write to a FIFO as anybody may who has the right to."""
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.write(fd, content)
    os.close(fd)


async def test_asking_rings_at_all_others(pair: tuple[Listener, Listener]) -> None:
    """Who wants an upload is heard by the others, with its name, and not by itself."""
    first, second = pair
    await first.bell.ask_for(ID)
    assert await second.next() == ("want", ID, first.bell.name)
    assert first.heard.empty()


async def test_leaving_rings_at_those_who_asked(pair: tuple[Listener, Listener]) -> None:
    """Who asked hears that the upload is free; a name that left meanwhile does no harm."""
    first, second = pair
    await second.bell.tell_free(ID, ["1-gone", first.bell.name])
    assert (await first.next())[:2] == ("free", ID)
    assert second.heard.empty()


async def test_a_closed_bell_is_gone(bells: Path, run: HeldWork) -> None:
    """Closing takes the bell down; nothing is left in the directory."""
    listener = Listener(bells, run)
    await listener.bell.open()
    assert names_in(bells) == {listener.bell.name}
    await listener.bell.close()
    assert names_in(bells) == set()


async def test_the_bell_of_a_dead_process_is_taken_down(
    pair: tuple[Listener, Listener], bells: Path
) -> None:
    """A FIFO that nobody listens to is removed by whoever rings at it; the others are heard."""
    first, second = pair
    os.mkfifo(bells / "1-dead")
    await first.bell.ask_for(ID)
    assert (await second.next())[0] == "want"
    assert names_in(bells) == {first.bell.name, second.bell.name}


async def test_a_bell_is_never_taken_down_while_it_is_hung_up(bells: Path, run: HeldWork) -> None:
    """Others may ring at any moment, also between making the FIFO and listening to it."""
    listeners = [Listener(bells, run) for _ in range(60)]
    async with running_lanes(1) as lanes:
        ringer = Listener(bells, HeldWork(lanes))
        await ringer.bell.open()
        done = threading.Event()

        def ring_on() -> None:
            while not done.is_set():
                ringer.bell._ring_others(b"want a 1-x\n")

        ringing = asyncio.create_task(asyncio.to_thread(ring_on))
        try:
            for listener in listeners:
                await listener.bell.open()
        finally:
            done.set()
            await ringing
        left = names_in(bells)
        await ringer.bell.close()
    for listener in listeners:
        await listener.bell.close()
    assert left == {listener.bell.name for listener in [ringer, *listeners]}


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n\n\n",
        b"want\n",
        b"want ../../etc/passwd x\n",
        b"dance in/folders x\n",
        b"want in/folders x y\n",
        b"\xff\xfe\x00\n",
        b"x" * 4000 + b"\n",
    ],
)
async def test_garbage_is_ignored(
    pair: tuple[Listener, Listener], bells: Path, garbage: bytes
) -> None:
    """What is not a message does nothing, and the next message is heard."""
    first, second = pair
    write_to(bells / second.bell.name, garbage)
    await first.bell.ask_for(ID)
    assert await second.next() == ("want", ID, first.bell.name)


async def test_a_message_in_pieces_is_put_together(
    pair: tuple[Listener, Listener], bells: Path
) -> None:
    """A line counts when its end has come."""
    _, second = pair
    write_to(bells / second.bell.name, b"want in/fol")
    second.bell._listen()
    write_to(bells / second.bell.name, b"ders 1-x\nfree in/folders 1-x\n")
    assert await second.next() == ("want", ID, "1-x")
    assert await second.next() == ("free", ID, "")


async def test_who_does_not_listen_holds_up_nobody(
    pair: tuple[Listener, Listener], bells: Path
) -> None:
    """A full pipe is skipped: its process is stopped or busy, and the asker tries again."""
    first, second = pair
    asyncio.get_running_loop().remove_reader(second.bell._fd)
    with contextlib.suppress(BlockingIOError):
        while True:
            write_to(bells / second.bell.name, b"x" * 4096)
    async with asyncio.timeout(1):
        await first.bell.ask_for(ID)


async def test_an_asker_cannot_name_a_path(pair: tuple[Listener, Listener], bells: Path) -> None:
    """The name of an asker is a name beside the other bells, never a way out of them."""
    first, _ = pair
    outside = bells.parent / "outside"
    os.mkfifo(outside)
    await first.bell.tell_free(ID, ["../outside"])
    assert outside.exists()
