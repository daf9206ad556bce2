"""One training of a drill through the emulator: jobs of one Run, interrupted on order, to the finished model."""

from __future__ import annotations

import tarfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, Optional, Sequence

from nightspot.cli.emulatedaws import ENDED, FAILED, Account
from nightspot.cli.emulatedlife import Incarnation, Seen, life_of
from nightspot.drill.cases import MOST_LIVES, START_AGAIN, TOO_SHORT
from nightspot.drill.record import Blow, Case, Cause, Life, Training
from nightspot.drill.seen import saves
from nightspot.drill.seen.artefacts import Reader
from nightspot.drill.seen.lives import Pace
from nightspot.drill.settings import Place
from nightspot.emulator.errors import EmulatorError
from nightspot.emulator.instance import DataError
from nightspot.emulator.layout import within
from nightspot.emulator.orders import KILL, NOTICE, Orders

LOOK_EVERY_S, ASK_EVERY_S = 0.01, 0.3
# So long a save may take to the bucket while everything stands still; then the blow falls anyway, and the report says what was left.
SYNC_S, ORDER_S, HEAR_S = 120.0, 120.0, 20.0


@dataclass(frozen=True, slots=True)
class Strike:
    """An order after so many steps of a Life. synced: only when what is saved has come to the bucket."""

    hold: int
    how: str = KILL
    synced: bool = True


@dataclass(frozen=True, slots=True)
class Ground:
    """What all trainings share. state: of the emulator; cases: a folder on the same file system; artefact: its name in the archive."""

    account: Account
    state: Path
    cases: Path
    reader: Reader
    artefact: Optional[str]
    pattern: Optional[str]
    loss_pattern: Optional[str]
    failures: int
    limit_s: float

    @property
    def disks(self) -> Path:
        """Of the instances."""
        return self.state / "instances"


@dataclass(slots=True)
class Played:
    """One training as it is played. name: its folder's and its Run's; every: steps between two checkpoints of nightspot.checkpoint."""

    ground: Ground
    name: str
    case: Optional[Case]
    pace: Pace
    every: int
    strikes: list[Strike] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    units: Optional[float] = None
    seen: set[str] = field(default_factory=set)
    jobs: int = 0
    overrun: bool = False

    def play(self) -> Training:
        """From its beginning to the model. EmulatorError where the emulator does not do what it is for."""
        holds, wanted = [one.hold for one in self.strikes], len(self.strikes)
        failed = 0
        while True:
            code = self._job(holds)
            if code == 0:
                break
            failed += code != START_AGAIN
            if self.overrun:
                return self._result(f"it did not end, and was stopped: {_last_line(self.lives)}", Cause.CRASHED)
            if failed >= (1 if self.case is None else max(1, self.ground.failures)) or len(self.lives) >= MOST_LIVES:
                return self._result(f"it ended with exit code {code}: {_last_line(self.lives)}", Cause.CRASHED)
        if wanted and not any(life.blow for life in self.lives):
            return self._result(TOO_SHORT, Cause.NOT_CAUGHT)
        return self._result()

    def _job(self, holds: Sequence[int]) -> int:
        """One job, with all its incarnations. The exit code of the last."""
        ground = self.ground
        self.jobs += 1
        name = ground.account.start(self.name, self.jobs, self.every, holds, time.time())
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
        before = self._bucket(f"found-{number}")
        found = [path.name for path in saves.newest_first(before)]
        blow = None
        while incarnation.alive:
            held = incarnation.look()
            if held is not None:
                blow = self._held(name, incarnation, held) or blow
            if not self.overrun and time.monotonic() - began_s > self.ground.limit_s:
                self.overrun = True
                self.ground.account.stop(name)
            time.sleep(LOOK_EVERY_S)
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
            bucket=after,
            found=found,
            shown=self.ground.account.shown,
            loss_pattern=self.ground.loss_pattern,
            more=more,
        )
        self.lives.append(life_of(incarnation, seen, self.pace))

    @property
    def _folder(self) -> Path:
        return self.ground.cases / self.name

    def _bucket(self, name: str) -> Place:
        """The bucket's checkpoints as they are now."""
        folder = self._folder / name
        try:
            self.ground.account.mirror(self.name, folder)
        except DataError as error:
            raise EmulatorError(f"the drill's bucket cannot be read: {error}") from error
        return Place(folder, self.ground.pattern)

    def _held(self, name: str, incarnation: Incarnation, held: int) -> Optional[Blow]:
        """It stands still after so many steps: strike, or let it go on."""
        if not self.strikes or self.strikes[0].hold != held:
            incarnation.release(held)
            return None
        strike = self.strikes.pop(0)
        if strike.synced:
            here = Place(within(incarnation.disk / "ml", str(self.ground.account.shown)), self.ground.pattern)
            _until(lambda: self.ground.account.synced(self.name, here) or not incarnation.alive, SYNC_S, ASK_EVERY_S)
        order = Orders(self.ground.state / "orders").give(name, strike.how)
        if not _until(lambda: not order.exists(), ORDER_S):
            raise EmulatorError(f"{name} was not interrupted as it was ordered: its emulator does not look")
        if strike.how == NOTICE:  # its signal has been sent: what is held hears it first of all
            _until(lambda: incarnation.told or not incarnation.alive, HEAR_S)
            incarnation.release(held)
        return Blow(strike.how, held, f"{'told' if strike.how == NOTICE else 'killed'} after step {held}")

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
    left = tuple([path.name for path in saves.newest_first(after)])
    if blow.how != NOTICE:
        return replace(blow, left=left)
    event = "it left by itself" if said is not None else "it had not left when its grace was over, and was killed"
    return replace(blow, left=left, event=event)


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
