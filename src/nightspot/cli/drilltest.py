"""A drill for a test: played in a folder of the test's own, and what it found as the text of a failure. Nothing is remembered of it."""

from __future__ import annotations

import io
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional, Sequence

from rich.console import Console

from nightspot.cli.drilling import cases_of, drilled, own_folder
from nightspot.drill import proof
from nightspot.drill.apart.sandbox import why_not
from nightspot.drill.record import Report
from nightspot.drill.settings import Settings, read_settings
from nightspot.errors import NightspotError
from nightspot.jobfile import JobFile, load_job, parse_duration
from nightspot.report.drill import drill as drill_text

WIDTH = 140


class Refused(Exception):  # noqa: N818 - a verdict
    """The drill does not prove that the training resumes, or the job file is wrong; its text is the whole message."""


class Unplayable(Exception):  # noqa: N818 - a state of the machine
    """No drill can be played on this machine; the reason."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the test asks for; None: as the job file says."""

    cases: Optional[Sequence[str]] = None
    time: Optional[str] = None
    seed: Optional[int] = None
    allow_noise: Optional[bool] = None
    changes: tuple[str, ...] = ()


def proven(file: Path, folder: Path, wishes: Wishes) -> Report:
    """What the drill found, which is enough. Refused, Unplayable, or ValueError for a wish that makes no sense."""
    try:
        job_file = load_job(file, wishes.changes)
        wanted = cases_of(wishes.cases, job_file)
        budget_s = None if wishes.time is None else parse_duration(wishes.time)
        why = why_not()
        if why is not None:
            raise Unplayable(f"nightspot cannot play a drill here: {why}")
        with own_folder(folder / "drill") as root:
            settings = _settings(job_file, root, wishes, budget_s)
            report = drilled(settings, wanted, proof.standing_of(job_file).dependencies, _say)
    except NightspotError as error:
        raise Refused(f"nightspot: {error}") from None
    if not proof.passes(report, allow_noise=settings.allow_noise):
        raise Refused(text_of(report))
    return report


def text_of(report: Report) -> str:
    """The drill's table and diagnoses, plain."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False, highlight=False)
    with console.capture() as captured:
        console.print(drill_text(report))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _settings(job_file: JobFile, root: Path, wishes: Wishes, budget_s: Optional[float]) -> Settings:
    settings = read_settings(job_file, root, time.time())
    given = {"time_s": budget_s, "seed": wishes.seed, "allow_noise": wishes.allow_noise}
    return replace(settings, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def _say(sentence: str) -> None:
    """Progress: pytest shows it beside a failure."""
    sys.stderr.write(f"nightspot drill: {sentence}\n")
