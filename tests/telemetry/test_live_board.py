"""What all processes of a server receive, as one picture."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from tusd_py.interfaces.occurrences import BodyBegun, BodyEnded
from tusd_py.protocol.errors import StoreUnavailable
from tusd_py.protocol.metadata import format_metadata
from tusd_py.protocol.model import Upload, UploadId
from tusd_py.telemetry.history_memory import MemoryHistory
from tusd_py.telemetry.live import LiveUploads
from tusd_py.telemetry.live_board import MOST_SHOWN, LiveBoard
from tusd_py.telemetry.several import observe_all

NAMED = format_metadata({"filename": "ä.txt".encode()})
UPLOAD = Upload(id=UploadId("a"), length=1000, offset=100, metadata=NAMED, owner="tom")


class BrokenBoard(MemoryHistory):
    """Has no board."""

    async def post(self, process: str, notice: str, *, until: float) -> None:
        raise StoreUnavailable

    async def board(self, now: float) -> Sequence[str]:
        raise StoreUnavailable


class HangingBoard(MemoryHistory):
    """Never answers."""

    async def board(self, now: float) -> Sequence[str]:
        never: asyncio.Future[Sequence[str]] = asyncio.get_running_loop().create_future()
        return await never


class House:
    """Some processes with one history, and their clock."""

    def __init__(self, history: MemoryHistory | None = None, count: int = 2) -> None:
        self.now = 1000.0
        self.history = history or MemoryHistory()
        self.lives = [LiveUploads(lambda: self.now) for _ in range(count)]
        self.boards = [LiveBoard(live, self.history, clock=lambda: self.now) for live in self.lives]

    def begin(self, process: int, upload: Upload, received: int = 0) -> None:
        """Let a body begin."""
        observe_all(self.lives[process].notes)(BodyBegun(upload=upload, received=lambda: received))


async def test_each_process_sees_all() -> None:
    """Its own at once, those of others as they were a moment ago; oldest first."""
    house = House()
    house.begin(0, UPLOAD, 300)
    house.now += 2
    house.begin(1, replace(UPLOAD, id=UploadId("b"), length=None))
    for board in house.boards:
        await board.post()
    pictures = [await board.look() for board in house.boards]
    assert pictures[0] == pictures[1]
    assert pictures[0]["whole"]
    assert (pictures[0]["count"], pictures[0]["bytes_per_s"]) == (2, 150)
    first, second = pictures[0]["uploads"]
    assert first == {
        "id": "a",
        "name": "ä.txt",
        "owner": "tom",
        "length": 1000,
        "offset": 400,
        "bytes_per_s": 150,
        "eta_s": 4,
        "began_at": 1000,
    }
    assert (second["id"], second["length"], second["eta_s"]) == ("b", None, None)


async def test_what_has_ended_is_no_more_shown() -> None:
    """Neither when a process says so nor when it has died."""
    house = House()
    house.begin(0, UPLOAD)
    await house.boards[0].post()
    observe_all(house.lives[0].notes)(
        BodyEnded(upload=UPLOAD, received=0, duration_s=0, cause=None)
    )
    await house.boards[0].post()
    assert (await house.boards[1].look())["count"] == 0
    house.begin(0, UPLOAD)
    await house.boards[0].post()
    assert (await house.boards[1].look())["count"] == 1
    house.now += 60
    assert (await house.boards[1].look())["count"] == 0


async def test_nothing_is_written_while_nothing_is_received() -> None:
    """An idle server leaves the disk alone."""
    house = House()
    await house.boards[0].post()
    assert await house.history.board(0) == []


async def test_of_thousands_the_first_are_shown_and_all_are_counted() -> None:
    """So that neither the board nor the page grows with the load."""
    house = House()
    for process in (0, 1):
        for i in range(1500):
            house.begin(process, replace(UPLOAD, id=UploadId(f"{process}-{i}")))
    await house.boards[0].post()
    (notice,) = await house.history.board(house.now)
    assert len(notice) < 50_000
    picture = await house.boards[1].look()
    assert (picture["count"], len(picture["uploads"])) == (3000, MOST_SHOWN)


async def test_without_a_board_each_shows_its_own() -> None:
    """And says that there may be more."""
    house = House(BrokenBoard())
    house.begin(0, UPLOAD)
    await house.boards[0].post()
    picture = await house.boards[0].look()
    assert (picture["count"], picture["whole"]) == (1, False)
    alone = LiveBoard(house.lives[0], None, clock=lambda: house.now)
    await alone.post()
    picture = await alone.look()
    assert (picture["count"], picture["whole"]) == (1, True)


async def test_a_board_that_hangs_holds_up_nobody() -> None:
    """What this process receives is shown in time."""
    live = LiveUploads()
    observe_all(live.notes)(BodyBegun(upload=UPLOAD, received=lambda: 0))
    picture = await LiveBoard(live, HangingBoard(), timeout_s=0.01).look()
    assert (picture["count"], picture["whole"]) == (1, False)
