"""One training of a drill through the emulator: jobs of one Run, interrupted on order, to the finished model."""

from __future__ import annotations

import random
import shutil
import tarfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, Optional, Sequence

from nightspot.checkpoint.manifest import MANIFEST
from nightspot.cli.emulatedaws import ENDED, FAILED, Account, Pacing
from nightspot.cli.emulatedlife import Incarnation, Seen, life_of
from nightspot.cli.emulatedsave import Saving
from nightspot.cli.emulatedstrikes import LOOK, Strike
from nightspot.drill.cases import MOST_LIVES, NOTHING_TO_DAMAGE, START_AGAIN, TOO_SHORT, NotPlayedError, spoilt
from nightspot.drill.record import Blow, Case, Cause, Life, Training
from nightspot.drill.seen import saves
from nightspot.drill.seen.artefacts import Reader
from nightspot.drill.seen.lives import Pace
from nightspot.drill.settings import Place
from nightspot.drill.strikes import InSave, Usual
from nightspot.emulator.errors import EmulatorError
from nightspot.emulator.instance import DataError
from nightspot.emulator.layout import within
from nightspot.emulator.orders import KILL, NOTICE, Orders

LOOK_EVERY_S, ASK_EVERY_S = 0.01, 0.3
# So long a save may take to the bucket while everything stands still; then the blow falls anyway, and the report says what was left.
SYNC_S, ORDER_S, HEAR_S = 120.0, 120.0, 20.0


@dataclass(frozen=True, slots=True)
class Ground:
    """What all trainings share. state, pid: of the emulator; cases: a folder on the same file system; artefact: its name in the archive;
    draw: of the bytes that a case damages."""

    account: Account
    state: Path
    pid: int
    cases: Path
    reader: Reader
    artefact: Optional[str]
    pattern: Optional[str]
    loss_pattern: Optional[str]
    failures: int
    limit_s: float
    draw: Callable[[Case], random.Random]

    @property
    def disks(self) -> Path:
        """Of the instances."""
        return self.state / "instances"


