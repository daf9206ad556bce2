"""Which processes belong to an Attempt, and ending all of them: those that left the process group too."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Callable, Iterable, Iterator

from nightspot.process.identity import PROC, SESSION, START, STATE, Identity, boot_id, stat_fields

PARENT = 1
LOOK_AGAIN_S = 0.005
DEAD = ("Z", "X")


def pids() -> Iterator[int]:
    """All processes that can be seen."""
    with os.scandir(PROC) as entries:
        yield from [int(entry.name) for entry in entries if entry.name.isdecimal()]


def descendants(root: int) -> set[int]:
    """What that process started, and what those did; none that is dead already."""
    children: dict[int, list[int]] = {}
    dead = set()
    for pid in pids():
        fields = stat_fields(pid)
        if fields is not None:
            children.setdefault(int(fields[PARENT]), []).append(pid)
            if fields[STATE] in DEAD:
                dead.add(pid)
    found: set[int] = set()
    waiting = [root]
    while waiting:
        new = [pid for pid in children.get(waiting.pop(), ()) if pid not in found]
        found.update(new)
        waiting.extend(new)
    return found - dead


def bearers(progress: Path) -> set[int]:
    """Living processes whose environment names that progress file: whatever an Attempt started, wherever it has got to.

    A token would not do: another home, a copy of ours perhaps, may have the same.
    """
    mark = b"NIGHTSPOT_PROGRESS=" + os.fsencode(progress)
    return {pid for pid in pids() if pid != os.getpid() and _bears(pid, mark)}


def _bears(pid: int, mark: bytes) -> bool:
    try:
        environment = (PROC / str(pid) / "environ").read_bytes()  # empty for one that is dead and not yet buried
    except OSError:
        return False
    return mark in environment.split(b"\0")


def session_of(leader: Identity) -> set[int]:
    """Who lives in the session that process led, which it may have outlived; nobody where the pid has been given out again."""
    if leader.boot_id != boot_id():
        return set()
    now = stat_fields(leader.pid)
    if now is not None and int(now[START]) != leader.start_ticks:
        return set()
    return {pid for pid in pids() if _in_session(pid, leader)}


def _in_session(pid: int, leader: Identity) -> bool:
    fields = stat_fields(pid)
    if fields is None or fields[STATE] in DEAD:
        return False
    return int(fields[SESSION]) == leader.pid and int(fields[START]) >= leader.start_ticks


def send_all(targets: Iterable[int], number: signal.Signals) -> None:
    """Signal each that is there and ours."""
    for pid in targets:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def kill_until_none(find: Callable[[], set[int]], reap: Callable[[], None], budget_s: float) -> bool:
    """SIGKILL whatever `find` finds, over and over, as they may start others. False where some live on after that many real seconds."""
    until_s = time.monotonic() + budget_s
    while targets := find():
        send_all(targets, signal.SIGKILL)
        reap()
        if time.monotonic() >= until_s:
            return not find()
        time.sleep(LOOK_AGAIN_S)
    return True
