"""Plays one Life: starts the command in its sandbox, waits for the moment, strikes, and writes down what was seen."""

from __future__ import annotations

import contextlib
import json
import math
import select
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Protocol

from nightspot.drill import around
from nightspot.drill.apart import sandbox
from nightspot.drill.apart.machine import Machine
from nightspot.drill.apart.sandbox import Sandbox
from nightspot.drill.around import NOTICE, OUTPUT, PROBE, PROGRESS, RELEASE
from nightspot.drill.record import Blow
from nightspot.drill.seen.said import Ears
from nightspot.drill.seen.watcher import Watcher
from nightspot.drill.settings import Place, Settings

LOOK_EVERY_S = 0.01
MEASURE_EVERY_S = 0.25


class StoppedByUser(BaseException):
    """Ctrl-C while trainings are played in other threads: whatever runs is killed, and nothing is left."""


@dataclass(slots=True)
class Scene:
    """What there is to see of a Life that runs. own: its folder on this machine; overrun: it was killed for taking too long; most_bytes:
    of memory that it had at a time."""

    settings: Settings
    machine: Machine
    own: Path
    program: Sandbox
    ears: Ears
    watcher: Watcher
    by_lines: bool
    began_s: float
    stop: threading.Event
    overrun: bool = False
    most_bytes: int = 0
    _measured_s: float = -math.inf
    writing: list[str] = field(default_factory=list)

    @property
    def index(self) -> int:
        """Steps done; counted by loss lines where nothing else can be counted."""
        return self.ears.lines if self.by_lines else self.ears.steps or self.ears.lines

    def look(self) -> None:
        """Everything that has happened. Steps are counted first: a save's are older than the save."""
        self.ears.listen()
        self.writing = self.watcher.look(self.index)

    def wait(self, for_s: float = LOOK_EVERY_S) -> None:
        """Until something happens in the folder of checkpoints, or for so long. StoppedByUser."""
        if self.stop.is_set():
            raise StoppedByUser
        self._measure()
        select.select([self.watcher.fileno()], [], [], for_s)

    def _measure(self) -> None:
        """How much memory all of it takes, now and then."""
        now_s = time.monotonic()
        if now_s - self._measured_s > MEASURE_EVERY_S:
            self._measured_s = now_s
            self.most_bytes = max(self.most_bytes, self.program.memory_bytes())


class Strike(Protocol):
    """What is to happen to a Life. hold: where the probe shall wait, in steps; slowly: its writes are slowed down; waits: training
    goes on only when a save is done, where our library saves: else saves would fall elsewhere in each training."""

    @property
    def hold(self) -> Optional[int]: ...

    @property
    def slowly(self) -> bool: ...

    @property
    def waits(self) -> bool: ...

    def strike(self, scene: Scene) -> Optional[Blow]:
        """Called after each look: strikes, and says how, once its moment has come."""
        ...


@dataclass(frozen=True, slots=True)
class Untouched:
    """Nothing happens to it."""

    hold: Optional[int] = None
    slowly: bool = False
    waits: bool = True

    def strike(self, scene: Scene) -> Optional[Blow]:
        """Never."""
        del scene
        return None


@dataclass(frozen=True, slots=True)
class Played:
    """How it went. Seconds are real."""

    scene: Scene
    blow: Optional[Blow]
    exit_code: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Stage:
    """How Lives are started. every: steps between two checkpoints of nightspot.checkpoint (inf: none); limit_s: kills what hangs."""

    settings: Settings
    stop: threading.Event
    every: float = math.inf
    by_lines: bool = False
    limit_s: float = math.inf

    def play(self, machine: Machine, number: int, strike: Strike, suffix: str) -> Played:
        """From its start to its end. suffix: its training's own, in a bucket. IsolationError, OSError; StoppedByUser."""
        own = around.prepare(self.settings, machine, number)
        watched = self.settings.watched
        watcher = Watcher(Place(machine.real(watched.folder), watched.pattern))
        watcher.open()
        try:
            return self._play(machine, number, strike, own, watcher, suffix)
        finally:
            watcher.close()

    def _play(self, machine: Machine, number: int, strike: Strike, own: Path, watcher: Watcher, suffix: str) -> Played:
        began_s = time.monotonic()
        command = self.settings.training.command
        words = around.slowed(command) if strike.slowly else command
        hold = None if self.by_lines else strike.hold
        variables = around.variables(self.settings, number, self.every, hold, suffix, waits=strike.waits)
        program = sandbox.start(machine.words(), words, self.settings.directory, variables, own / OUTPUT)
        scene = Scene(
            self.settings, machine, own, program, self._ears(machine, own), watcher, self.by_lines, began_s, self.stop
        )
        try:
            blow = self._watch(scene, strike)
            exit_code = program.exit_code()
            scene.look()
            return Played(scene, blow, 137 if exit_code is None else exit_code, time.monotonic() - began_s)
        finally:
            program.close()

    def _watch(self, scene: Scene, strike: Strike) -> Optional[Blow]:
        while True:
            ended = scene.program.exit_code() is not None
            scene.look()
            if ended:
                return None
            blow = strike.strike(scene)
            if blow is not None:
                return blow
            if time.monotonic() - scene.began_s > self.limit_s:
                scene.overrun = True
                scene.program.kill()
            scene.wait()

    def _ears(self, machine: Machine, own: Path) -> Ears:
        losses = machine.real(self.settings.losses) if self.settings.losses is not None else None
        if self.settings.loss_pattern is not None:
            losses = own / OUTPUT
        return Ears.of(own / PROBE, own / PROGRESS, losses, self.settings.loss_pattern)


def write_notice(own: Path, kill_in_s: float) -> None:
    """Before the signal, so that whoever hears that can read this."""
    (own / NOTICE).write_text(json.dumps({"reason": "interruption", "kill_in_s": round(kill_in_s, 3)}), "utf-8")


def release(own: Path) -> None:
    """What is held goes on."""
    with contextlib.suppress(FileExistsError):
        (own / RELEASE).touch()


def tell(scene: Scene) -> None:
    """The notice: as a backend gives it, while the training is held."""
    write_notice(scene.own, scene.settings.grace_s)
    scene.program.tell(signal.SIGTERM)
    release(scene.own)
