"""Files that are written before they get their name, so that nobody ever sees half of one."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from .calls import OpenFile, create_in, mapped_os_errors, open_folder

PRIVATE_FOLDER = ".tusd_py"
# What an open folder says that is no longer there; in its place there may be another.
_GONE = frozenset({errno.ENOENT, errno.ESTALE})


@dataclass(frozen=True, slots=True)
class _Opened:
    """The folder of nameless files, and the upload directory that it was in then."""

    folder: OpenFile
    directory: os.stat_result


class NewFiles:
    """The nameless files of one process in an upload directory. Everything here blocks.

    Their folder stays open, so that the way to it is gone, and checked for links, only once.

    Args:
        directory: the upload directory.
        mode: of new files, before the umask.
    """

    def __init__(self, directory: Path, mode: int) -> None:
        self._directory = str(directory)
        self._path = directory / PRIVATE_FOLDER / "new"
        self._mode = mode
        self._opened: _Opened | None = None
        self._prefix = secrets.token_hex(8)
        self._numbers = itertools.count()  # threads may share it, unlike a generator

    def make(self) -> None:
        """Make the folder that they are in, and open it."""
        with mapped_os_errors():
            self._path.mkdir(parents=True, exist_ok=True)
            self._open()

    def close(self) -> None:
        """Let go of the folder; it is opened again if need be."""
        self._opened = None  # it is closed by the last thread that has it

    def write(self, content: bytes, *, durable: bool = False) -> tuple[OpenFile, str]:
        """Write a file and return it with its place, which is how it is called for now.

        Raises:
            InsufficientStorage, StoreUnavailable: there is no such file.
        """
        place = f"{self._prefix}-{next(self._numbers)}"
        with mapped_os_errors():
            file = self._create(place)
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
        opened = self._open()
        try:
            self._check(opened)
            os.link(place, path, src_dir_fd=opened.folder.fd)  # unlike rename, it never replaces
        finally:
            os.unlink(place, dir_fd=opened.folder.fd)

    def replace(self, place: str, path: str) -> None:
        """Have the file at `place` take the place of the one of that name.

        Raises:
            OSError
        """
        opened = self._open()
        self._check(opened)
        os.rename(place, path, src_dir_fd=opened.folder.fd)

    def remove(self, place: str) -> None:
        """Remove the file at `place`.

        Raises:
            OSError
        """
        os.unlink(place, dir_fd=self._open().folder.fd)

    def give_up(self, place: str) -> None:
        """Remove the file at `place`, if it is still there and the disk lets us."""
        with contextlib.suppress(OSError):  # the janitor will find it
            self.remove(place)

    def remove_older(self, before: float) -> list[str]:
        """Remove what a crash left before that time, and return names."""
        removed = []
        with mapped_os_errors(), os.scandir(self._path) as entries:
            for entry in entries:
                # Those that are just being written get their names meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat().st_mtime <= before:
                        os.unlink(entry.path)
                        removed.append(entry.name)
        return removed

    def _create(self, place: str) -> OpenFile:
        try:
            return create_in(self._open().folder, place, self._mode)
        except OSError as error:
            if error.errno not in _GONE:
                raise
        self._opened = None
        return create_in(self._open().folder, place, self._mode)

    def _open(self) -> _Opened:
        opened = self._opened
        if opened is None:
            folder = open_folder(self._path)
            opened = self._opened = _Opened(folder, os.lstat(self._directory))
        return opened

    def _check(self, opened: _Opened) -> None:
        """Make sure that the upload directory is still that of the folder, and no link to it."""
        if not os.path.samestat(opened.directory, os.lstat(self._directory)):
            self._opened = None
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), self._directory)
