"""Finished files under names that people can read: second names (hard links) of the data files.

Nobody is followed out of the directory: folders in it are opened one by one, and never through a
symbolic link. See docs/howto/place-files.md.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..filesystem.calls import (
    OpenFile,
    make_folders,
    mapped_os_errors,
    open_regular,
)
from ..filesystem.new_files import PRIVATE_FOLDER, NewFiles
from ..filesystem.work import FileWork
from ..protocol.errors import StoreUnavailable, UploadDamaged
from ..protocol.model import PLACED_AT, Upload
from ..protocol.placement import Template, candidate_names, place_name
from .session import path_of


class LinkPlacer:
    """Implements `Placer` on the file system of the uploads.

    Args:
        directory: where files are placed; neither in that of the uploads nor around it.
        uploads: that of the uploads.
        template: of the path below `directory`.
        run: for file work.
        dir_mode: of new folders, before the umask.
    """

    def __init__(
        self, directory: Path, uploads: Path, template: Template, run: FileWork, *, dir_mode: int
    ) -> None:
        self._directory = directory
        self._uploads = uploads
        self._template = template
        self._run = run
        self._dir_mode = dir_mode

    async def open(self) -> None:
        await self._run.long(self._try)

    def plan(self, upload: Upload, at: float) -> Mapping[str, str]:
        name = place_name(self._template, upload, at)
        return {**upload.storage, PLACED_AT: f"{self._directory}/{name}"}

    async def place(self, upload: Upload, *, durable: bool) -> Mapping[str, str]:
        placed_at = await self._run.long(self._place, upload, durable=durable)
        return {**upload.storage, PLACED_AT: placed_at}

    # --- in a thread

    def _try(self) -> None:
        """Find out whether files of uploads can have names in the directory."""
        new = NewFiles(self._uploads, 0o600)
        name = f"{self._directory}/{PRIVATE_FOLDER}"
        with mapped_os_errors():
            make_folders(self._directory, self._dir_mode)
            new.make()
        file, place = new.write(b"")
        file.close()
        try:
            with contextlib.suppress(FileExistsError):  # another process tries it, too
                new.give_name(place, name)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
        except OSError as error:
            raise StoreUnavailable(
                "place-dir must be on the file system of upload-dir, where files can be linked"
            ) from error

    def _place(self, upload: Upload, *, durable: bool) -> str:
        *folders, name = self._below(upload)
        with mapped_os_errors(), contextlib.ExitStack() as opened:
            try:
                source = opened.enter_context(open_regular(path_of(upload), os.O_RDONLY))
            except FileNotFoundError:
                raise UploadDamaged from None
            if source.found.st_size != upload.offset:
                raise UploadDamaged
            levels = [opened.enter_context(folder) for folder in self._levels(folders)]
            name = _name_in(levels[-1], source, upload, name)
            if durable:  # all of them: another one may have made a folder, and not synced it yet
                for level in reversed(levels):
                    os.fsync(level.fd)
        return "/".join([str(self._directory), *folders, name])

    def _below(self, upload: Upload) -> Sequence[str]:
        """Return the segments of the path below the directory.

        Raises:
            StoreUnavailable: it was planned where the directory has another name.
        """
        planned = upload.storage[PLACED_AT]
        below = planned.removeprefix(f"{self._directory}/")
        if below == planned or any(s in ("", ".", "..") for s in below.split("/")):
            raise StoreUnavailable
        return below.split("/")

    def _levels(self, folders: Sequence[str]) -> Iterator[OpenFile]:
        """Open the directory and folder after folder in it; those that are missing are made."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        level = OpenFile(os.open(self._directory, flags))
        yield level
        for folder in folders:
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, self._dir_mode, dir_fd=level.fd)
            level = OpenFile(os.open(folder, flags, dir_fd=level.fd))
            yield level


def _name_in(folder: OpenFile, source: OpenFile, upload: Upload, name: str) -> str:
    """Give the file a name in the folder, or find the one that it has there; return it.

    Raises:
        StoreUnavailable: all are taken, or somebody has put another file where it was.
    """
    names = list(candidate_names(name, upload))
    if source.found.st_nlink > 1:  # perhaps it got one before a crash
        for candidate in names:
            if _is_at(folder, source, candidate):
                return candidate
    for candidate in names:
        try:
            os.link(path_of(upload), candidate, dst_dir_fd=folder.fd, follow_symlinks=False)
        except FileExistsError:
            continue
        if not _is_at(folder, source, candidate):
            os.unlink(candidate, dir_fd=folder.fd)
            raise StoreUnavailable
        return candidate
    raise StoreUnavailable


def _is_at(folder: OpenFile, source: OpenFile, name: str) -> bool:
    try:
        found = os.stat(name, dir_fd=folder.fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, source.found)
