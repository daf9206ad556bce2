"""One Session trains into a folder. A second would mix two histories and sweep away what the first writes.

Beside the trainer's lock there is one for writer processes, which may outlive their trainer until the save in
flight is done: the next trainer waits for them.

The kernel has three kinds of locks. A process's record lock (`lockf`) is gone as soon as anything in that process closes
any descriptor of the file: a script that copies or hashes its folder of checkpoints would let go of it unawares. So the lock is
one of the *open file description*, by F_OFD_SETLK, or by flock where a kernel lacks that (gVisor, other systems). Forked
children inherit such a lock, and loader workers may outlive us, so what is held is closed in every child right after the fork.
On NFS both become locks of the server (NFSv4, or v3 with its lock daemon), seen by all machines; as record locks they are seen by
earlier versions of this library, too. A mount without locks (`nolock`) keeps other machines out as little as ever.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
import weakref
from errno import EACCES, EAGAIN, EINVAL
from pathlib import Path

from nightspot.checkpoint.errors import FolderInUseError

LOCK = ".lock"
SAVING = ".saving"
PATIENCE_S = 10.0  # a predecessor that was just killed lets go within moments
SAVING_PATIENCE_S = 600.0  # ... and what writes its last checkpoint when that is written
RETRY_S = 0.05
RECORD = "hhqqi4x"  # struct flock: kind, whence, start, length (0: all of the file), pid (0 for this kind of lock)


class FolderLock:
    """Held while a Session is open. The kernel lets go when the process dies, however it dies."""

    def __init__(self, folder: Path, name: str = LOCK) -> None:
        self._path = folder / name
        self._descriptor: int | None = None

    def acquire(self, patience_s: float = PATIENCE_S) -> bool:
        """True: ours alone. False: this file system has no locks, nobody can tell.

        Raises FolderInUseError if somebody else still holds it after `patience_s`, and OSError.
        """
        _open_here.add(self)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        give_up_s = time.monotonic() + patience_s
        while (held := _try(self._descriptor, alone=True)) is None:
            if time.monotonic() >= give_up_s:
                who = "another process trains into this folder, or another Session of this one"
                raise FolderInUseError(f"{self._path.parent}: {who}")
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
        while _try(self._descriptor, alone=False) is None and time.monotonic() < give_up_s:
            time.sleep(RETRY_S)  # a trainer looks whether writers are there


def wait_for_writers(folder: Path, patience_s: float = SAVING_PATIENCE_S) -> None:
    """Until no writer of an earlier trainer is at work. Raises FolderInUseError after `patience_s`, and OSError."""
    lock = FolderLock(folder, SAVING)
    try:
        lock.acquire(patience_s)
    finally:
        lock.release()


def _try(descriptor: int, *, alone: bool) -> bool | None:
    """None: held by another. False: there are no locks here."""
    try:
        _lock(descriptor, alone=alone)
    except OSError as error:
        return None if error.errno in (EACCES, EAGAIN) else False
    return True


def _lock(descriptor: int, *, alone: bool) -> None:
    command = getattr(fcntl, "F_OFD_SETLK", None)
    if command is not None:
        kind = fcntl.F_WRLCK if alone else fcntl.F_RDLCK
        try:
            fcntl.fcntl(descriptor, command, struct.pack(RECORD, kind, os.SEEK_SET, 0, 0, 0))
        except OSError as error:
            if error.errno != EINVAL:
                raise
        else:
            return
    fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)


_open_here: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _let_go_in_child() -> None:
    for lock in list(_open_here):
        lock.release()  # of the child's descriptor: the lock itself stays with the parent's


os.register_at_fork(after_in_child=_let_go_in_child)
