"""One process trains into a folder. A second would mix two histories and sweep away what the first writes."""

from __future__ import annotations

import fcntl
import os
import time
from errno import EACCES, EAGAIN
from pathlib import Path

from nightspot.checkpoint.errors import FolderInUseError

LOCK = ".lock"
PATIENCE_S = 10.0  # a predecessor that was just killed lets go within moments
RETRY_S = 0.05


class FolderLock:
    """Held while a Session is open. The kernel lets go when the process dies, however it dies."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._descriptor: int | None = None

    def acquire(self, patience_s: float = PATIENCE_S) -> bool:
        """True: ours alone. False: this file system has no locks, nobody can tell.

        Raises FolderInUseError if another process still holds it after `patience_s`, and OSError.
        """
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        give_up_s = time.monotonic() + patience_s
        while (held := self._try()) is None:
            if time.monotonic() >= give_up_s:
                raise FolderInUseError(f"{self._path.parent}: another process trains into this folder")
            time.sleep(RETRY_S)
        return held

    def release(self) -> None:
        """Let go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _try(self) -> bool | None:
        """None: held by another. Not flock: forked loader workers would inherit that, and outlive us."""
        assert self._descriptor is not None  # noqa: S101
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return None if error.errno in (EACCES, EAGAIN) else False
        return True
