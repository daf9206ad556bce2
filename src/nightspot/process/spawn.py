"""The controller's side of a beginning: one supervisor for each token, however often it is asked for, by however many."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from enum import Enum
from typing import Mapping

from nightspot.process.files import write_first
from nightspot.process.folder import AttemptFolder
from nightspot.process.spec import AttemptSpec

BUDGET_S = 10.0
LOOK_EVERY_S = 0.005


class Begun(Enum):
    """What came of it. UNSURE: not yet, and perhaps never."""

    YES = "yes"
    GIVEN_UP = "given up"
    UNSURE = "unsure"


def begun(folder: AttemptFolder) -> Begun:
    """As it stands."""
    if folder.supervisor.exists():
        return Begun.YES
    return Begun.GIVEN_UP if folder.given_up.exists() else Begun.UNSURE


def begin(folder: AttemptFolder, spec: AttemptSpec, budget_s: float = BUDGET_S) -> Begun:
    """Write the spec, unless there is one, and start a supervisor that takes the lock, unless another has it.

    OSError where the disk or the process table is full: then nothing runs, and something may yet, until it is given up.
    """
    folder.make()
    if begun(folder) is not Begun.UNSURE:
        return begun(folder)
    write_first(folder.spec, spec.as_json())
    until_s = time.monotonic() + budget_s
    _start(folder, budget_s)
    while begun(folder) is Begun.UNSURE and time.monotonic() < until_s:
        time.sleep(LOOK_EVERY_S)
    return begun(folder)


def _start(folder: AttemptFolder, budget_s: float) -> None:
    """Returns when it has left us: it is no child of ours, and does not hear our terminal."""
    with folder.log.open("ab") as log:
        first = subprocess.Popen(
            [sys.executable, "-m", "nightspot.process.supervisor", str(folder.path)],
            cwd=folder.path,  # and not where a user's own json.py may lie
            env={**os.environ, "NIGHTSPOT_PROGRESS": str(folder.progress)},  # by which it can be found
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        first.wait(budget_s)
    except subprocess.TimeoutExpired:
        first.kill()
        first.wait()


def give_up(folder: AttemptFolder, why: Mapping[str, str]) -> bool:
    """Make sure that it never begins, and note why. False where it has begun, or is about to."""
    folder.make()
    if folder.supervisor.exists():
        return False
    with folder.locked() as free:
        if not free or folder.supervisor.exists():
            return False
        write_first(folder.given_up, dict(why))
    return True
