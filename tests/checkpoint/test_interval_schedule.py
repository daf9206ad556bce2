"""A schedule measures what saves cost, says when one is due, and explains itself."""

import math
from dataclasses import dataclass

import pytest

from nightspot.checkpoint.cost import ASSUMED_COST_S, SaveCost
from nightspot.checkpoint.hazard import Hazard
from nightspot.checkpoint.interval import daly_s, parse
from nightspot.checkpoint.schedule import Schedule, short

HOUR_S = 3600.0


@dataclass
class Loop:
    """A training on made-up time: steps of `step_s`, slower while a save is in flight."""

    schedule: Schedule
    step_s: float = 1.0
    slower_s: float = 0.0
    stall_s: float = 0.1
    save_s: float = 3.0
    per_epoch: int = 10
    now_s: float = 1000.0
    steps: int = 0
    durable_s: float = math.inf
    base_s: float = 0.0  # for how long tables are copied ahead, and training is slower
    based_s: float = math.inf

    def __post_init__(self) -> None:
        self.saves: list[int] = []
        self.said: list[str] = []
        self.schedule.begin(self.now_s, 0.0)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            busy = self.durable_s < math.inf or self.based_s < math.inf
            self.now_s += self.step_s + (self.slower_s if busy else 0.0)
            self.steps += 1
            due = self.schedule.due(self.now_s, self.steps / self.per_epoch)
            if self.now_s >= self.durable_s:
                self.schedule.saved(self.now_s, self.save_s)
                self.durable_s = math.inf
                self.said += [line for line in [self.schedule.news(self.now_s)] if line]
            if due and self.durable_s == math.inf and self.ready():
                self.save()

    def ready(self) -> bool:
        """As a saver is, that copies ahead."""
        if self.base_s and self.based_s == math.inf:
            self.now_s += self.stall_s
            self.based_s = self.now_s + self.base_s
            self.schedule.ahead(self.now_s, self.stall_s)
        return not self.base_s or self.now_s >= self.based_s

    def save(self) -> None:
        self.now_s += self.stall_s
        self.based_s = math.inf
        self.durable_s = self.now_s + self.save_s - self.stall_s
        self.saves.append(self.steps)
        self.schedule.snapshot(self.now_s, self.stall_s)


def loop(said: str | float, every_s: float | None = None, **kind: float) -> Loop:
    return Loop(Schedule(parse(said), Hazard(every_s)), **kind)  # type: ignore[arg-type]


def test_steps_are_calls_of_step_since_the_last_save() -> None:
    training = loop("7 steps", step_s=10.0)
    training.run(30)
    assert training.saves == [7, 14, 21, 28]


def test_a_save_somebody_asked_for_counts_as_one() -> None:
    training = loop("7 steps", step_s=10.0)
    training.run(5)
    training.save()
    training.run(9)
    assert training.saves == [5, 12]


def test_epochs_are_whole_ones_even_after_a_resume_in_the_middle_of_one() -> None:
    training = loop("1 epoch", step_s=10.0, per_epoch=10)
    training.steps = 4  # resumed: this process's own steps are not what counts
    training.schedule.begin(training.now_s, 0.4)
    training.run(30)
    assert training.saves == [10, 20, 30]


def test_several_epochs_and_parts_of_one() -> None:
    several, parts = loop("2 epochs", step_s=10.0), loop("0.5 epochs", step_s=10.0)
    for training in (several, parts):
        training.run(40)
    assert several.saves == [20, 40]
    assert parts.saves == [5, 10, 15, 20, 25, 30, 35, 40]


def test_an_epoch_is_whole_though_its_floats_do_not_quite_add_up() -> None:
    schedule = Schedule(parse("1 epoch"))
    schedule.begin(0.0, 0.0)
    units = sum([0.1] * 10)
    assert units < 1.0
    assert schedule.due(1.0, units)


