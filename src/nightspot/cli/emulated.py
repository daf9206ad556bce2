"""`nightspot drill --emulate`: the same drill, with real training jobs of a SageMaker on this machine.

The same judge, and so the same words: only how trainings are played is another. See docs/drill.md.
"""

from __future__ import annotations

import random
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, Mapping, Optional, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from nightspot.backends.aws import bundle
from nightspot.cli.emulatedaws import Account, hyperparameters
from nightspot.cli.emulatedground import Ground
from nightspot.cli.emulatedstrikes import LOOK, Strike, strikes_of
from nightspot.cli.emulatedtraining import Played
from nightspot.cli.emulation import check_emulated, furnish_all, region_of
from nightspot.drill import patience
from nightspot.drill.around import NEVER
from nightspot.drill.cases import no_save_met, ways_into_a_save
from nightspot.drill.judge import agree, judge
from nightspot.drill.play import BY_VALUE, COST_OF_CASE, LIMIT_MORE_S, LIMIT_TIMES, SAVES_IN_ALL
from nightspot.drill.record import Case, Cause, Report, Training
from nightspot.drill.seen.artefacts import Reader
from nightspot.drill.seen.facts import Facts
from nightspot.drill.seen.lives import Pace
from nightspot.drill.settings import LONG_AGO_UTC
from nightspot.emulator.container import what_is_missing
from nightspot.emulator.errors import EmulatorError
from nightspot.emulator.launch import launch
from nightspot.errors import JobFileError
from nightspot.jobfile import JobFile, plan_night
from nightspot.model.capacity import Pool
from nightspot.model.job import Job

