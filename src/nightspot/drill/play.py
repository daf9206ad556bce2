"""Plays a whole drill: baselines, then cases, several at a time where there are cores; by value, until the time is over."""

from __future__ import annotations

import os
import shutil
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, Optional, Sequence

import psutil

from nightspot.checkpoint.errors import CheckpointError
from nightspot.drill import patience
from nightspot.drill.apart import bucket
from nightspot.drill.apart.mounts import IsolationError, Layout, lay_out
from nightspot.drill.apart.sandbox import why_not
from nightspot.drill.cases import UnderWay, play_case
from nightspot.drill.life import Stage, StoppedByUser
from nightspot.drill.record import Case, Cause, Training
from nightspot.drill.seen import saves
from nightspot.drill.seen.artefacts import Reader
from nightspot.drill.seen.discover import checkpoints_of, told
from nightspot.drill.seen.facts import Facts
from nightspot.drill.seen.lives import Pace
from nightspot.drill.settings import Settings

# What a case tells for the time it takes: the first ones find most faults.
BY_VALUE = (
    Case.KILL,
    Case.NOTICE,
    Case.TRUNCATED,
    Case.DURING_SAVE,
    Case.FLIPPED,
    Case.CLEAN_MACHINE,
    Case.TWICE,
    Case.AFTER_SAVE,
    Case.BEFORE_FIRST,
)
SAVES_IN_ALL = 8
# A Life that takes so much longer than an undisturbed one hangs.
LIMIT_TIMES, LIMIT_MORE_S = 10.0, 60.0
MOST_AT_A_TIME, MEMORY_SHARE = 4, 0.8
# Lives of a case, in trainings: most are started twice, and do some work again.
COST_OF_CASE = 1.7
Say = Callable[[str], None]
Agree = Callable[[Sequence[Training]], bool]


@dataclass(slots=True)
class Drilled:
    """What was played. left_out: cases there was no time for. notes: what else is to be said."""

    baselines: list[Training] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)
    left_out: list[Case] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def play(settings: Settings, cases: Sequence[Case], agree: Agree, say: Say) -> Drilled:
    """All of it. settings.root is to be made before and removed after. KeyboardInterrupt where the user ends it: nothing runs any more."""
    why = why_not()
    if why is not None:
        return _cannot(cases, why)
    try:
        layout = lay_out(settings)
    except IsolationError as error:
        return _cannot(cases, str(error))
    reader = Reader(settings.training.command, settings.directory)
    drill = _Drill(settings, layout, reader, say)
    try:
        return drill.play(cases, agree)
    except IsolationError as error:
        return _cannot(cases, str(error))
    except StoppedByUser:
        raise KeyboardInterrupt from None
    finally:
        reader.close()
        _empty(settings, say)


def _empty(settings: Settings, say: Say) -> None:
    if settings.store is not None:
        try:
            bucket.empty(settings.store, settings.prefix)
        except (CheckpointError, OSError) as error:
            say(f"what the drill put below {settings.store}/{settings.prefix} could not be removed: {error}")


def _cannot(cases: Sequence[Case], why: str) -> Drilled:
    return Drilled(trainings=[Training(case, (), None, why, Cause.ISOLATION) for case in cases])


