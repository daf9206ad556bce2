"""The folder of a training: ours alone, swept of what dead processes left, and where to write so that nobody sees half of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from nightspot.checkpoint.errors import ConfigError
from nightspot.checkpoint.lock import FolderLock, wait_for_writers
from nightspot.checkpoint.retention import staging_for, sweep


@dataclass(frozen=True, slots=True)
class Opened:
    """folder, staging: where checkpoints are, and where they are written and dropped. Absolute.

    markers: where loads are noted. Nothing is renamed from there: any file system will do.
    """

    folder: Path
    staging: Path
    markers: Path
    lock: FolderLock

    def close(self) -> None:
        """Another process may train into it."""
        self.lock.release()


def open_folder(folder: Path, staging: Path | None) -> Opened:
    """Make it, take its lock, wait for what a predecessor still writes, and sweep. staging: the wished one.

    Raises FolderInUseError, OSError; ConfigError on a big-endian machine.
    """
    if sys.byteorder != "little":
        raise ConfigError("this machine is big-endian: the bytes of tensors in a checkpoint are little-endian")
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(folder)
    try:
        alone = lock.acquire()  # else an unfinished folder may be a living process's
        if alone:
            wait_for_writers(folder)
        wished = None if staging is None else staging.absolute()
        opened = Opened(folder, staging_for(folder, wished), markers_for(folder, wished), lock)
        for place in {folder, opened.staging} if alone else ():
            sweep(place)
    except BaseException:
        lock.release()
        raise
    return opened


def markers_for(folder: Path, wished: Path | None) -> Path:
    """Where loads are noted. wished: the wished staging."""
    return wished if wished is not None and wished.is_dir() else folder
