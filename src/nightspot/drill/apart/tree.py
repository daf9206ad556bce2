"""The processes of a program, as a whole: stopped where they stand, looked at, and let go again."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterable, Iterator, Optional

from nightspot.process.identity import STATE, stat_fields
from nightspot.process.tree import DEAD, descendants, send_all

FREEZE_S = 2.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
STILL = ("T", "t", "Z", "X")


@dataclass(slots=True)
class Tree:
    """All below one process, which is itself left alone."""

    root_pid: int
    _stopped: set[int] = field(default_factory=set)

    def freeze(self) -> bool:
        """Stop all of it where it stands. False where that took too long: then nothing is known of its moment, and it goes on."""
        until_s = time.monotonic() + FREEZE_S
        while time.monotonic() < until_s:
            living = children_of(self.root_pid)
            send_all(living, signal.SIGSTOP)
            self._stopped |= living
            if living and children_of(self.root_pid) == living and all(_is_still(pid) for pid in living):
                return True
            if not living and not _lives(self.root_pid):
                break
        self.thaw()
        return False

    def thaw(self) -> None:
        """Let it go on."""
        send_all(self._stopped, signal.SIGCONT)
        self._stopped.clear()

    def writes_to(self, files: Iterable[Path]) -> Optional[Path]:
        """One of those files that something in there has open for writing; None where nothing has. Frozen, the answer stays true."""
        wanted = {(stat.st_dev, stat.st_ino): path for path in files if (stat := _stat(path)) is not None}
        for pid in children_of(self.root_pid) if wanted else ():
            for identity in _open_for_writing(pid):
                if identity in wanted:
                    return wanted[identity]
        return None

    def memory_bytes(self) -> int:
        """What all of it holds now; pages that two share count twice."""
        pages = 0
        for pid in children_of(self.root_pid):
            with contextlib.suppress(OSError, ValueError, IndexError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * PAGE_BYTES


def children_of(root: int) -> set[int]:
    """All below that process, fast: by the kernel's own lists where it has them."""
    found: set[int] = set()
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        try:
            lists = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
        except OSError:
            if pid == root and Path(f"/proc/{pid}").exists():
                return descendants(root)
            continue
        new = {int(word) for text in lists for word in text.split()} - found
        found |= new
        waiting.extend(new)
    return found


def _open_for_writing(pid: int) -> Iterator[tuple[int, int]]:
    """Device and inode of each such file; of what cannot be seen, nothing."""
    with contextlib.suppress(OSError):
        for entry in list(Path(f"/proc/{pid}/fd").iterdir()):
            with contextlib.suppress(OSError, ValueError, IndexError):
                flags = Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text().split("flags:", 1)[1].split()[0]
                if int(flags, 8) & (os.O_WRONLY | os.O_RDWR):
                    stat = entry.stat()
                    yield stat.st_dev, stat.st_ino


def _stat(path: Path) -> Optional[os.stat_result]:
    with contextlib.suppress(OSError):
        return path.stat()
    return None


def _lives(pid: int) -> bool:
    fields = stat_fields(pid)
    return fields is not None and fields[STATE] not in DEAD


def _is_still(pid: int) -> bool:
    fields = stat_fields(pid)
    return fields is None or fields[STATE] in STILL
