"""Files that are written before they get their name, so that nobody ever sees half of one."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
from pathlib import Path

from .calls import OpenFile, create_file, mapped_os_errors

PRIVATE_FOLDER = ".tusd_py"


class NewFiles:
    """The nameless files of one process in an upload directory. Everything here blocks.

    Args:
        directory: the upload directory.
        mode: of new files, before the umask.
    """

    def __init__(self, directory: Path, mode: int) -> None:
        self._folder = directory / PRIVATE_FOLDER / "new"
        self._mode = mode
        prefix = secrets.token_hex(8)
        self._places = (f"{self._folder}/{prefix}-{n}" for n in itertools.count())

    def make(self) -> None:
        """Make the folder that they are in."""
        with mapped_os_errors():
            self._folder.mkdir(parents=True, exist_ok=True)

    def write(self, content: bytes, *, durable: bool = False) -> tuple[OpenFile, str]:
        """Write a file and return it with the place where it is for now.

        Raises:
            InsufficientStorage, StoreUnavailable: there is no such file.
        """
        place = next(self._places)
        with mapped_os_errors():
            file = create_file(place, self._mode)
            try:
                written = os.write(file.fd, content)
                while written < len(content):  # a full disk shows first as a short write
                    written += os.write(file.fd, memoryview(content)[written:])
                if durable:
                    os.fsync(file.fd)
            except OSError:
                file.close()  # the error refers to it, and while it is open its room is taken
                self.give_up(place)
                raise
        return file, place

    def give_name(self, place: str, path: str) -> None:
        """Name the file at `place`; if the name is taken, it is removed.

        Raises:
            OSError: FileExistsError when the name is taken.
        """
        try:
            os.link(place, path)  # unlike rename, it never replaces
        finally:
            os.unlink(place)

    def give_up(self, place: str) -> None:
        """Remove the file at `place`, if it is still there and the disk lets us."""
        with contextlib.suppress(OSError):  # the janitor will find it
            os.unlink(place)

    def remove_older(self, before: float) -> list[str]:
        """Remove what a crash left before that time, and return names."""
        removed = []
        with mapped_os_errors(), os.scandir(self._folder) as entries:
            for entry in entries:
                # Those that are just being written get their names meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat().st_mtime <= before:
                        os.unlink(entry.path)
                        removed.append(entry.name)
        return removed
