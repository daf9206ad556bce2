"""Bounds and unit time learned from past nights: conservative, and only from what is comparable."""

from __future__ import annotations

from dataclasses import replace
from typing import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightspot.model.attempt import AttemptOutcome, Phase, Role
from nightspot.model.capacity import Bounds, Market, Pool
from nightspot.model.events import (
    AttemptEnded,
    AttemptSeen,
    CheckpointSeen,
    Event,
    LaunchRefused,
    LaunchRequested,
    PhaseChanged,
    Record,
    RefusalReason,
    RunOpened,
    Told,
)
from nightspot.model.job import Job, PolicyChoice, Training, Work
from nightspot.policy.overheads import (
    BOUND_SAMPLES,
    INTERRUPTIONS,
    UNIT_SAMPLES,
    learned_bounds,
    learned_interruptions,
    learned_work,
    look_back,
    quantile,
)

SPOT = Pool("spot", "local", Market.SPOT, 0.3, "p4d", "a", bounds=Bounds(60.0, 30.0, 5.0, 10.0))
FAST = Pool("fast", "local", Market.ON_DEMAND, 1.0, "p5", "a", speed=2.0)
JOB = Job(
    "job", Training(("true",), fingerprint="f1"), Work(20.0, "epoch", 720.0), (SPOT, FAST), PolicyChoice("greedy")
)


def night(*events: Event, job: Job = JOB, seen_lag_s: float = 0.0) -> list[Record]:
    opened = RunOpened(0.0, "r", "n", job, 0.0, 1e6, 0.0, {})
    story: list[Event] = [opened, *events]
    return [Record(n + 1, (e.at_utc + seen_lag_s * n) / job.time_scale, e) for n, e in enumerate(story)]


def attempt(lead_s: float, unit_s: float = 600.0, units: float = 4.0, pool: str = "spot") -> list[Event]:
    began_utc, saved_utc = lead_s, lead_s + units * unit_s
    return [
        LaunchRequested(0.0, 1, "t", pool, Role.TRAIN, 1e6),
        AttemptSeen(0.0, 1, "h"),
        PhaseChanged(began_utc, 1, Phase.TRAINING),
        CheckpointSeen(saved_utc, 1, units),
        Told(saved_utc, 1, "stop"),
        Told(saved_utc + 20.0, 1, "stop"),
        AttemptEnded(saved_utc + 45.0, 1, AttemptOutcome.RELEASED, units, 1.0, 1.0),
    ]


def learned(nights: Sequence[Sequence[Record]], job: Job = JOB) -> Bounds | None:
    return learned_bounds(job, look_back(job, nights)).get("spot")


def test_bounds_come_from_the_job_file_until_there_are_20_samples_then_from_the_95th_percentile() -> None:
    nights = [night(*attempt(lead_s=100.0 + n)) for n in range(BOUND_SAMPLES)]
    assert learned(nights[:-1]) == SPOT.bounds
    after = learned(nights)
    assert after is not None
    assert (after.lead_s, after.stop_s) == (118.0, 45.0)
    assert (after.refusal_s, after.save_s) == (5.0, 10.0)


def test_bounds_never_fall_below_the_job_files() -> None:
    assert learned([night(*attempt(lead_s=10.0))] * BOUND_SAMPLES) == replace(SPOT.bounds or Bounds(0.0), stop_s=45.0)


def test_a_stop_lasts_until_the_loop_has_seen_its_end() -> None:
    after = learned([night(*attempt(lead_s=10.0), seen_lag_s=15.0)] * BOUND_SAMPLES)
    assert after is not None
    assert after.stop_s == pytest.approx(45.0 + 2 * 15.0)


def test_a_pool_without_bounds_has_none_until_it_was_measured() -> None:
    nights = [night(*attempt(lead_s=100.0, pool="fast"))] * BOUND_SAMPLES
    assert "fast" not in learned_bounds(JOB, look_back(JOB, nights[1:]))
    assert learned_bounds(JOB, look_back(JOB, nights))["fast"] == Bounds(100.0, 45.0)


