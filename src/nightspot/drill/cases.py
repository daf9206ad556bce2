"""Plays one Training: a baseline, or a Case with its interruptions, to the finished model."""

from __future__ import annotations

import random
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional, Sequence

from nightspot.drill import damage
from nightspot.drill.apart import bucket
from nightspot.drill.apart.machine import Machine
from nightspot.drill.apart.mounts import IsolationError, Layout
from nightspot.drill.life import Stage, Strike, Untouched
from nightspot.drill.record import Blow, Case, Cause, Life, Training
from nightspot.drill.seen import saves
from nightspot.drill.seen.artefacts import Reader
from nightspot.drill.seen.facts import Chooser, Facts
from nightspot.drill.seen.lives import Pace, after, record
from nightspot.drill.seen.said import content
from nightspot.drill.settings import Place
from nightspot.drill.strikes import AfterSave, AtStep, InSave, OnNotice, Usual

START_AGAIN = 75
MOST_LIVES = 20
NEVER_SAVED = (
    "no checkpoint was seen in a whole training: there is no save to interrupt, and none to damage. If the script names its folder "
    "itself, name it here, too: [drill] checkpoints"
)
NOTHING_TO_DAMAGE = "there was no whole checkpoint to damage when it was killed"
TOO_SHORT = "the training has too few steps for that: give it more of them"
NO_STEPS = "neither optimizer steps nor losses were seen: name them with `losses` or `loss_pattern` in [drill]"
READ_ONLY = re.compile(r"Read-only file system(?:: '([^']+)')?")
TOO_QUICK = "it had a checkpoint before the kill came: its steps are too quick for one that falls on what they print"
FIRST_STEP = "it has a checkpoint before its first step is done"


class NotPlayedError(Exception):
    """The case's moment cannot be had, in words."""


@dataclass(slots=True)
class UnderWay:
    """One training as it is played. folder: its own, with a folder for each of its machines."""

    stage: Stage
    layout: Layout
    reader: Reader
    folder: Path
    case: Optional[Case]
    pace: Pace
    lives: list[Life]
    machine: Machine
    units: Optional[float] = None  # of the whole work, once it has told them
    memory_bytes: int = 0
    tries: int = 1

    @classmethod
    def begin(
        cls, stage: Stage, layout: Layout, reader: Reader, folder: Path, case: Optional[Case], pace: Pace
    ) -> UnderWay:
        """On a machine with nothing but the program. OSError where the disk is full."""
        machine = Machine(layout, folder / "machine-1")
        machine.make()
        return cls(stage, layout, reader, folder, case, pace, [], machine)

    def live(self, strike: Strike) -> Life:
        """One more Life."""
        number = len(self.lives) + 1
        losses = self.stage.settings.losses
        before = content(self.machine.real(losses)) if losses is not None else b""
        found = [path.name for path in saves.newest_first(self.place)]
        played = self.stage.play(self.machine, number, strike, self.suffix)
        self.units = played.scene.ears.done_units or self.units
        self.memory_bytes = max(self.memory_bytes, played.scene.most_bytes)
        life = record(played, number, before, self.pace, found)
        if life.blow is not None:
            life = after(life, replace(life.blow, left=self.left()))
        if played.scene.overrun:
            life = replace(life, tail=f"{life.tail}\n(killed after {played.seconds:.0f} s: it did not end)")
        self.lives.append(life)
        return life

    @property
    def place(self) -> Place:
        """Where its checkpoints lie on this machine."""
        watched = self.stage.settings.watched
        return Place(self.machine.real(watched.folder), watched.pattern)

    @property
    def suffix(self) -> str:
        """Its own part of the prefix in a bucket, where one takes part."""
        return f"{self.stage.settings.prefix}/{self.folder.name}-{self.tries}"

    def left(self) -> tuple[str, ...]:
        """Names of the whole checkpoints, newest first: here, and in the bucket."""
        here = [path.name for path in saves.newest_first(self.place)]
        store = self.stage.settings.store
        there = bucket.names(store, self.suffix) if store is not None else ()
        return tuple(sorted({*here, *there}, reverse=True)) if there else tuple(here)

    def again(self) -> None:
        """Forget that Life, and what it wrote: the moment did not come."""
        number = len(list(self.folder.glob("machine-*"))) + 1
        shutil.rmtree(self.machine.folder, ignore_errors=True)
        self.lives.clear()
        self.tries += 1
        self.machine = Machine(self.layout, self.folder / f"machine-{number}")
        self.machine.make()

    def move(self) -> None:
        """To a clean machine: only what survives comes along."""
        settings, old = self.stage.settings, self.machine
        number = len(list(self.folder.glob("machine-*"))) + 1
        self.machine = Machine(self.layout, self.folder / f"machine-{number}")
        self.machine.make()
        watched = settings.watched
        patterns = {watched.folder: watched.pattern} if watched.pattern is not None else {}
        self.machine.carry_from(old, settings.survives, patterns)

    def noted(self, blow: Blow) -> None:
        """More is known of the last blow."""
        self.lives[-1] = after(self.lives[-1], blow)

    def finish(self) -> Training:
        """Start it, and again where it asks for that or fails, until the model is there."""
        failed, before = 0, self._files()
        while not self.lives or self.lives[-1].blow is not None or self.lives[-1].exit_code != 0:
            life = self.live(Untouched())
            failed += life.exit_code not in (0, START_AGAIN)
            found, before = before, self._files()
            if self._hopeless(failed, same=found == before):
                return self.result(_fault(life, failed), Cause.CRASHED)
        return self.result()

    def _hopeless(self, failed: int, *, same: bool) -> bool:
        """Whether starting it again is no use. same: the last Life left the checkpoints as it found them."""
        most = 1 if self.case is None else max(1, self.stage.settings.failures)
        return failed >= most or (failed > 1 and same) or len(self.lives) >= MOST_LIVES

    def _files(self) -> list[tuple[str, int, int]]:
        """All that a start of the program finds: where it fails on it twice, it will fail on it for ever."""
        folder = self.place.folder
        stats = [(str(path), path.lstat()) for path in sorted(folder.rglob("*"))] if folder.is_dir() else []
        return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]

    def result(self, fault: Optional[str] = None, cause: Optional[Cause] = None) -> Training:
        """As it stands."""
        shown = self.stage.settings.artifact
        artefact = None
        if shown is not None and fault is None:
            real = self.machine.real(shown.parent.resolve() / shown.name)
            artefact = self.reader.read(real, shown)
            if artefact is None:
                fault, cause = f"it ended well, but there is no {shown}", Cause.CRASHED
        return Training(self.case, tuple(self.lives), artefact, fault, cause)


