"""The controller dies anywhere, the backend does not answer, two controllers run at once: nothing is lost, doubled or orphaned."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.backends.simulated import Overheads, SimulatedBackend, SimulatedBackends, SimulatedClock
from nightspot.errors import Fenced, Unsure
from nightspot.model.attempt import AttemptOutcome, Phase, RunOutcome
from nightspot.model.capacity import Bounds
from nightspot.model.events import AttemptSeen, Event, LaunchRequested, Limit, RunOpened, SightLost
from nightspot.night.journal import MemoryJournal
from nightspot.night.night import Night, Settings
from nightspot.night.ports import Handle, LaunchSpec, Refused, Report
from nightspot.night.step import Wake, step
from nightspot.policy.baselines import Greedy
from tests.night.worlds import HOUR, World, guarded, trace


class Crash(BaseException):
    """kill -9, as near as one process can have it."""


@dataclass
class Chaos:
    """Crashes before or after any append or call, by a seeded die."""

    seed: int
    chance: float = 0.1
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def die(self) -> None:
        if self.rng.random() < self.chance:
            raise Crash


@dataclass
class ShakyJournal(MemoryJournal):
    chaos: Chaos

    def __post_init__(self) -> None:
        super().__init__(lambda: 0.0)

    def append(self, run_id: str, expected_seq: int, events: Sequence[Event], /) -> None:
        self.chaos.die()
        super().append(run_id, expected_seq, events)
        self.chaos.die()


class ShakyBackend(SimulatedBackend):
    chaos: Chaos
    launches: list[str]
    unsure_until_utc: float = -1.0
    busiest: int = 0

    def launch(self, spec: LaunchSpec, now_utc: float, /) -> Handle | Refused:
        self.chaos.die()
        answer = super().launch(spec, now_utc)
        self.launches.append(spec.token)
        self.busiest = max(self.busiest, self.running(now_utc))
        self.chaos.die()
        return answer

    def poll(self, handle: Handle, cursor: int, now_utc: float, /) -> Report:
        if now_utc < self.unsure_until_utc:
            raise Unsure("no answer")
        return super().poll(handle, cursor, now_utc)

    def running(self, now_utc: float) -> int:
        return sum(m.start_utc <= now_utc < self.end_utc(m) for m in self._machines.values())


@dataclass
class Stage:
    """A world, and controllers that come and go in it."""

    world: World
    chaos: Chaos

    def __post_init__(self) -> None:
        overheads = {p.id: Overheads(self.world.lead_s, self.world.stop_s) for p in self.world.pools}
        self.backend = ShakyBackend(self.world.capacities, overheads)
        self.backend.chaos, self.backend.launches = self.chaos, []
        self.journal = ShakyJournal(self.chaos)
        self.clock = SimulatedClock(self.backend, 0.0)
        self.settings = Settings(60.0, 60.0, 60.0)

    def open(self) -> Night:
        bounds = {p.id: Bounds(self.world.lead_s, self.world.stop_s) for p in self.world.pools}
        opened = RunOpened(0.0, "night-1", "n", self.world.job(), 0.0, self.world.window_s, 0.0, bounds)
        try:
            return Night.begin(self.journal, opened, self.settings)
        except Fenced:
            return Night.resume(self.journal, "night-1", self.settings)

    def step(self, night: Night) -> Wake | RunOutcome:
        return step(night, SimulatedBackends(self.backend), guarded(Greedy()), self.clock)

    def controller(self) -> RunOutcome:
        """One controller's life, until the Run is closed or it dies."""
        night = self.open()
        while True:
            result = self.step(night)
            if isinstance(result, RunOutcome):
                return result
            self.clock.sleep_until(min(result.at_utc, self.clock.utc + 300.0))

    def play(self) -> RunOutcome:
        for _ in range(5000):
            try:
                return self.controller()
            except Crash:
                self.clock.utc += 1.0
        pytest.fail(f"never done, seed {self.chaos.seed}")

    def check(self) -> None:
        """None doubled, none orphaned, every launch an Attempt of the Journal, every intent before its call."""
        tokens = [r.event.token for r in self.journal.read("night-1") if isinstance(r.event, LaunchRequested)]
        assert self.backend.busiest <= 1, f"seed {self.chaos.seed}: two ran at once"
        assert set(self.backend.launches) <= set(tokens), f"seed {self.chaos.seed}: a launch without an intent"
        assert len(tokens) == len(set(tokens))
        assert self.backend.running(self.clock.utc) == 0, f"seed {self.chaos.seed}: an orphan"


