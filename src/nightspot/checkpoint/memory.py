"""Whether there is room for one more copy of the state: a checkpoint must not be what takes the training's memory."""

from __future__ import annotations

import re
from pathlib import Path

from nightspot.checkpoint.hand import NoWriterError

MEMINFO = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")
RESERVE = 0.05  # of what is free stays free


def check(size_bytes: int) -> None:
    """Raises NoWriterError where so much more memory is not to be had for sure."""
    free_bytes = available_bytes()
    if free_bytes is not None and size_bytes > free_bytes * (1 - RESERVE):
        raise NoWriterError(
            f"a snapshot of {size_bytes >> 20} MiB does not fit: {free_bytes >> 20} MiB of memory are free"
        )


def available_bytes(meminfo: Path = MEMINFO, group: Path = GROUP) -> int | None:
    """What the machine and the control group leave us; None where neither says."""
    known = [free for free in (_of_machine(meminfo), _of_group(group)) if free is not None]
    return min(known) if known else None


def _of_machine(meminfo: Path) -> int | None:
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo.read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else int(found[1]) << 10


def _of_group(group: Path) -> int | None:
    """Version 2; within a container its own group is the root. What files are cached can be given back."""
    try:
        limit, used = (group / "memory.max").read_text().strip(), int((group / "memory.current").read_text())
        cached = re.search(r"^inactive_file (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) - used + (int(cached[1]) if cached else 0)
