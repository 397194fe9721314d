"""A script on a server that may be killed meanwhile, and what has to be true afterwards."""

from __future__ import annotations

from pathlib import Path

from tests.support.tusd import Client

from .crash_script import KILLED, Script
from .nursery import Nursery
from .sweeping import sweep


def run(nursery: Nursery, directory: Path, script: Script, *options: str) -> bool:
    """Run the script on a new server; return whether both came to their end."""
    url = nursery.start(directory, *options)
    if url is None:
        return False
    try:
        script.run(Client(url))
    except KILLED:
        nursery.wait_killed()
        return False
    nursery.kill()
    return True


async def check(nursery: Nursery, directory: Path, script: Script, *options: str) -> None:
    """Bring everything to its end on another server, and see that it is as was promised."""
    url = nursery.start(directory, *options)
    assert url is not None
    client = Client(url)
    script.check(client, directory)
    await sweep(directory)
    script.check_again(client, directory)
    nursery.kill()