def _fault(life: Life, failed: int) -> str:
    last = life.tail.strip().splitlines()[-1:] or ["it printed nothing"]
    if failed:
        times = f"{failed} times in a row" if failed > 1 else "once"
        return f"it ended with exit code {life.exit_code}, {times}: {last[0]}{_hint(life.tail)}"
    return f"it asked to be started again {MOST_LIVES} times, and never ended"


def _hint(tail: str) -> str:
    """What the words of an error mean here."""
    found = READ_ONLY.search(tail)
    if found is None:
        return ""
    where = f" ({found[1]})" if found[1] else ""
    return f". It writes where nothing is private{where}: name that folder in [drill] paths"


def play_case(training: UnderWay, case: Case, facts: Facts, seed: int) -> Training:
    """From its beginning to the model. StoppedByUser where the user wants no more."""
    player = _Player(training, facts, Chooser(facts, seed), seed)
    try:
        player.interrupt(case)
    except NotPlayedError as error:
        return training.result(str(error), Cause.NOT_CAUGHT)
    except IsolationError as error:
        return training.result(str(error), Cause.ISOLATION)
    return training.finish()


@dataclass(slots=True)
class _Player:
    """The interruptions of each case."""

    training: UnderWay
    facts: Facts
    choose: Chooser
    seed: int

    @property
    def _usual(self) -> Usual:
        return usual_of(self.facts)

    def interrupt(self, case: Case) -> None:
        """All of them. NotPlayedError where the moment cannot be had."""
        if self.facts.steps == 0:
            raise NotPlayedError(NO_STEPS)
        if case in (Case.DURING_SAVE, Case.AFTER_SAVE, Case.TRUNCATED, Case.FLIPPED) and not self.facts.saves:
            raise NotPlayedError(NEVER_SAVED)
        if case is Case.NOTICE:
            step = _there(self.choose.early(case))
            self._strike([OnNotice(step, self.choose.latest(step))])
        elif case is Case.DURING_SAVE:
            self._during_save()
        elif case is Case.AFTER_SAVE:
            self._strike([AfterSave(_there(self.choose.save(case)), self.facts.by_protocol)])
        elif case is Case.BEFORE_FIRST:
            self._before_first()
        elif case is Case.TWICE:
            self._twice()
        else:
            self._kill(case)

    def _kill(self, case: Case) -> None:
        spoiled = case in (Case.TRUNCATED, Case.FLIPPED)
        step = _there(self.choose.step(case, saves_before=2 if spoiled else 1))
        self._strike([AtStep(step, self._usual)])
        if spoiled:
            self._spoil(case)
        if case is Case.CLEAN_MACHINE:
            self.training.move()
            self._left_now()

    def _before_first(self) -> None:
        if self.facts.first_save is not None and self.facts.first_save < 1:
            raise NotPlayedError(FIRST_STEP)
        self._strike([AtStep(_there(self.choose.before_first()), self._usual)])
        if saves.newest_first(self.training.place):  # what cannot be held may have gone on
            raise NotPlayedError(TOO_QUICK)

    def _twice(self) -> None:
        """The second one soon after the first, before another checkpoint: what was gained may not be lost again."""
        first = _there(self.choose.early(Case.TWICE))
        self._strike([AtStep(first, self._usual)])
        done = max([one.at_index for one in self.training.lives[0].durables], default=0)
        left = self.facts.steps - max(done, 0)
        self._strike([AtStep(max(1, min(first - done + 1, left - 1)), self._usual)])

    def _during_save(self) -> None:
        self._strike(ways_into_a_save(self.facts))

    def _strike(self, ways: Sequence[Strike]) -> None:
        """Try each in turn, from the beginning where there was none before."""
        for number, way in enumerate(ways, 1):
            life = self.training.live(way)
            if life.blow is not None:
                return
            if life.exit_code not in (0, START_AGAIN) or len(self.training.lives) > 1:
                return  # it failed by itself, which says more; or it was done before its second interruption
            if number < len(ways):
                self.training.again()
        raise NotPlayedError(self._missed(ways))

    def _missed(self, ways: Sequence[Strike]) -> str:
        return no_save_met(self.facts) if isinstance(ways[-1], InSave) else TOO_SHORT

    def _spoil(self, case: Case) -> None:
        """Damage the newest checkpoint, after the kill."""
        blow, newest = self.training.lives[-1].blow, saves.newest_first(self.training.place)
        if blow is None or not newest:
            raise NotPlayedError(NOTHING_TO_DAMAGE)
        self.training.noted(spoilt(blow, newest[0], case, self.choose.draw(case)))
        self._left_now()

    def _left_now(self) -> None:
        blow = self.training.lives[-1].blow
        if blow is not None:
            self.training.noted(replace(blow, left=self.training.left()))