class _Drill:
    """One drill as it is played."""

    def __init__(self, settings: Settings, layout: Layout, reader: Reader, say: Say) -> None:
        self._settings, self._layout, self._reader, self._say = settings, layout, reader, say
        self._stage = Stage(settings, threading.Event())
        self._pace = Pace()
        self._began_s = time.monotonic()
        self._done = Drilled()

    def play(self, cases: Sequence[Case], agree: Agree) -> Drilled:
        """Baselines, then cases."""
        facts = self._baselines(agree)
        if facts is None:
            first = self._done.baselines[0]
            why = f"not even an undisturbed training comes to its end: {first.fault}"
            cause = Cause.UNDISTURBED if first.cause is Cause.CRASHED else first.cause
            self._done.trainings = [Training(case, (), None, why, cause) for case in cases]
            return self._done
        ordered = [case for case in BY_VALUE if case in cases]
        if self._at_a_time(facts) == 1:
            self._one_by_one(ordered, facts)
        else:
            self._side_by_side(ordered, facts)
        self._done.trainings.sort(key=lambda training: list(Case).index(training.case or Case.NOTICE))
        return self._done

    def _baselines(self, agree: Agree) -> Optional[Facts]:
        """Two of them, and more where they differ. None where the first fails.

        The first one of a program that uses nightspot.checkpoint saves nothing: that saving changes nothing is seen by the second.
        """
        first, facts = self._baseline(1)
        if first.fault is None and (better := checkpoints_of(self._settings, first.lives)) is not None:
            self._begin_anew(better)
            first, facts = self._baseline(1)
        if first.fault is not None:
            return None
        self._learn(facts)
        second, facts = self._baseline(2)
        if second.fault is not None:
            self._done.baselines.reverse()
            return None
        self._learn(facts)
        if not agree(self._done.baselines):
            self._say(f"two undisturbed trainings differ: playing {self._settings.noise} in all, to see by how much")
            while len(self._done.baselines) < self._settings.noise:
                self._baseline(len(self._done.baselines) + 1)
        return facts

    def _begin_anew(self, settings: Settings) -> None:
        """It saves somewhere else: there it may have found what is not of this drill."""
        self._done.baselines.clear()
        self._done.notes.append(told(settings))
        self._say(told(settings))
        shutil.rmtree(settings.root / "sources", ignore_errors=True)
        self._settings, self._layout = settings, lay_out(settings)
        self._stage = replace(self._stage, settings=settings)

    def _learn(self, facts: Facts) -> None:
        """How fast, how long, how often to save."""
        self._pace = Pace(facts.steps, facts.units)
        every = self._settings.every or max(1, facts.steps // SAVES_IN_ALL)
        limit_s = LIMIT_TIMES * facts.seconds + LIMIT_MORE_S
        self._stage = replace(self._stage, every=every, by_lines=facts.by_lines, limit_s=limit_s)

    def _baseline(self, number: int) -> tuple[Training, Facts]:
        began_s = time.monotonic()
        training = self._begin(f"baseline-{number}", None)
        try:
            with patience.playing(f"baseline {number}", self._say, "an undisturbed training"):
                result = training.finish()
        except IsolationError as error:
            result = training.result(str(error), Cause.ISOLATION)
        self._done.baselines.append(result)
        facts = _facts(training, result, time.monotonic() - began_s)
        self._clear(training)
        return result, facts

    def _begin(self, name: str, case: Optional[Case]) -> UnderWay:
        folder = self._settings.root / "cases" / name
        return UnderWay.begin(self._stage, self._layout, self._reader, folder, case, self._pace)

    def _clear(self, training: UnderWay) -> None:
        """Its files are no longer needed, unless the user keeps them."""
        if not self._settings.keep:
            shutil.rmtree(training.folder, ignore_errors=True)

    def _case(self, case: Case, facts: Facts) -> Training:
        training = self._begin(case.value, case)
        try:
            with patience.playing(case.value, self._say):
                return play_case(training, case, facts, self._settings.seed)
        except OSError as error:
            return training.result(f"it could not be played: {error}", Cause.ISOLATION)
        finally:
            self._clear(training)

    def _one_by_one(self, cases: Sequence[Case], facts: Facts) -> None:
        for case in cases:
            if self._time_for(facts):
                self._done.trainings.append(self._case(case, facts))
            else:
                self._done.left_out.append(case)

    def _side_by_side(self, cases: Sequence[Case], facts: Facts) -> None:
        """In threads: what is played is other processes. The first thing that goes wrong stops all."""

        def one(case: Case) -> Optional[Training]:
            return self._case(case, facts) if self._time_for(facts) else None

        with ThreadPoolExecutor(self._at_a_time(facts)) as pool:
            futures: dict[Case, Future[Optional[Training]]] = {case: pool.submit(one, case) for case in cases}
            try:
                for case, future in futures.items():
                    training = future.result()
                    if training is None:
                        self._done.left_out.append(case)
                    else:
                        self._done.trainings.append(training)
            except BaseException:
                self._stage.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _time_for(self, facts: Facts) -> bool:
        """Whether one more case is likely to end in time."""
        if self._settings.time_s is None:
            return True
        return time.monotonic() - self._began_s + COST_OF_CASE * facts.seconds <= self._settings.time_s

    def _at_a_time(self, facts: Facts) -> int:
        """As the user says; else one where there is a GPU to share, and else as many as there are cores and memory for."""
        if self._settings.parallel is not None:
            return self._settings.parallel
        if any(Path("/dev").glob("nvidia[0-9]*")):
            return 1
        fitting = int(psutil.virtual_memory().available * MEMORY_SHARE / max(1, facts.memory_bytes))
        return max(1, min(MOST_AT_A_TIME, len(os.sched_getaffinity(0)), fitting))


def _facts(training: UnderWay, result: Training, seconds: float) -> Facts:
    """Of a baseline: all its Lives, though there should be one."""
    life = result.lives[-1] if result.lives else None
    probed = life is not None and life.probed
    steps = 0 if life is None else len(life.steps) if probed else len(life.logged)
    durables = [] if life is None else life.durables
    usual, beside = saves.usual(training.place)
    return Facts(
        steps=steps,
        saves=tuple(sorted([one.at_index for one in durables])),
        by_protocol=any(one.units is not None for one in durables),
        by_lines=not probed,
        units=training.units,
        usual_bytes=usual,
        beside=beside,
        seconds=seconds,
        memory_bytes=training.memory_bytes,
    )