def test_refusals_are_learned() -> None:
    refusal: list[Event] = [
        LaunchRequested(0.0, 1, "t", "spot", Role.TRAIN, 1e6),
        LaunchRefused(90.0, 1, RefusalReason.NO_CAPACITY),
    ]
    after = learned([night(*refusal)] * BOUND_SAMPLES)
    assert after is not None
    assert after.refusal_s == 90.0


@pytest.mark.parametrize("change", [{"name": "other"}, {"time_scale": 60.0}])
def test_nights_of_another_job_or_another_time_scale_teach_nothing(change: dict[str, object]) -> None:
    other = replace(JOB, **change)  # type: ignore[arg-type]
    nights = [night(*attempt(lead_s=100.0), job=other)] * BOUND_SAMPLES
    assert learned(nights) == SPOT.bounds
    assert learned_work(JOB, look_back(JOB, nights)) == JOB.work


def test_a_pool_is_known_again_under_another_id() -> None:
    renamed = replace(JOB, pools=(replace(SPOT, id="zone-a"), FAST))
    nights = [night(*attempt(lead_s=100.0))] * BOUND_SAMPLES
    assert learned_bounds(renamed, look_back(renamed, nights))["zone-a"].lead_s == 100.0


def test_a_units_time_is_learned_from_stretches_of_the_same_program_at_speed_1() -> None:
    nights = [night(*attempt(60.0, unit_s=300.0 + n, pool="fast")) for n in range(UNIT_SAMPLES)]
    assert learned_work(JOB, look_back(JOB, nights[:-1])) == JOB.work
    assert learned_work(JOB, look_back(JOB, nights)) == Work(20.0, "epoch", 2 * 304.0, learned=True)
    changed = replace(JOB, training=Training(("true",), fingerprint="f2"))
    assert learned_work(changed, look_back(changed, nights)) == JOB.work


def taken(after_s: float, *, at_last: bool = True, restarts: int = 0) -> list[Record]:
    """A night on Spot of `restarts` + 1 stretches of training, each of that length."""
    events: list[Event] = [LaunchRequested(0.0, 1, "t", "spot", Role.TRAIN, 1e6), AttemptSeen(0.0, 1, "h")]
    for place in range(restarts + 1):
        began_utc = 60.0 + place * (after_s + 60.0)
        if place:  # queued again the moment it was taken: another incarnation
            events.append(PhaseChanged(began_utc - 60.0, 1, Phase.QUEUED, incarnation=place + 1))
        events.append(PhaseChanged(began_utc, 1, Phase.TRAINING, incarnation=place + 1))
    outcome = AttemptOutcome.INTERRUPTED if at_last else AttemptOutcome.RELEASED
    events.append(AttemptEnded(began_utc + after_s, 1, outcome, 4.0, 1.0, 1.0))
    return night(*events)


def test_the_rate_of_interruptions_is_learned_from_all_training_on_a_pool_once_there_were_enough() -> None:
    nights = [taken(after_s) for after_s in (600.0, 1200.0, 1800.0, 2400.0)]
    quiet = taken(9000.0, at_last=False)
    assert learned_interruptions(JOB, look_back(JOB, [*nights, quiet])) == {}
    assert learned_interruptions(JOB, look_back(JOB, [*nights, quiet, taken(3000.0)])) == {"spot": 18000.0 / 5}


def test_each_restart_inside_an_attempt_is_an_interruption() -> None:
    nights = [taken(600.0, at_last=False, restarts=INTERRUPTIONS)]
    assert learned_interruptions(JOB, look_back(JOB, nights)) == {"spot": 600.0 * (INTERRUPTIONS + 1) / INTERRUPTIONS}


@given(samples=st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_the_quantile_is_a_sample_that_few_exceed(samples: list[float]) -> None:
    value = quantile(samples)
    assert value in samples
    assert sum(s > value for s in samples) <= 0.05 * len(samples)
    assert sum(s < value for s in samples) <= 0.95 * len(samples)


def test_no_samples_have_no_quantile() -> None:
    with pytest.raises(ValueError, match="no samples"):
        quantile([])
