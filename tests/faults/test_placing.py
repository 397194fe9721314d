"""A server that is killed while it places a file leaves no half of one, and no second name."""

from __future__ import annotations

import itertools
from base64 import b64encode
from pathlib import Path

from tests.support.tusd import Client

from .crash_script import KILLED
from .nursery import Nursery
from .shim import CHANGES, SYNCS, Action, Shim

CONTENT = bytes(range(256)) * 1024
NAMED = f"filename {b64encode(b'a.bin').decode()}"
# Names in folders that are open come without a path: all of them have this in common.
MARK = "placing-"
_MOST_POINTS = 100


async def test_a_crash_at_any_call(shim: Shim, nursery: Nursery, tmp_path: Path) -> None:
    """Whatever is seen there is whole at every moment, and in the end it is there once."""
    for number in itertools.count():
        assert number < _MOST_POINTS
        place = tmp_path / str(number) / f"{MARK}out"
        directory = tmp_path / str(number) / f"{MARK}uploads"
        directory.mkdir(parents=True)
        options = (*("--place-dir", str(place)), *("--place-as", f"{MARK}x/{MARK}{{filename}}"))
        names: list[str] = []
        with shim.fault(Action.KILL_AFTER, CHANGES & ~SYNCS, path=MARK, skip=number, times=1):
            ended = _upload(nursery, directory, options, names)
        _check_whole(place)
        url = nursery.start(directory, *options)
        assert url is not None
        client = Client(url)
        for name in names:
            offset = int(client.head(name).headers["upload-offset"])
            assert client.patch(name, offset, CONTENT[offset:]).status == 204
            assert client.get(name).body == CONTENT
        nursery.kill()
        _check_whole(place)
        found = [path.name for path in place.rglob("*") if path.is_file()]
        assert found == [f"{MARK}a.bin"] * len(names)
        if ended:
            break
    assert number >= 15, "some calls were not counted"


def _upload(nursery: Nursery, directory: Path, options: tuple[str, ...], names: list[str]) -> bool:
    """Send one upload in two pieces; return whether the server lived."""
    url = nursery.start(directory, *options)
    if url is None:
        return False
    client = Client(url)
    try:
        names.append(client.create(len(CONTENT), Upload_Metadata=NAMED))
        for start in (0, len(CONTENT) // 2):
            piece = CONTENT[start : start + len(CONTENT) // 2]
            assert client.patch(names[0], start, piece).status == 204
    except KILLED:
        nursery.wait_killed()
        return False
    nursery.kill()
    return True


def _check_whole(place: Path) -> None:
    """A file is whole; what is hidden was there to try whether names can be given."""
    for path in place.rglob("*"):
        assert path.is_dir() or path.name.startswith(".") or path.read_bytes() == CONTENT