# 120 seconds of market time from the signal to the kill are as many real ones as [drill] grace says, but for this bound.
GRACE_S, FASTEST = 120.0, 20.0
OPTIONS = ("--market", "always", "--sync-every", "2s", "--idle-exit", "30min")
AT_ONCE = ("--start-delay", "0s", "--download-delay", "0s", "--upload-delay", "0s")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line says."""

    cases: Sequence[Case]
    seed: Optional[int] = None
    time_s: Optional[float] = None


def emulated(job_file: JobFile, root: Path, wishes: Wishes, versions: Mapping[str, str], say: Say) -> Report:
    """Play and judge. root: a folder of the drill's own; versions: of the packages that train. JobFileError, EmulatorError;
    KeyboardInterrupt where the user ends it."""
    check_emulated(job_file)
    began_s, job = time.monotonic(), _job(job_file, root)
    pool = _pool(job_file, job)
    played = _Drill(job_file, job, wishes, say)
    why = what_is_missing()
    if why is None:
        played.play(pool, root)
    else:
        played.cannot(why)
    return judge(
        played.baselines,
        played.trainings,
        job=job.name,
        seed=played.seed,
        notes=played.notes,
        fingerprint=job.training.fingerprint,
        versions=versions,
        finished_utc=time.time(),
        seconds=time.monotonic() - began_s,
    )


def _job(job_file: JobFile, root: Path) -> Job:
    """Of any night: a dated deadline may have gone by."""
    try:
        return plan_night(job_file, time.time(), "", lambda _: root / "run").job
    except JobFileError:
        return plan_night(job_file, LONG_AGO_UTC, "", lambda _: root / "run").job


def _pool(job_file: JobFile, job: Job) -> Pool:
    """The first on Spot, else the first. JobFileError where its request cannot be drilled."""
    ours = [pool for pool in (*job.spot, *job.pools) if isinstance(pool.options.get("request"), Mapping)]
    pool = ours[0]
    why = bundle.why_not(pool.options["request"])
    if why is not None or pool.options.get("wrapper") is False:
        why = why or "wrapper = false"
        expected = f"the drill interrupts the program through nightspot's wrapper, and here it cannot travel: {why}"
        raise JobFileError(job_file.file, "sagemaker.template", None, expected, "Drill it without --emulate.")
    if not (pool.options.get("checkpoints") or (pool.options["request"].get("CheckpointConfig") or {}).get("S3Uri")):
        expected, remedy = "the job has no bucket for checkpoints, so nothing survives an interruption", "Name one."
        raise JobFileError(job_file.file, "sagemaker.checkpoints", None, expected, remedy)
    return pool


@dataclass(slots=True)
class _Drill:
    """As it is played."""

    job_file: JobFile
    job: Job
    wishes: Wishes
    say: Say
    baselines: list[Training] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pace: Pace = field(default_factory=Pace)
    every: int = NEVER
    began_s: float = field(default_factory=time.monotonic)

    @property
    def seed(self) -> int:
        """Of the command line, else of the job file."""
        return self.job_file.document.drill.seed if self.wishes.seed is None else self.wishes.seed

    @property
    def cases(self) -> list[Case]:
        """The most telling ones first."""
        return [case for case in BY_VALUE if case in self.wishes.cases]

    def cannot(self, why: str) -> None:
        """Nothing can be played here."""
        self.trainings = [Training(case, (), None, why, Cause.ISOLATION) for case in self.cases]

    def play(self, pool: Pool, root: Path) -> None:
        """All of it."""
        table = self.job_file.document.drill
        scale = max(1.0, min(FASTEST, GRACE_S / table.grace))
        parameters, state = self._parameters(), root / "emulator"
        launched = launch(state, [*OPTIONS, *AT_ONCE, "--time-scale", repr(scale)])
        reader = Reader([sys.executable], root)
        try:
            furnish_all(launched.endpoint_url, self.job_file, self.job)
            account = Account(
                launched.endpoint_url,
                region_of(self.job),
                self.job,
                pool,
                parameters,
                dict(table.environment),
                scale,
            )
            ground = Ground(
                account,
                state,
                launched.pid,
                root / "cases",
                reader,
                table.artifact or self.job.training.artifact,
                self.job.checkpoint.pattern,
                table.loss_pattern,
                self.job.limits.failures,
                limit_s=float("inf"),
                draw=lambda case: random.Random(f"{self.seed}/{case.value}"),  # noqa: S311 - bytes to hit, not secrets
            )
            self._all(ground)
        except (BotoCoreError, ClientError) as error:
            raise EmulatorError(f"the drill's emulator did not do what it was asked to: {error}") from error
        finally:
            reader.close()
            launched.stop()

    def _parameters(self) -> dict[str, str]:
        try:
            return hyperparameters(self.job_file.document.drill.args or ())
        except ValueError as error:
            remedy = "Write --name value pairs."
            raise JobFileError(self.job_file.file, "drill.args", None, str(error), remedy) from None

    def _all(self, ground: Ground) -> None:
        facts = self._baselines(ground)
        grace = "an interruption loses what was not yet synced: so much is done again, whatever the script saves"
        self.notes.append(f"played as training jobs of the emulator; {grace}")
        if facts is None:
            first = self.baselines[0]
            why = f"not even an undisturbed training comes to its end: {first.fault}"
            cause = Cause.UNDISTURBED if first.cause is Cause.CRASHED else first.cause
            self.trainings = [Training(case, (), None, why, cause) for case in self.cases]
            return
        ground = replace(ground, limit_s=LIMIT_TIMES * facts.seconds + LIMIT_MORE_S)
        late = []
        for case in self.cases:
            if self._time_for(facts):
                self.trainings.append(self._case(ground, case, facts))
            else:
                late.append(case.value)
        if late:
            self.notes.append(f"no time was left for {', '.join(late)}: the drill had {self._time_s:g} s")
        self.trainings.sort(key=lambda training: list(Case).index(training.case or Case.NOTICE))

    def _baselines(self, ground: Ground) -> Optional[Facts]:
        """As in the drill without an emulator. None where one fails."""
        looks: list[Strike] = []
        for number in (1, 2):
            facts = self._baseline(ground, number, looks)
            if self.baselines[-1].fault is not None:
                self.baselines.reverse()
                return None
            self.pace = Pace(facts.steps, facts.units)
            self.every = self.job_file.document.drill.every or max(1, facts.steps // SAVES_IN_ALL)
            # What a folder holds in which nothing is being written: seen while training stands still, after its last step.
            looks = [Strike(facts.steps, LOOK)] if facts.steps else []
        if not agree(self.baselines):
            while len(self.baselines) < self.job_file.document.drill.noise:
                self._baseline(ground, len(self.baselines) + 1)
        return facts

    def _baseline(self, ground: Ground, number: int, looks: Sequence[Strike] = ()) -> Facts:
        name, began_s = f"baseline-{number}", time.monotonic()
        played = Played(ground, name, None, self.pace, self.every, list(looks))
        with patience.playing(f"baseline {number}", self.say, "an undisturbed training job"):
            self.baselines.append(played.play())
        return _facts(played, self.baselines[-1], time.monotonic() - began_s)

    def _case(self, ground: Ground, case: Case, facts: Facts) -> Training:
        strikes = strikes_of(case, facts, self.seed)
        if isinstance(strikes, str):
            return Training(case, (), None, strikes, Cause.NOT_CAUGHT)
        with patience.playing(case.value, self.say):
            if case is Case.DURING_SAVE:
                return self._during_save(ground, facts)
            return Played(ground, case.value, case, self.pace, self.every, list(strikes)).play()

    def _during_save(self, ground: Ground, facts: Facts) -> Training:
        """A job for each way into a save, until one is met; or until it fails by itself, which says more."""
        for number, way in enumerate(ways_into_a_save(facts), 1):
            name = Case.DURING_SAVE.value + (f"-{number}" if number > 1 else "")
            played = Played(ground, name, Case.DURING_SAVE, self.pace, self.every, way=way, missed=no_save_met(facts))
            result = played.play()
            if played.struck or result.cause is not Cause.NOT_CAUGHT:
                break
        return result

    @property
    def _time_s(self) -> Optional[float]:
        return self.wishes.time_s if self.wishes.time_s is not None else self.job_file.document.drill.time

    def _time_for(self, facts: Facts) -> bool:
        if self._time_s is None:
            return True
        return time.monotonic() - self.began_s + COST_OF_CASE * facts.seconds <= self._time_s


def _facts(played: Played, result: Training, seconds: float) -> Facts:
    life = result.lives[-1] if result.lives else None
    durables = () if life is None else life.durables
    return Facts(
        steps=0 if life is None else len(life.steps),
        saves=tuple(sorted({one.at_index for one in durables})),
        by_protocol=any(one.units is not None for one in durables),
        by_lines=life is not None and not life.probed,
        units=played.units,
        usual_bytes={} if played.usual is None else played.usual.sizes_bytes,
        beside=frozenset() if played.usual is None else played.usual.beside,
        seconds=seconds,
    )