def test_a_time_counts_from_the_last_snapshot() -> None:
    training = loop("10s", step_s=1.0, stall_s=0.0, save_s=0.5)
    training.run(35)
    assert training.saves == [10, 20, 30]


def test_a_failed_save_is_tried_again_after_a_whole_interval() -> None:
    schedule = Schedule(parse("10s"))
    schedule.begin(0.0, 0.0)
    assert schedule.due(10.0, 1.0)
    schedule.failed(10.0)
    assert not schedule.due(19.0, 1.0)
    assert schedule.due(20.0, 1.0)


def test_what_is_due_stays_due_until_it_is_saved() -> None:
    schedule = Schedule(parse("3 steps"))
    schedule.begin(0.0, 0.0)
    assert [schedule.due(float(step), 0.0) for step in range(5)] == [False, False, True, True, True]


def test_the_cost_of_a_save_is_the_stall_and_what_steps_were_slower_in_flight() -> None:
    training = loop("20s", step_s=1.0, slower_s=0.2, stall_s=0.1, save_s=4.0)
    training.run(100)
    in_flight = 4  # steps that end while the save is in flight, or end it
    assert training.schedule.cost.cost_s == pytest.approx(0.1 + 0.2 * in_flight)
    assert training.schedule.cost.save_s == 4.0


def test_tables_that_are_copied_ahead_cost_the_slower_steps_beside_them_too() -> None:
    training = loop("40s", step_s=1.0, slower_s=0.2, stall_s=0.1, save_s=4.0, base_s=12.0)
    training.run(300)
    beside = 10 + 4  # steps of 1.2 s: of the base, and until all of it was durable
    assert training.schedule.cost.cost_s == pytest.approx(0.1 + 0.1 + 0.2 * beside)
    assert training.schedule.cost.slower_s == pytest.approx(0.2 * beside)


def test_auto_saves_more_rarely_where_copying_ahead_slows_training_down() -> None:
    free, dear = (
        loop("auto", 2 * HOUR_S, step_s=1.0, slower_s=slower_s, stall_s=0.05, save_s=20.0, base_s=12.0)
        for slower_s in (0.0, 0.5)
    )
    for training in (free, dear):
        training.run(4000)
    now_s = free.now_s
    assert dear.schedule.choice(now_s).interval_s > 3 * free.schedule.choice(now_s).interval_s
    assert "of training and is durable" in free.said[-1], "nothing was slower: nothing is said of it"
    assert "(0.1s at a standstill, " in dear.said[-1] and " by slower steps beside it)" in dear.said[-1]


def test_a_base_that_came_to_nothing_is_not_part_of_a_later_save() -> None:
    cost = SaveCost()
    for now_s in range(10):
        cost.stepped(float(now_s))
    cost.ahead(10.0, 5.0)
    cost.stepped(40.0)
    cost.failed()
    cost.snapshot(41.0, 0.1)
    cost.saved(3.0)
    assert cost.cost_s == pytest.approx(0.1)


def test_an_evaluation_between_two_steps_is_no_slowdown() -> None:
    cost = SaveCost()
    now_s = 0.0
    for step in range(30):
        now_s += 300.0 if step == 25 else 1.0
        cost.stepped(now_s)
        if step == 22:
            cost.snapshot(now_s, 0.1)
    cost.saved(310.0)
    assert cost.cost_s == pytest.approx(0.1)


def test_the_first_save_prepares_memory_and_does_not_count_for_long() -> None:
    cost = SaveCost()
    for stall_s in (2.0, 0.1):
        cost.snapshot(0.0, stall_s)
        cost.saved(3.0)
    assert cost.cost_s == 0.1


def test_a_save_that_failed_says_nothing_about_what_saves_cost() -> None:
    cost = SaveCost()
    cost.snapshot(0.0, 30.0)
    cost.failed()
    assert not cost.known
    assert (cost.cost_s, cost.save_s) == (ASSUMED_COST_S, 0.0)


