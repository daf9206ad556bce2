"""The controller dies anywhere while two Attempts are held: still none is lost, doubled or orphaned, and never two train."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.backends.queueing import QueueingBackend
from nightspot.backends.simulated import Overheads, SimulatedBackend, SimulatedBackends, SimulatedClock
from nightspot.errors import Fenced, Unsure
from nightspot.model.attempt import Role, RunOutcome
from nightspot.model.capacity import Bounds, Sight
from nightspot.model.decision import Decision, Observation, Want
from nightspot.model.events import Event, LaunchRequested, RunOpened, Told
from nightspot.night.night import Night, Settings
from nightspot.night.ports import Handle, LaunchSpec, Refused
from nightspot.night.step import Wake, step
from nightspot.policy.base import Policy
from tests.night.test_crashes import Chaos, Crash, ShakyJournal
from tests.night.test_roles import BOTH, Second, check_story
from tests.night.worlds import HOUR, World, guarded, trace


class Shaky:
    """Crashes before or after each launch and each word; some words get no answer, whether they arrived or not."""

    chaos: Chaos
    launches: list[str]
    deaf: float = 0.0

    def launch(self, spec: LaunchSpec, now_utc: float, /) -> Handle | Refused:
        self.chaos.die()
        answer: Handle | Refused = super().launch(spec, now_utc)  # type: ignore[misc]
        self.launches.append(spec.token)
        self.chaos.die()
        return answer

    def tell(self, handle: Handle, word: str, now_utc: float, /) -> None:
        self.chaos.die()
        if self.chaos.rng.random() < self.deaf / 2:
            raise Unsure("it did not arrive")
        super().tell(handle, word, now_utc)  # type: ignore[misc]
        if self.chaos.rng.random() < self.deaf / 2:
            raise Unsure("it did arrive")
        self.chaos.die()


@dataclass(frozen=True)
class Moody:
    """Every quarter of an hour it wants something else."""

    seed: int

    def decide(self, observation: Observation, /) -> Decision:
        now, there = observation.now_utc // 900.0, observation.seen("spot") is not Sight.DOWN
        wants = random.Random(self.seed + int(now)).choice(
            [BOTH[: 1 + there], BOTH[: 1 + there], BOTH[:1], (Want("spot"),), ()]
        )
        return Decision(wants, (now + 1) * 900.0, "a mood")


class ShakySeen(Shaky, SimulatedBackend):
    """Capacity is seen."""


class ShakyQueues(Shaky, QueueingBackend):
    """Only requests show capacity."""


@dataclass
class Stage:
    """A world in which two may be held, and controllers that come and go in it."""

    world: World
    chaos: Chaos
    policy: Policy = field(default_factory=Second)
    deaf: float = 0.0

    def __post_init__(self) -> None:
        takes = Overheads(self.world.lead_s, self.world.stop_s, self.world.save_every_s)
        overheads = {p.id: takes for p in self.world.pools}
        kind: Any = ShakyQueues if self.world.queues else ShakySeen
        self.backend = kind(self.world.capacities, overheads, beside=True, handover_s=20.0)
        self.backend.chaos, self.backend.launches, self.backend.deaf = self.chaos, [], self.deaf
        self.journal = ShakyJournal(self.chaos)
        self.clock = SimulatedClock(self.backend, 0.0)
        self.settings = Settings(60.0, 60.0, 60.0)

    def open(self) -> Night:
        bounds = {p.id: Bounds(self.world.lead_s, self.world.stop_s + 60.0) for p in self.world.pools}
        opened = RunOpened(0.0, "night-1", "n", self.world.job(), 0.0, self.world.window_s, 0.0, bounds)
        try:
            return Night.begin(self.journal, opened, self.settings)
        except Fenced:
            return Night.resume(self.journal, "night-1", self.settings)

    def step(self, night: Night) -> Wake | RunOutcome:
        try:
            return step(night, SimulatedBackends(self.backend), guarded(self.policy), self.clock)
        finally:
            self.look()

    def look(self) -> None:
        """At every moment at which anything was done."""
        now_utc, machines = self.clock.utc, self.backend._machines.values()
        lives = [m for m in machines if m.start_utc <= now_utc < self.backend.end_utc(m)]
        assert len(lives) <= 2, f"seed {self.chaos.seed}: more than two"
        assert sum(m.trains_utc <= now_utc for m in lives) <= 1, f"seed {self.chaos.seed}: two train"
        assert sum(m.gone_utc < math.inf for m in lives) <= 1, f"seed {self.chaos.seed}: two may train"

    def controller(self) -> RunOutcome:
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

    def events(self) -> list[Event]:
        return [record.event for record in self.journal.read("night-1")]

    def check(self) -> None:
        events = self.events()
        tokens = [e.token for e in events if isinstance(e, LaunchRequested)]
        assert set(self.backend.launches) <= set(tokens), f"seed {self.chaos.seed}: a launch without an intent"
        assert len(tokens) == len(set(tokens))
        assert list(self.backend.live("night-1")) == [], f"seed {self.chaos.seed}: an orphan"
        check_story(events)


def two(flips: list[int], *, queues: bool, stop_s: float = 30.0) -> World:
    capacity = trace(*[f / 60 for f in flips], first_up=False)
    told = {"queues": queues, "second_request": True, "handover": True, "beside": True}
    return World({"spot": capacity}, stop_s=stop_s, window_s=12 * HOUR, save_every_s=HOUR, **told)  # type: ignore[arg-type]


FLIPS = st.lists(st.integers(1, 480), max_size=12, unique=True).map(sorted)


@settings(max_examples=120, deadline=None, print_blob=True)
@given(
    seed=st.integers(0, 2**32),
    flips=FLIPS,
    queues=st.booleans(),
    policy=st.sampled_from([Second(), Second(boots=True), None]),
    deaf=st.sampled_from([0.0, 0.3]),
)
def test_with_two_held_a_controller_that_dies_anywhere_loses_doubles_and_orphans_nothing(
    seed: int, flips: list[int], queues: bool, policy: Policy | None, deaf: float
) -> None:
    stage = Stage(two(flips, queues=queues), Chaos(seed), policy or Moody(seed), deaf)
    assert stage.play() is RunOutcome.COMPLETED
    stage.check()


@settings(max_examples=12, deadline=None, print_blob=True)
@given(seed=st.integers(0, 2**32), flips=FLIPS, queues=st.booleans())
def test_two_controllers_that_take_turns_never_let_two_train(seed: int, flips: list[int], queues: bool) -> None:
    stage = Stage(two(flips, queues=queues), Chaos(seed, chance=0.0), Second(boots=True))
    nights: list[Any] = [stage.open(), stage.open()]
    for _ in range(2000):
        who = stage.chaos.rng.randrange(2)
        try:
            result = stage.step(nights[who])
        except Fenced:
            nights[who] = stage.open()
            continue
        if isinstance(result, RunOutcome):
            break
        if stage.chaos.rng.random() < 0.7:
            stage.clock.sleep_until(min(result.at_utc, stage.clock.utc + 300.0))
    assert nights[who].state.outcome is RunOutcome.COMPLETED
    stage.check()


@pytest.mark.parametrize("arrives", [True, False])
def test_a_go_that_was_recorded_and_not_said_is_said_by_the_next_controller(*, arrives: bool) -> None:
    """Killed between the record and the word, or after the word: whoever comes next holds it for one that trains."""
    stage = Stage(two([60], queues=True), Chaos(0, chance=0.0))
    tell = stage.backend.tell
    died: list[float] = []

    def dies(handle: Handle, word: str, now_utc: float, /) -> None:
        if word == "go" and not died:
            died.append(now_utc)
            if arrives:
                tell(handle, word, now_utc)
            raise Crash
        tell(handle, word, now_utc)

    stage.backend.tell = dies
    with pytest.raises(Crash):
        stage.controller()
    night = stage.open()
    assert [a.role for a in night.state.live] == [Role.TRAIN]
    assert stage.play() is RunOutcome.COMPLETED
    assert [e.word for e in stage.events() if isinstance(e, Told) and e.word == "go"] == ["go"]
    assert [e.pool_id for e in stage.events() if isinstance(e, LaunchRequested)] == ["on-demand", "spot"]
    stage.check()
