"""What would go wrong tonight with Attempts on this machine, found before anything is started; and what is fine."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Callable, Iterator, Sequence

from nightspot.model.job import Job
from nightspot.night.ports import Finding, Kind
from nightspot.process.pattern import saved

FREE_BYTES_MIN = 1 << 30
# Before this the clock has not been set: a deadline would be worked out from nonsense.
OLDEST_CLOCK_UTC = 1_700_000_000.0


def check(job: Job, home: Path, *, sandbox: bool) -> Sequence[Finding]:
    """All findings, the fatal ones first. `sandbox`: what the job wants of bubblewrap works."""
    looks: Sequence[Callable[[Job, Path], Iterator[Finding]]] = (
        _program,
        _folders,
        _channels,
        _room,
        _old_files,
        _clock,
    )
    found = [finding for look in looks for finding in look(job, home)]
    found += _sandbox(job, sandbox=sandbox)
    return sorted(found, key=lambda finding: not finding.fatal)


def _fine(what: str) -> Finding:
    return Finding(what, kind=Kind.FINE)


def _sandbox(job: Job, *, sandbox: bool) -> Iterator[Finding]:
    if not sandbox:
        yield Finding(
            "bubblewrap (bwrap) is missing, or not allowed here: there will be no /opt/ml",
            "Install bubblewrap, or let the program read the SM_ variables.",
        )
    elif job.training.sagemaker:
        yield _fine("bubblewrap works: the program finds its folders at /opt/ml")


def _program(job: Job, _home: Path) -> Iterator[Finding]:
    directory, program = Path(job.training.directory), job.training.command[0]
    if not directory.is_dir():
        yield Finding(
            f"there is no folder {directory}, in which the command shall run", "Correct `directory`.", fatal=True
        )
        return
    path = job.training.environment.get("PATH", os.environ.get("PATH", os.defpath))
    there = str(directory / program) if "/" in program else program
    found = shutil.which(there, path=path)
    if found is None:
        yield Finding(f"there is no program {program!r}", "Correct `command`, or install it.", fatal=True)
    else:
        yield _fine(f"the program is there: {found}")


def _folders(job: Job, home: Path) -> Iterator[Finding]:
    training = job.training
    wanted = {"nightspot's own folder": home}
    if job.checkpoint.directory:
        wanted["the folder for checkpoints"] = Path(job.checkpoint.directory)
    if training.artifact is not None:
        wanted["the artefact's folder"] = Path(training.artifact).parent
    if training.publish is not None:
        wanted["the folder of the published model"] = Path(training.publish).parent
    for what, folder in wanted.items():
        if _can_be_written(folder):
            yield _fine(f"{what}, {folder}, can be written to")
        else:
            yield Finding(
                f"{what}, {folder}, cannot be written to", "Choose another, or change its permissions.", fatal=True
            )


def _can_be_written(folder: Path) -> bool:
    """It, or where it will be made."""
    there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), Path("/"))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _channels(job: Job, _home: Path) -> Iterator[Finding]:
    for name, path in job.training.channels.items():
        if "://" in path:
            yield Finding(
                f"channel {name!r} is {path}: a local pool does not fetch it",
                "Let the program read it, or copy it here.",
            )
        elif not Path(path).exists():
            yield Finding(f"channel {name!r}: there is no {path}", "Correct `training.channels`.", fatal=True)
        else:
            yield _fine(f"channel {name!r}: {path} is there")


def _room(job: Job, home: Path) -> Iterator[Finding]:
    for folder in dict.fromkeys([Path(job.checkpoint.directory or home), home]):
        there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), Path("/"))
        free_bytes = shutil.disk_usage(there).free
        if free_bytes < FREE_BYTES_MIN:
            yield Finding(f"only {free_bytes >> 20} MiB are free for {folder}", "Make room for checkpoints.")
        else:
            yield _fine(f"{free_bytes >> 30} GiB are free for {folder}")


def _old_files(job: Job, _home: Path) -> Iterator[Finding]:
    """An unmodified script would go on from them, and call the night done."""
    pattern, folder = job.checkpoint.pattern, job.checkpoint.directory
    if pattern is None or not folder:
        return
    old = saved(Path(folder), pattern, job.work.units)
    if old:
        yield Finding(
            f"{folder} holds {old[0].name} already",
            "A run of its own goes on from there; another is best begun in an empty folder.",
        )
    else:
        yield _fine(f"{folder} holds no checkpoint of another night")


def _clock(_job: Job, _home: Path) -> Iterator[Finding]:
    if time.time() < OLDEST_CLOCK_UTC:
        yield Finding("this machine's clock is years behind", "Set it: the deadline is worked out from it.", fatal=True)
    else:
        yield _fine("this machine's clock is set; whether it is right to the minute was not looked at")
