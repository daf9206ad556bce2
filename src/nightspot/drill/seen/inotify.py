"""What happens in a folder and below it, as the kernel tells it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

MODIFY, CLOSE_WRITE = 0x2, 0x8
MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x40, 0x80, 0x100, 0x200
OVERFLOW, IS_FOLDER = 0x4000, 0x40000000
MASK = MODIFY | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE
HEAD = struct.Struct("iIII")
READ_BYTES = 1 << 18
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Happened:
    """One change. mask: of the constants above."""

    path: Path
    mask: int

    def is_(self, mask: int) -> bool:
        """Whether it is one of those."""
        return bool(self.mask & mask)


class Watching:
    """Hears of every change below `folder`, new folders included. OSError where the kernel gives no more watches."""

    def __init__(self, folder: Path) -> None:
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify is not to be had")
        self._folders: dict[int, Path] = {}
        self._add(folder)
        for inner in _folders_below(folder):
            self._add(inner)

    def fileno(self) -> int:
        """For select."""
        return int(self._fd)

    def read(self) -> list[Happened]:
        """What happened since the last call, in order. What was in a new folder before we looked counts as having happened."""
        happened: list[Happened] = []
        for one in self._told():
            happened.append(one)
            if one.is_(IS_FOLDER) and one.is_(CREATE | MOVED_TO):
                with contextlib.suppress(OSError):  # it may be gone again
                    self._add(one.path)
                    happened += self._missed(one.path)
        return happened

    def close(self) -> None:
        """No more."""
        os.close(self._fd)

    def _told(self) -> Iterator[Happened]:
        try:
            raw = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        at = 0
        while at < len(raw):
            watch, mask, _, length = HEAD.unpack_from(raw, at)
            name = raw[at + HEAD.size : at + HEAD.size + length].rstrip(b"\0")
            at += HEAD.size + length
            if watch in self._folders:
                yield Happened(self._folders[watch] / os.fsdecode(name), mask)

    def _add(self, folder: Path) -> None:
        watch = _libc.inotify_add_watch(self._fd, os.fsencode(folder), MASK)
        if watch < 0:
            raise OSError(ctypes.get_errno(), f"{folder} cannot be watched")
        self._folders[watch] = folder

    def _missed(self, folder: Path) -> list[Happened]:
        missed = []
        for path in sorted(folder.iterdir()):
            missed.append(Happened(path, CREATE | (IS_FOLDER if path.is_dir() else MODIFY)))
            if path.is_dir():
                self._add(path)
                missed += self._missed(path)
        return missed


def _folders_below(folder: Path) -> Iterator[Path]:
    for root, folders, _ in os.walk(folder):
        yield from [Path(root) / name for name in folders]
