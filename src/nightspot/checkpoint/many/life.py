"""Whether another rank still works on a save: on this machine by its process's number and start, elsewhere by a file that it touches.

Each rank's writer says in `rank-R.alive`, in the unfinished folder, which process it is, and touches that file as long as it is at
work. A rank that never came so far is judged by its trainer, of which the order tells. Standard library only.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType

BEAT_S = 2.0
# Of another machine. NFS shows a new time to whoever opens the file, and a server that fails over is away for as long as this.
BEAT_LIMIT_S = 60.0
BEGIN_LIMIT_S = 5.0  # the trainer is dead: so long its writer may still need to begin the save that it was given
LOOK_EVERY_S = 0.25


class Life(Enum):
    """What can be said of a rank's process."""

    LIVES = "lives"
    GONE = "gone"
    UNKNOWN = "unknown"


def here() -> str:
    """This process, for others: machine, process table, number and start. "" where the system does not tell."""
    host, pid = _host(), os.getpid()
    found = _stat(pid)
    return "" if host is None or found is None else f"{host} {pid} {found[1]}"


def life_of(process: str) -> Life:
    """Of what `here` said. UNKNOWN for a process of another machine or another process table."""
    host, _, rest = process.partition(" ")
    pid, _, began = rest.partition(" ")
    if not began or host != _host():
        return Life.UNKNOWN
    found = _stat(int(pid))
    if found is None:
        return Life.GONE if _no_such(int(pid)) else Life.UNKNOWN
    state, began_here = found
    return Life.GONE if began_here != began or state in "ZX" else Life.LIVES


def claim(unfinished: Path, rank: int) -> Path:
    """Where a rank says that it is at work."""
    return unfinished / f"rank-{rank}.alive"


class Beating:
    """A context in which this process is seen to be at work. Never raises: the disk's errors are for the save itself to tell."""

    def __init__(self, path: Path) -> None:
        self._path, self._over = path, threading.Event()

    def __enter__(self) -> None:
        """From now on."""
        with suppress(OSError):
            self._path.write_text(here())
        threading.Thread(target=self._beat, name="nightspot-alive", daemon=True).start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Not waited for: the disk may hang."""
        self._over.set()

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            try:
                os.utime(self._path)
            except FileNotFoundError:
                return  # it is committed, or given up
            except OSError:
                continue


@dataclass(slots=True)
class _Seen:
    """Of one rank: the sign that was seen last, and since when."""

    sign: object
    since_s: float


class Watch:
    """Looks after the other ranks of one save. peers: `here` of their trainers, by rank; () where nobody told."""

    def __init__(self, unfinished: Path, peers: Sequence[str], now_s: Callable[[], float] = time.monotonic) -> None:
        self._unfinished, self._peers, self._now_s = unfinished, peers, now_s
        self._seen: dict[int, _Seen] = {}
        self._lives: dict[int, Life] = {}
        self._looked_s: float | None = None

    def look(self, ranks: Iterable[int]) -> dict[int, Life]:
        """By rank; looked anew a few times a second. Who is gone may have done its part: look for that afterwards."""
        now_s = self._now_s()
        if self._looked_s is None or now_s - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now_s
            self._lives = {rank: self._look(rank, now_s) for rank in ranks}
        return self._lives

    def _look(self, rank: int, now_s: float) -> Life:
        claimed = _read(claim(self._unfinished, rank))
        if claimed is None:
            dead = rank < len(self._peers) and life_of(self._peers[rank]) is Life.GONE
            return self._unless_moved(rank, "dead" if dead else now_s, BEGIN_LIMIT_S, Life.UNKNOWN, now_s)
        process, touched_ns = claimed
        if (found := life_of(process)) is not Life.UNKNOWN:
            return found
        return self._unless_moved(rank, touched_ns, BEAT_LIMIT_S, Life.LIVES, now_s)

    def _unless_moved(self, rank: int, sign: object, limit_s: float, until_then: Life, now_s: float) -> Life:
        """GONE once the sign has been the same for so long. By our own clock: machines' clocks differ."""
        seen = self._seen.get(rank)
        if seen is None or seen.sign != sign:
            seen = self._seen[rank] = _Seen(sign, now_s)
        return Life.GONE if now_s - seen.since_s > limit_s else until_then


def _read(path: Path) -> tuple[str, int] | None:
    """Opened each time: only then does a network file system ask its server how the file is now."""
    try:
        with path.open() as file:
            return file.read(), os.fstat(file.fileno()).st_mtime_ns
    except (OSError, ValueError):
        return None


def _host() -> str | None:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{os.uname().nodename}/{boot}/{Path('/proc/self/ns/pid').readlink()}".replace(" ", "-")
    except OSError:
        return None


def _stat(pid: int) -> tuple[str, str] | None:
    """State, and start in ticks since the machine's."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], fields[19]


def _no_such(pid: int) -> bool:
    """Not so where /proc merely hides it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
