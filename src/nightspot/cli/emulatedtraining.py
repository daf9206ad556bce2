"""One training of a drill through the emulator: jobs of one Run, interrupted on order, to the finished model."""

from __future__ import annotations

import tarfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Optional, Sequence

from nightspot.cli.emulatedaws import ENDED, FAILED, Pacing
from nightspot.cli.emulatedground import ASK_EVERY_S, LOOK_EVERY_S, Ground, until, whole
from nightspot.cli.emulatedlife import Incarnation, Seen, life_of
from nightspot.cli.emulatedsave import Saving
from nightspot.cli.emulatedstrikes import LOOK, Strike
from nightspot.drill.cases import MOST_LIVES, START_AGAIN, TOO_SHORT, NotPlayedError
from nightspot.drill.record import Blow, Case, Cause, Life, Training
from nightspot.drill.seen import saves
from nightspot.drill.seen.lives import Pace
from nightspot.drill.settings import Place
from nightspot.drill.strikes import InSave, Usual
from nightspot.emulator.errors import EmulatorError
from nightspot.emulator.instance import DataError
from nightspot.emulator.orders import KILL, NOTICE

HEAR_S = 20.0


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
        found = whole(self.ground.bucket(self.name, f"found-{number}"))
        blow = self._until_its_end(name, incarnation, began_s)
        incarnation.look()
        self.units = incarnation.ears.done_units or self.units
        said = self.ground.account.exit_code(self.name, name) if blow is not None and blow.how == NOTICE else None
        seconds = time.monotonic() - began_s
        after = self.ground.bucket(self.name, f"left-{number}")
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
        here = self.ground.here(incarnation.disk)

        def take() -> None:
            self.ground.caught_up(self.name, incarnation, here)
            self.ground.order(name, KILL)

        return Saving.begin(incarnation, here, self.ground.pid, take)

    @property
    def _folder(self) -> Path:
        return self.ground.cases / self.name

    def _held(self, name: str, incarnation: Incarnation, held: int) -> Optional[Blow]:
        """It stands still after so many steps: look, strike, or let it go on."""
        strike = self.strikes.pop(0) if self.strikes and self.strikes[0].hold == held else None
        if strike is not None and strike.how == LOOK:
            self.usual = Usual(*saves.usual(self.ground.here(incarnation.disk)))
        if strike is None or strike.how == LOOK:
            incarnation.release(held)
            return None
        return self._strike(strike, name, incarnation)

    def _strike(self, strike: Strike, name: str, incarnation: Incarnation) -> Optional[Blow]:
        here, held, told = self.ground.here(incarnation.disk), strike.hold, strike.how == NOTICE
        if strike.synced:
            self.ground.saved(self.name, incarnation, here)
        blow = Blow(strike.how, held, f"{'told' if told else 'killed'} after step {held}")
        if strike.spoils is not None:
            self._before = self.ground.bucket(self.name, f"whole-{len(self.lives) + 1}")
            try:
                blow = self.ground.spoil(self.name, blow, strike.spoils, here, self._before)
            except NotPlayedError as error:
                self.missed = str(error)
                incarnation.release(held)
                return None
        self.ground.order(name, strike.how)
        if told:  # its signal has been sent: what is held hears it first of all
            until(lambda: incarnation.told or not incarnation.alive, HEAR_S)
            incarnation.release(held)
        return blow

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
    left = tuple(whole(after))
    if blow.how != NOTICE:
        return replace(blow, left=left)
    event = "it left by itself" if said is not None else "it had not left when its grace was over, and was killed"
    return replace(blow, left=left, event=event)


def _last_line(lives: Sequence[Life]) -> str:
    lines = lives[-1].tail.strip().splitlines() if lives else []
    return lines[-1] if lines else "it printed nothing"
