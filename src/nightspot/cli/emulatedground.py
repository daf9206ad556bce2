"""What the trainings of a drill through the emulator share: the emulator, its bucket, and how an instance is taken."""

from __future__ import annotations

import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from nightspot.checkpoint.manifest import MANIFEST
from nightspot.cli.emulatedaws import Account
from nightspot.cli.emulatedlife import Incarnation
from nightspot.drill.cases import NOTHING_TO_DAMAGE, NotPlayedError, spoilt
from nightspot.drill.record import Blow, Case
from nightspot.drill.seen import saves
from nightspot.drill.seen.artefacts import Reader
from nightspot.drill.settings import Place
from nightspot.emulator.errors import EmulatorError
from nightspot.emulator.instance import DataError
from nightspot.emulator.layout import within
from nightspot.emulator.orders import Orders

LOOK_EVERY_S, ASK_EVERY_S = 0.01, 0.3
# So long a save may take to the bucket while everything stands still; then the blow falls anyway, and the report says what was left.
SYNC_S, ORDER_S = 120.0, 120.0


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

    def here(self, disk: Path) -> Place:
        """The checkpoints on the instance with that disk."""
        return Place(within(disk / "ml", str(self.account.shown)), self.pattern)

    def bucket(self, run_id: str, name: str) -> Place:
        """A copy of the checkpoints in that training's bucket as they are now, in a folder of that name. EmulatorError."""
        folder = self.cases / run_id / name
        try:
            self.account.mirror(run_id, folder)
        except DataError as error:
            raise EmulatorError(f"the drill's bucket cannot be read: {error}") from error
        return Place(folder, self.pattern)

    def spoil(self, run_id: str, blow: Blow, case: Case, here: Place, before: Place) -> Blow:
        """Damage the newest checkpoint in the bucket, while training stands still: the instance is taken next, and the emulator's agent
        does not send again what has not changed. here: on the instance; before: the bucket as it is. NotPlayedError, EmulatorError."""
        there = whole(before)
        newest = next((path.name for path in saves.newest_first(here) if path.name in there), None)
        if newest is None:
            raise NotPlayedError(NOTHING_TO_DAMAGE)
        copy = self.cases / run_id / "spoilt" / newest
        _copy(before.folder / newest, copy)
        blow = spoilt(blow, copy, case, self.draw(case))
        name = blow.damaged or newest
        try:
            self.account.put(run_id, copy.parent / name, name)
        except DataError as error:
            raise EmulatorError(f"the drill's bucket cannot be written to: {error}") from error
        return blow

    def order(self, job: str, how: str) -> None:
        """Take the instance away, and wait until that is done. EmulatorError where it is not."""
        order = Orders(self.state / "orders").give(job, how)
        if not until(lambda: not order.exists(), ORDER_S):
            raise EmulatorError(f"{job} was not interrupted as it was ordered: its emulator does not look")

    def saved(self, run_id: str, incarnation: Incarnation, here: Place) -> None:
        """Wait until the newest whole checkpoint is in the bucket."""
        until(lambda: self.account.synced(run_id, here) or not incarnation.alive, SYNC_S, ASK_EVERY_S)

    def caught_up(self, run_id: str, incarnation: Incarnation, here: Place) -> None:
        """Wait until all that stands still is in the bucket, half of it perhaps: that is as bad as it can be."""
        until(lambda: self.account.caught_up(run_id, here) or not incarnation.alive, SYNC_S, ASK_EVERY_S)


def whole(place: Place) -> list[str]:
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


def until(done: Callable[[], bool], most_s: float, every_s: float = LOOK_EVERY_S) -> bool:
    """Whether it came to that in time."""
    until_s = time.monotonic() + most_s
    while not done():
        if time.monotonic() > until_s:
            return False
        time.sleep(every_s)
    return True
