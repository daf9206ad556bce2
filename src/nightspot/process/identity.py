"""Who a process is: boot id, pid and start time. A pid alone is given out again."""

from __future__ import annotations

import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Mapping

PROC = Path("/proc")
# Fields of /proc/PID/stat after the command's closing bracket, counted from 0: state is 0.
STATE, GROUP, SESSION, START = 0, 2, 3, 19


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, for ever. `start_ticks` counts clock ticks since the boot: the wall clock does not move it."""

    boot_id: str
    pid: int
    start_ticks: int

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Identity:
        """From a file. KeyError, TypeError or ValueError where that is none."""
        return cls(str(document["boot_id"]), int(document["pid"]), int(document["start_ticks"]))

    def alive(self) -> bool:
        """Whether that very process runs; one that is dead and not yet buried does not."""
        fields = stat_fields(self.pid) if self.boot_id == boot_id() else None
        return fields is not None and int(fields[START]) == self.start_ticks and fields[STATE] not in ("Z", "X")

    def send(self, number: signal.Signals) -> bool:
        """Signal it, if it still is that process. False where it is gone."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def boot_id() -> str:
    """Changes with each start of the machine."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Identity | None:
    """The identity of what has that pid now; None where nothing has."""
    fields = stat_fields(pid)
    return Identity(boot_id(), pid, int(fields[START])) if fields is not None else None


def stat_fields(pid: int) -> list[str] | None:
    """What the kernel says of that process, from its state on; None where there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()  # a command's name may hold blanks and brackets