@dataclass(slots=True)
class Played:
    """One training as it is played. name: its folder's and its Run's; every: steps between two checkpoints of nightspot.checkpoint; way:
    into a save, instead of strikes at steps. usual: of its folder of checkpoints, where a strike was only to look at that."""

    ground: Ground
    name: str
    case: Optional[Case]
    pace: Pace
    every: int
    strikes: list[Strike] = field(default_factory=list)
    way: Optional[InSave] = None
    lives: list[Life] = field(default_factory=list)
    units: Optional[float] = None
    usual: Optional[Usual] = None
    seen: set[str] = field(default_factory=set)
    jobs: int = 0
    overrun: bool = False
    missed: str = TOO_SHORT
    _before: Optional[Place] = None  # the bucket, before anything in it was damaged

    def play(self) -> Training:
        """From its beginning to the model. EmulatorError where the emulator does not do what it is for."""
        pacing = self._pacing()
        failed = 0
        while True:
            code = self._job(pacing)
            if code == 0:
                break
            failed += code != START_AGAIN
            if self.overrun:
                return self._result(f"it did not end, and was stopped: {_last_line(self.lives)}", Cause.CRASHED)
            if failed >= (1 if self.case is None else max(1, self.ground.failures)) or len(self.lives) >= MOST_LIVES:
                return self._result(f"it ended with exit code {code}: {_last_line(self.lives)}", Cause.CRASHED)
        if self.case is not None and not self.struck:
            return self._result(self.missed, Cause.NOT_CAUGHT)
        return self._result()

    @property
    def struck(self) -> bool:
        """Whether it was interrupted."""
        return any(life.blow for life in self.lives)

    def _pacing(self) -> Pacing:
        holds = [one.hold for one in self.strikes]
        if self.way is None:
            return Pacing(self.every, holds)
        return Pacing(self.every, holds, waits=self.way.waits, slowly=self.way.slowly)

    def _job(self, pacing: Pacing) -> int:
        """One job, with all its incarnations. The exit code of the last."""
        ground = self.ground
        self.jobs += 1
        name = ground.account.start(self.name, self.jobs, pacing, time.time())
        asked_s = 0.0
        while True:
            disk = next((path for path in ground.disks.iterdir() if path.name not in self.seen), None)
            if disk is not None:
                self.seen.add(disk.name)
                self._live(name, disk)
            if time.monotonic() - asked_s > ASK_EVERY_S:
                asked_s = time.monotonic()
                job = ground.account.describe(name)
                if job["TrainingJobStatus"] in ENDED:
                    return self._ended(name, str(job["TrainingJobStatus"]), str(job.get("FailureReason") or ""))
            time.sleep(LOOK_EVERY_S)

    def _ended(self, name: str, status: str, reason: str) -> int:
        """What the last Life of that job ended with, as the job says."""
        said = self.ground.account.exit_code(self.name, name)
        code = 0 if status == "Completed" else said or FAILED
        if not self.lives:
            raise EmulatorError(f"{name} ended as {status} before it had an instance: {reason}")
        last = self.lives[-1]
        words = f"{last.tail}\n{reason}".strip() if reason else last.tail
        self.lives[-1] = replace(last, exit_code=code, tail=words)
        return code

    def _live(self, name: str, disk: Path) -> None:
        """One incarnation, from its disk to its end."""
        number, began_s = len(self.lives) + 1, time.monotonic()
        incarnation = Incarnation.begin(disk, self._folder / f"life-{number}", self.ground.loss_pattern)
        found = _whole(self._bucket(f"found-{number}"))
        blow = self._until_its_end(name, incarnation, began_s)
        incarnation.look()
        self.units = incarnation.ears.done_units or self.units
        said = self.ground.account.exit_code(self.name, name) if blow is not None and blow.how == NOTICE else None
        seconds = time.monotonic() - began_s
        after = self._bucket(f"left-{number}")
        more = f"\n(stopped after {seconds:.0f} s: it did not end)" if self.overrun else ""
        seen = Seen(
            number=number,
            exit_code=137 if said is None else said,
            blow=None if blow is None else _told(blow, said, after),
            seconds=seconds,
            bucket=self._before or after,
            found=found,
            shown=self.ground.account.shown,
            loss_pattern=self.ground.loss_pattern,
            more=more,
        )
        self.lives.append(life_of(incarnation, seen, self.pace))

    def _until_its_end(self, name: str, incarnation: Incarnation, began_s: float) -> Optional[Blow]:
        """Strike when the moment comes. What was done to it; None where it ended by itself."""
        blow: Optional[Blow] = None
        self._before = None
        with ExitStack() as opened:
            saving: Optional[Saving] = None
            while incarnation.alive:
                held = incarnation.look()
                if held is not None:
                    struck = self._held(name, incarnation, held)
                    blow = blow if struck is None else struck
                if self.way is not None and not self.struck and blow is None:
                    if saving is None and (saving := self._saving(name, incarnation)) is not None:
                        opened.callback(saving.close)
                    blow = None if saving is None else saving.meet(self.way)
                if not self.overrun and time.monotonic() - began_s > self.ground.limit_s:
                    self.overrun = True
                    self.ground.account.stop(name)
                if saving is None:
                    time.sleep(LOOK_EVERY_S)
                else:
                    saving.wait(LOOK_EVERY_S)
        return blow

    def _saving(self, name: str, incarnation: Incarnation) -> Optional[Saving]:
        here = self._here(incarnation)

        def take() -> None:
            """Half of what is being written may have come to the bucket: wait until it has, as bad as that is."""
            account = self.ground.account
            _until(lambda: account.caught_up(self.name, here) or not incarnation.alive, SYNC_S, ASK_EVERY_S)
            self._order(name, KILL)

        return Saving.begin(incarnation, here, self.ground.pid, take)

    @property
    def _folder(self) -> Path:
        return self.ground.cases / self.name

    def _here(self, incarnation: Incarnation) -> Place:
        """The checkpoints on the instance."""
        return Place(within(incarnation.disk / "ml", str(self.ground.account.shown)), self.ground.pattern)

    def _bucket(self, name: str) -> Place:
        """The bucket's checkpoints as they are now."""
        folder = self._folder / name
        try:
            self.ground.account.mirror(self.name, folder)
        except DataError as error:
            raise EmulatorError(f"the drill's bucket cannot be read: {error}") from error
        return Place(folder, self.ground.pattern)

    def _held(self, name: str, incarnation: Incarnation, held: int) -> Optional[Blow]:
        """It stands still after so many steps: look, strike, or let it go on."""
        strike = self.strikes.pop(0) if self.strikes and self.strikes[0].hold == held else None
        if strike is not None and strike.how == LOOK:
            self.usual = Usual(*saves.usual(self._here(incarnation)))
        if strike is None or strike.how == LOOK:
            incarnation.release(held)
            return None
        return self._strike(strike, name, incarnation)

    def _strike(self, strike: Strike, name: str, incarnation: Incarnation) -> Optional[Blow]:
        here, held, told = self._here(incarnation), strike.hold, strike.how == NOTICE
        if strike.synced:
            _until(lambda: self.ground.account.synced(self.name, here) or not incarnation.alive, SYNC_S, ASK_EVERY_S)
        blow = Blow(strike.how, held, f"{'told' if told else 'killed'} after step {held}")
        if strike.spoils is not None:
            try:
                blow = self._spoilt(blow, strike.spoils, here)
            except NotPlayedError as error:
                self.missed = str(error)
                incarnation.release(held)
                return None
        self._order(name, strike.how)
        if told:  # its signal has been sent: what is held hears it first of all
            _until(lambda: incarnation.told or not incarnation.alive, HEAR_S)
            incarnation.release(held)
        return blow

    def _spoilt(self, blow: Blow, case: Case, here: Place) -> Blow:
        """Damage the newest checkpoint in the bucket, while training stands still: the instance is taken next, and the emulator's agent
        does not send again what has not changed. NotPlayedError."""
        self._before = self._bucket(f"whole-{len(self.lives) + 1}")
        there = _whole(self._before)
        newest = next((path.name for path in saves.newest_first(here) if path.name in there), None)
        if newest is None:
            raise NotPlayedError(NOTHING_TO_DAMAGE)
        copy = self._folder / "spoilt" / newest
        _copy(self._before.folder / newest, copy)
        blow = spoilt(blow, copy, case, self.ground.draw(case))
        name = blow.damaged or newest
        try:
            self.ground.account.put(self.name, copy.parent / name, name)
        except DataError as error:
            raise EmulatorError(f"the drill's bucket cannot be written to: {error}") from error
        return blow

    def _order(self, job: str, how: str) -> None:
        """Take the instance away, and wait until that is done. EmulatorError where it is not."""
        order = Orders(self.ground.state / "orders").give(job, how)
        if not _until(lambda: not order.exists(), ORDER_S):
            raise EmulatorError(f"{job} was not interrupted as it was ordered: its emulator does not look")

    def _result(self, fault: Optional[str] = None, cause: Optional[Cause] = None) -> Training:
        artefact = None
        if fault is None:
            name = f"{self.name}-drill-{self.jobs:03d}"
            inside = self.ground.artefact
            try:
                folder = self.ground.account.model(name, self._folder / "model")
                path = folder / inside if inside else folder
                artefact = self.ground.reader.read(path, Path("model.tar.gz", inside or ""))
            except (OSError, tarfile.TarError, DataError) as error:
                fault, cause = f"its model cannot be read: {error}", Cause.CRASHED
            if artefact is None and fault is None:
                fault, cause = f"it ended well, but there is no {inside or 'model'} in its model.tar.gz", Cause.CRASHED
        return Training(self.case, tuple(self.lives), artefact, fault, cause)