@settings(max_examples=150, deadline=None, print_blob=True)
@given(seed=st.integers(0, 2**32), flips=st.lists(st.integers(1, 480), max_size=12, unique=True).map(sorted))
def test_a_controller_that_dies_anywhere_loses_doubles_and_orphans_nothing(seed: int, flips: list[int]) -> None:
    world = World({"spot": trace(*[f / 60 for f in flips])}, stop_s=30.0, window_s=10 * HOUR)
    stage = Stage(world, Chaos(seed))
    assert stage.play() is RunOutcome.COMPLETED
    stage.check()


def test_a_launch_whose_record_was_lost_is_adopted_under_its_own_token() -> None:
    stage = Stage(World({"spot": trace()}), Chaos(0, chance=0.0))
    night = stage.open()
    stage.chaos.chance = 0.0
    append = stage.journal.append

    def dies_before_seen(run_id: str, seq: int, events: Sequence[Event], /) -> None:
        if any(isinstance(e, AttemptSeen) for e in events):
            raise Crash
        append(run_id, seq, events)

    stage.journal.append = dies_before_seen  # type: ignore[method-assign]
    with pytest.raises(Crash):
        stage.step(night)
    stage.journal.append = append  # type: ignore[method-assign]
    assert stage.controller() is RunOutcome.COMPLETED
    assert stage.backend.launches == ["night-1-n-001"]


def test_an_hour_of_failing_polls_never_relaunches_a_live_attempt() -> None:
    stage = Stage(World({"spot": trace()}), Chaos(0, chance=0.0))
    night = stage.open()
    stage.step(night)
    stage.clock.utc, stage.backend.unsure_until_utc = 600.0, 600.0 + HOUR
    for _ in range(60):
        stage.step(night)
        stage.clock.utc += 60.0
        assert stage.backend.launches == ["night-1-n-001"]
        if stage.clock.utc < stage.backend.unsure_until_utc:
            assert night.state.attempts[0].phase is Phase.UNKNOWN
    assert stage.controller() is RunOutcome.COMPLETED
    events = [r.event for r in stage.journal.read("night-1")]
    assert sum(isinstance(e, SightLost) for e in events) == 1
    assert Limit.SIGHT in stage.open().state.limits_hit


def test_a_launch_that_is_not_answered_is_said_once_and_never_tried_under_another_token() -> None:
    stage = Stage(World({"spot": trace()}), Chaos(0, chance=0.0))
    night = stage.open()

    def nobody(*_what: object) -> Any:
        raise Unsure("no connection")

    launch, find = stage.backend.launch, stage.backend.find
    stage.backend.launch = stage.backend.find = nobody  # type: ignore[method-assign]
    for _ in range(5):
        stage.step(night)
        stage.clock.utc += 60.0
    assert [(w.number, "no connection" in w.message) for w in night.state.warned] == [(1, True)]
    assert len(night.state.attempts) == 1
    stage.backend.launch, stage.backend.find = launch, find  # type: ignore[method-assign]
    assert stage.controller() is RunOutcome.COMPLETED


def test_of_two_controllers_one_acts_and_the_other_is_fenced() -> None:
    stage = Stage(World({"spot": trace(1.0, 2.0)}), Chaos(0, chance=0.0))
    first, second = stage.open(), stage.open()
    stage.step(first)
    with pytest.raises(Fenced):
        stage.step(second)
    assert stage.backend.launches == ["night-1-n-001"]
    assert stage.backend.running(HOUR / 2) == 1  # to the one that was overtaken it was a stranger: it did not stop it


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_controllers_that_take_turns_at_random_never_double_an_attempt(seed: int) -> None:
    rng = random.Random(seed)
    stage = Stage(World({"spot": trace(0.5, 1.0, 1.5, 2.0)}, stop_s=30.0), Chaos(seed, chance=0.0))
    nights: list[Any] = [stage.open(), stage.open()]
    for _ in range(2000):
        who = rng.randrange(2)
        try:
            result = stage.step(nights[who])
        except Fenced:
            nights[who] = stage.open()
            continue
        if isinstance(result, RunOutcome):
            break
        if rng.random() < 0.7:
            stage.clock.sleep_until(min(result.at_utc, stage.clock.utc + 300.0))
    assert nights[who].state.outcome is RunOutcome.COMPLETED
    stage.check()


def test_every_attempt_of_a_closed_run_has_ended() -> None:
    night, _ = World({"spot": trace(0.5, 1.0, 1.2, 1.3)}).night(guarded(Greedy()))
    assert all(a.outcome is not None for a in night.state.attempts)
    assert night.state.attempts[-1].outcome is AttemptOutcome.COMPLETED
