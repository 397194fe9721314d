"""Where finished files get a readable name."""

from __future__ import annotations

import os
from pathlib import Path

from ..config import Settings, SettingsError
from ..data.placing import LinkPlacer
from ..filesystem.lanes import Lanes
from ..filesystem.work import FileWork
from ..interfaces import Placer
from ..protocol.placement import parse_template


def make_placer(settings: Settings, uploads: Path, run: FileWork) -> Placer | None:
    """Return what places finished files, if anything does.

    Raises:
        SettingsError: they would be taken for uploads, or the other way round.
    """
    if settings.place_as is None or settings.place_dir is None:
        return None
    placed = Path(os.path.realpath(settings.place_dir))
    if uploads in (placed, *placed.parents) or placed in uploads.parents:
        raise SettingsError("place-dir and upload-dir: neither may be in the other")
    template = parse_template(settings.place_as)
    return LinkPlacer(placed, uploads, template, run, dir_mode=settings.dir_perms)


async def check_placer(settings: Settings, uploads: Path) -> None:
    """Find out whether files can be placed.

    Raises:
        SettingsError, StoreUnavailable
    """
    lanes = Lanes()
    placer = make_placer(settings, uploads, lanes)
    if placer is None:
        return
    lanes.start()
    try:
        await placer.open()
    finally:
        lanes.stop()
