"""What `nightspot drill` and the fixture of the test-suite have in common: which cases, where, played, and judged."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Callable, Iterator, Mapping, Optional, Sequence

from nightspot.drill.apart.sandbox import end_all_of
from nightspot.drill.judge import agree, judge
from nightspot.drill.play import Drilled, play
from nightspot.drill.record import Case, Report
from nightspot.drill.settings import LIFE, RUN, Settings
from nightspot.jobfile import JobFile
from nightspot.process.identity import boot_id, identify

PARTS = (RUN, LIFE, "cases", "sources")
WORK = "work"
Say = Callable[[str], None]


def drilled(settings: Settings, wanted: Sequence[Case], versions: Mapping[str, str], say: Say) -> Report:
    """Play and judge. versions: of the packages that train. KeyboardInterrupt where the user ends it: nothing runs any more."""
    began_s = time.monotonic()
    played = play(settings, wanted, agree, say)
    return judge(
        played.baselines,
        played.trainings,
        job=settings.job,
        seed=settings.seed,
        notes=_notes(played, settings),
        fingerprint=settings.training.fingerprint,
        versions=versions,
        finished_utc=time.time(),
        seconds=time.monotonic() - began_s,
    )


def cases_of(names: Optional[Sequence[str]], job_file: JobFile) -> list[Case]:
    """Those that are named, else those of the job file, else all; in the order in which they are told. ValueError for a name of none."""
    given = names if names is not None else job_file.document.drill.cases
    if given is None:
        return list(Case)
    known = {case.value: case for case in Case}
    for name in given:
        if name not in known:
            raise ValueError(f"{name!r} is no case: {', '.join(known)}")
    if not given:
        raise ValueError("it names no case")
    return [case for case in Case if case.value in given]


@contextmanager
def own_folder(root: Path) -> Iterator[Path]:
    """The drill's own folder, made, and gone afterwards. OSError where it cannot be made."""
    try:
        furnish(root)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def furnish(root: Path) -> None:
    """What a drill expects in its folder. OSError where it cannot be made."""
    for part in PARTS:
        (root / part).mkdir(parents=True)


def free_name(drills: Path) -> Path:
    """A folder for this process in there, by whose name a later drill can tell whether we live. What dead ones left goes."""
    _sweep(drills)
    me = identify(os.getpid())
    ticks = me.start_ticks if me is not None else 0
    return drills / f"{WORK}-{os.getpid()}-{ticks}-{boot_id()[:8]}-{secrets.token_hex(3)}"


def _sweep(drills: Path) -> None:
    for left in drills.glob(f"{WORK}-*-*-*"):
        with suppress(ValueError, IndexError):
            _, pid, ticks, boot, *_ = left.name.split("-")
            now = identify(int(pid))
            if boot != boot_id()[:8] or now is None or now.start_ticks != int(ticks):
                end_all_of(left)
                shutil.rmtree(left, ignore_errors=True)


def _notes(played: Drilled, settings: Settings) -> list[str]:
    notes = list(played.notes)
    if played.left_out:
        names = ", ".join(case.value for case in played.left_out)
        notes.append(f"no time was left for {names}: the drill had {settings.time_s:g} s")
    return notes