def test_auto_saves_as_often_as_daly_says_for_what_it_measured() -> None:
    training = loop("auto", 2 * HOUR_S, step_s=0.5, stall_s=0.3, save_s=2.0)
    training.run(4000)
    apart = [(after - before) * 0.5 for before, after in zip(training.saves[3:], training.saves[4:], strict=False)]
    wished_s = daly_s(training.schedule.cost.cost_s, 2 * HOUR_S)
    assert len(apart) > 10
    assert all(wished_s - 0.5 <= gap_s <= wished_s + 1.0 for gap_s in apart)


@pytest.mark.parametrize("every_s", [None, 7200.0, math.inf])
def test_auto_saves_once_soon_to_measure_what_it_costs(every_s: float | None) -> None:
    training = loop("auto", every_s, step_s=1.0)
    training.run(60)
    assert training.saves
    assert "no save was measured yet" in Schedule(parse("auto")).explain(0.0)


def test_auto_never_saves_more_often_than_a_save_is_in_flight() -> None:
    training = loop("auto", 600.0, step_s=1.0, stall_s=0.01, save_s=120.0)
    training.run(1000)
    assert all(after - before >= 119 for before, after in zip(training.saves[1:], training.saves[2:], strict=False))


def test_auto_explains_itself_once_and_then_only_when_it_changes_by_a_quarter() -> None:
    training = loop("auto", 3 * HOUR_S, step_s=1.0, stall_s=0.4)
    training.run(3000)
    assert len(training.said) == 1
    training.stall_s = 0.45  # a twentieth more in the interval
    training.run(2000)
    assert len(training.said) == 1
    training.stall_s = 1.2
    training.run(3000)
    assert len(training.said) == 2


def test_the_explanation_has_interval_cost_hazard_and_what_is_at_stake() -> None:
    training = loop("auto", 3 * HOUR_S, step_s=1.0, stall_s=0.4, save_s=3.0)
    training.run(300)
    (said,) = training.said
    assert said == (
        "auto interval: 1min33s: a save costs 0.4s of training and is durable after 3s; "
        "an interruption comes every 3h, as the controller knows this pool; at worst 1min36s of work are lost"
    )


def test_the_explanation_names_a_bound_and_the_usual_hazard() -> None:
    training = loop("auto", step_s=1.0, stall_s=60.0)
    training.run(2000)
    assert "auto interval: 15min (longer would put too much work at stake)" in training.said[0]
    assert "usual for Spot capacity of this age" in training.said[0]


def test_an_interruption_that_never_comes_is_said_in_words_and_not_as_a_number() -> None:
    training = loop("auto", math.inf, step_s=1.0)
    training.run(2000)
    assert "no interruption is expected" in training.said[0]
    assert "auto interval: 15min" in training.said[0]


@pytest.mark.parametrize("said", ["30s", "5 steps", "1 epoch"])
def test_only_auto_has_reasons_to_tell(said: str) -> None:
    training = loop(said)
    training.run(100)
    assert training.saves
    assert training.said == []
    assert training.schedule.explain(0.0) == f"a checkpoint every {parse(said).text}"


def test_under_compressed_time_the_longest_interval_is_compressed_as_well() -> None:
    schedule = Schedule(parse("auto"), Hazard(math.inf), longest_s=15.0)
    schedule.begin(0.0, 0.0)
    assert schedule.choice(0.0).interval_s == 1.0
    schedule.snapshot(1.0, 0.2)
    schedule.saved(1.5, 0.5)
    assert schedule.choice(2.0).interval_s == 15.0


def test_measured_times_are_short() -> None:
    assert [short(0.0421), short(3.42), short(130.4), short(HOUR_S * 3)] == ["0.042s", "3.4s", "2min10s", "3h"]
    assert [short(0.0), short(0.0004), short(9.96), short(1e-9), short(1e7)] == [
        "0s",
        "0.0004s",
        "10s",
        "0s",
        "115d17h47min",
    ]
