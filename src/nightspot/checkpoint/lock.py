"""One process trains into a folder. A second would mix two histories and sweep away what the first writes.

Beside the trainer's lock there is one for writer processes, which may outlive their trainer until the save in
flight is done: the next trainer waits for them.
"""

from __future__ import annotations

import fcntl
import os
import time
from errno import EACCES, EAGAIN
from pathlib import Path

from nightspot.checkpoint.errors import FolderInUseError

LOCK = ".lock"
SAVING = ".saving"
PATIENCE_S = 10.0  # a predecessor that was just killed lets go within moments
SAVING_PATIENCE_S = 600.0  # ... and what writes its last checkpoint when that is written
RETRY_S = 0.05


class FolderLock:
    """Held while a Session is open. The kernel lets go when the process dies, however it dies."""

    def __init__(self, folder: Path, name: str = LOCK) -> None:
        self._path = folder / name
        self._descriptor: int | None = None

    def acquire(self, patience_s: float = PATIENCE_S) -> bool:
        """True: ours alone. False: this file system has no locks, nobody can tell.

        Raises FolderInUseError if another process still holds it after `patience_s`, and OSError.
        """
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        give_up_s = time.monotonic() + patience_s
        while (held := _try(self._descriptor, fcntl.LOCK_EX)) is None:
            if time.monotonic() >= give_up_s:
                raise FolderInUseError(f"{self._path.parent}: another process trains into this folder")
            time.sleep(RETRY_S)
        return held

    def release(self) -> None:
        """Let go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class SharedLock:
    """Held by every writer process of a folder for its whole life."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / SAVING
        self._descriptor: int | None = None

    def share(self) -> None:
        """Hold it beside other writers. Where that is not to be had, training goes on without."""
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            return
        give_up_s = time.monotonic() + PATIENCE_S
        while _try(self._descriptor, fcntl.LOCK_SH) is None and time.monotonic() < give_up_s:
            time.sleep(RETRY_S)  # a trainer looks whether writers are there


def wait_for_writers(folder: Path, patience_s: float = SAVING_PATIENCE_S) -> None:
    """Until no writer of an earlier trainer is at work. Raises FolderInUseError after `patience_s`, and OSError."""
    lock = FolderLock(folder, SAVING)
    try:
        lock.acquire(patience_s)
    finally:
        lock.release()


def _try(descriptor: int, kind: int) -> bool | None:
    """None: held by another. Not flock: forked loader workers would inherit that, and outlive us."""
    try:
        fcntl.lockf(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        return None if error.errno in (EACCES, EAGAIN) else False
    return True