def _told(blow: Blow, said: Optional[int], after: Place) -> Blow:
    """With what came of it. said: the program's own exit code, where it had the time for one."""
    left = tuple(_whole(after))
    if blow.how != NOTICE:
        return replace(blow, left=left)
    event = "it left by itself" if said is not None else "it had not left when its grace was over, and was killed"
    return replace(blow, left=left, event=event)


def _whole(place: Place) -> list[str]:
    """Names of the whole checkpoints in the bucket, newest first. Where there are manifests, a folder that has none was half sent."""
    found = saves.newest_first(place)
    manifests = any((path / MANIFEST).is_file() for path in found)
    return [path.name for path in found if not manifests or path.is_file() or (path / MANIFEST).is_file()]


def _copy(source: Path, target: Path) -> None:
    """A file or a folder, with its times."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def _until(done: Callable[[], bool], most_s: float, every_s: float = LOOK_EVERY_S) -> bool:
    """Whether it came to that in time."""
    until_s = time.monotonic() + most_s
    while not done():
        if time.monotonic() > until_s:
            return False
        time.sleep(every_s)
    return True


def _last_line(lives: Sequence[Life]) -> str:
    lines = lives[-1].tail.strip().splitlines() if lives else []
    return lines[-1] if lines else "it printed nothing"
