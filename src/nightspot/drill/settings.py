"""What a drill of a job file plays: the command, shortened, and every place that it writes to. Paths are the program's own."""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Mapping, Optional, Sequence

from nightspot.errors import JobFileError
from nightspot.jobfile import JobFile, plan_night
from nightspot.jobfile.drilltable import DrillTable
from nightspot.jobfile.placeholders import expand
from nightspot.jobfile.places import absolute
from nightspot.jobfile.plan import PlannedNight, deadline_stamp
from nightspot.model.job import Training
from nightspot.process.surroundings import arguments

LONG_AGO_UTC = 0.0
RUN, LIFE = "run", "life"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of checkpoints. pattern: of their names, where other files lie there too."""

    folder: Path
    pattern: Optional[str] = None


@dataclass(frozen=True, slots=True)
class Settings:
    """One drill. root: its own folder on this machine, which holds all cases; paths in it that are bound over are the same in each case.

    given: the folder of `$NIGHTSPOT_CHECKPOINT_DIR`. watched: where checkpoints are looked for; named: the user says so. interval_s: what
    the job file asks for. keep: what the cases wrote stays. store: a bucket that
    takes part, prefix: this drill's own one in it.
    """

    job: str
    file: str
    root: Path
    training: Training
    given: Path
    watched: Place
    losses: Optional[Path]
    loss_pattern: Optional[str]
    paths: tuple[Path, ...]
    survives: tuple[Path, ...]
    cases: Optional[tuple[str, ...]]
    seed: int
    every: Optional[int]
    interval_s: float
    grace_s: float
    time_s: Optional[float]
    noise: int
    allow_noise: bool
    parallel: Optional[int]
    failures: int
    store: Optional[str] = None
    prefix: str = ""
    named: bool = False
    keep: bool = False

    @property
    def directory(self) -> Path:
        """Where the command runs."""
        return Path(self.training.directory)

    @property
    def artifact(self) -> Optional[Path]:
        """The finished model."""
        return None if self.training.artifact is None else Path(self.training.artifact)

    @property
    def run_folder(self) -> Path:
        """`{run_folder}`."""
        return self.root / RUN

    @property
    def life_folder(self) -> Path:
        """Where a program finds what is its own: progress, notice, and what the probe needs."""
        return self.root / LIFE


def read_settings(job_file: JobFile, root: Path, now_utc: float) -> Settings:
    """JobFileError where the job cannot be drilled."""
    plan = _plan(job_file, root, now_utc)
    document, table, job = job_file.document, job_file.document.drill, plan.job
    given = Path(job.checkpoint.directory or root / RUN / "checkpoints")
    values = _values(plan, root, given)
    places = _Places(job_file, values)
    artifact = places.path("artifact", table.artifact) or job.training.artifact
    if job_file.template is not None and table.artifact is None:
        artifact = None  # the name inside an archive that is not made here
    values["artifact"] = artifact
    watched = _watched(places.path("checkpoints", table.checkpoints), given, document.checkpoint.pattern)
    survives = places.paths("survives", table.survives or ())
    return Settings(
        job=document.name,
        file=job_file.file,
        root=root,
        training=_training(job_file, job.training, values, artifact),
        given=given,
        watched=watched,
        losses=_optional(places.path("losses", table.losses)),
        loss_pattern=table.loss_pattern,
        paths=places.paths("paths", table.paths),
        survives=_survives(table, survives, watched),
        cases=None if table.cases is None else tuple(table.cases),
        seed=table.seed,
        every=table.every,
        interval_s=job.checkpoint.interval_s,
        grace_s=table.grace,
        time_s=table.time,
        noise=table.noise,
        allow_noise=table.allow_noise,
        parallel=table.parallel,
        failures=job.limits.failures,
        store=table.store,
        prefix=f"nightspot-drill-{secrets.token_hex(4)}",
        named=table.checkpoints is not None,
    )


def _survives(table: DrillTable, named: tuple[Path, ...], watched: Place) -> tuple[Path, ...]:
    """What outlives a machine: a bucket does, and then the folder need not."""
    if table.survives is None:
        return () if table.store is not None else (watched.folder,)
    return named


def _plan(job_file: JobFile, root: Path, now_utc: float) -> PlannedNight:
    """Any night will do: a dated deadline may have gone by."""
    try:
        return plan_night(job_file, now_utc, "", lambda _: root / RUN)
    except JobFileError:
        if not isinstance(job_file.document.deadline.at, datetime):
            raise
        return plan_night(job_file, LONG_AGO_UTC, "", lambda _: root / RUN)


def _values(plan: PlannedNight, root: Path, given: Path) -> dict[str, Optional[str]]:
    return {
        "night": plan.night_label,
        "deadline": deadline_stamp(plan.deadline_utc),
        "run_id": plan.run_id,
        "name": plan.job.name,
        "run_folder": str(root / RUN),
        "checkpoint_dir": str(given),
        "artifact": None,
        "python": sys.executable,
    }


def _training(
    job_file: JobFile, training: Training, values: Mapping[str, Optional[str]], artifact: Optional[str]
) -> Training:
    document, table, file = job_file.document, job_file.document.drill, job_file.file
    if table.command is None and not document.words:
        remedy = 'Add command = "{python} train.py", as it would run on this machine, to [drill].'
        raise JobFileError(
            file, "drill.command", None, "the job trains on SageMaker, and what runs here is not said", remedy
        )
    words = [expand(word, values, file, "drill.command") for word in table.command or document.words]
    more = [expand(word, values, file, "drill.args") for word in table.args or ()]
    added = {k: expand(v, values, file, f"drill.environment.{k}") for k, v in table.environment.items()}
    if training.sagemaker:  # as the toolkit passes them; the drill's own come last, and so win
        words += arguments(training.hyperparameters)
    return Training(
        command=(*words, *more),
        directory=str(Path(training.directory).resolve()),
        environment={**training.environment, **added},
        hyperparameters=training.hyperparameters,
        channels=training.channels,
        artifact=artifact,
        fingerprint=training.fingerprint,
        sagemaker=training.sagemaker,
    )


@dataclass(frozen=True, slots=True)
class _Places:
    """The paths of `[drill]`, absolute: from where the command runs, as the program's own are."""

    job_file: JobFile
    values: Mapping[str, Optional[str]]

    def path(self, key: str, text: Optional[str]) -> Optional[str]:
        if text is None:
            return None
        field = f"drill.{key}"
        expanded = expand(text, self.values, self.job_file.file, field)
        return absolute(expanded, self.job_file.directory.resolve(), self.job_file.file, field)

    def paths(self, key: str, texts: Sequence[str]) -> tuple[Path, ...]:
        found = [self.path(f"{key}[{number}]", text) for number, text in enumerate(texts)]
        return tuple([Path(path) for path in found if path is not None])


def _optional(text: Optional[str]) -> Optional[Path]:
    return None if text is None else Path(text)


def _watched(named: Optional[str], given: Path, pattern: Optional[str]) -> Place:
    """`out/ckpt-*.pt` is a folder and a pattern; without it what the job file says of checkpoints holds."""
    if named is None:
        return Place(given.resolve(), pattern)
    path = Path(named)
    if "*" in path.name:
        return Place(path.parent.resolve(), path.name)
    return Place(path.resolve(), pattern)