def usual_of(facts: Facts) -> Usual:
    """What an undisturbed folder holds."""
    return Usual(facts.usual_bytes, facts.beside)


def ways_into_a_save(facts: Facts) -> list[InSave]:
    """As it saves; and then, where that can be had, with its writes slowed down."""
    later = 1 if len(facts.saves) > 1 else 0
    slowly = (False, True) if shutil.which("strace") is not None else (False,)
    return [InSave(usual_of(facts), later, slowly=one) for one in slowly]


def no_save_met(facts: Facts) -> str:
    """After all ways were tried."""
    slowed = shutil.which("strace") is not None
    slow = "also with its writes slowed down" if slowed else "strace, which slows writes down, is not installed"
    return f"no save was met unfinished in {len(facts.saves)} saves ({slow}): they are too quick, or not seen in the folder"


def spoilt(blow: Blow, checkpoint: Path, case: Case, draw: random.Random) -> Blow:
    """The blow with what that case does to a checkpoint after it, done. NotPlayedError where it cannot be."""
    act = damage.truncate if case is Case.TRUNCATED else damage.flip
    try:
        done = act(checkpoint, draw)
    except (OSError, ValueError) as error:
        raise NotPlayedError(f"{checkpoint.name} could not be damaged: {error}") from error
    return replace(blow, damaged=done.file.relative_to(checkpoint.parent).as_posix(), detail=done.detail)


def _there(step: Optional[int]) -> int:
    if step is None:
        raise NotPlayedError(TOO_SHORT)
    return step
