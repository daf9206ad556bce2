"""Facts of nights worked out by hand: what was lost, billed and saved."""

from __future__ import annotations

from typing import Sequence

import pytest

from nightspot.model.attempt import AttemptOutcome, Phase, Role, RunOutcome
from nightspot.model.capacity import Bounds, Market, Pool
from nightspot.model.decision import Want
from nightspot.model.events import (
    AttemptEnded,
    AttemptSeen,
    CheckpointSeen,
    DecisionChanged,
    Event,
    LaunchRefused,
    LaunchRequested,
    Limit,
    LimitHit,
    PhaseChanged,
    Record,
    RefusalReason,
    RunClosed,
    RunOpened,
    Told,
    Warned,
)
from nightspot.model.facts import facts_of, iso
from nightspot.model.job import Checkpointing, Job, PolicyChoice, Training, Work

SPOT = Pool("spot", "local", Market.SPOT, 1.0)
FAST = Pool("fast", "local", Market.SPOT, 2.0, speed=2.0)
ON_DEMAND = Pool("od", "local", Market.ON_DEMAND, 3.0)
LEAD_S, UNIT_S, DEADLINE = 300.0, 600.0, 8 * 3600.0
CODES = {AttemptOutcome.COMPLETED: "aa11"}


def opened(pattern: str | None = None, bounds: dict[str, Bounds] | None = None) -> RunOpened:
    job = Job(
        "night",
        Training(("true",), artifact="model.pt", fingerprint="f00d"),
        Work(10, "epoch", 500.0),
        (SPOT, FAST, ON_DEMAND),
        PolicyChoice("greedy"),
        Checkpointing(pattern=pattern),
    )
    known = {"od": Bounds(LEAD_S), "spot": Bounds(LEAD_S)} if bounds is None else bounds
    return RunOpened(0.0, "night-1", "n", job, 0.0, DEADLINE, 0.0, known, "0.1")


def launched(number: int, pool: str, at_utc: float, from_units: float) -> list[Event]:
    """Asked for, and training after the lead."""
    return [
        LaunchRequested(at_utc, number, f"t{number}", pool, Role.TRAIN, DEADLINE),
        AttemptSeen(at_utc, number, ""),
        PhaseChanged(at_utc + LEAD_S, number, Phase.TRAINING, 1, from_units),
    ]


def ended(number: int, at_utc: float, outcome: AttemptOutcome, units: float, billed_s: float, price: float) -> Event:
    return AttemptEnded(
        at_utc, number, outcome, units, billed_s, billed_s / 3600 * price, artifact_sha256=CODES.get(outcome)
    )


def records(*events: Event | Sequence[Event]) -> list[Record]:
    flat: list[Event] = []
    for event in events:
        flat.extend(event if isinstance(event, list) else [event])  # type: ignore[list-item]
    return [Record(seq, 0.0, event) for seq, event in enumerate(flat, start=1)]


def interrupted_night() -> list[Record]:
    """Spot from 0 to 3.5 epochs, taken with 3 safe; on-demand for the other seven. A unit takes 600 s, not the 500 s of the job file."""
    return records(
        opened(),
        DecisionChanged(0.0, (Want("spot"),), "Spot is there", "policy"),
        launched(1, "spot", 0.0, 0.0),
        CheckpointSeen(LEAD_S + 3 * UNIT_S, 1, 3.0),
        ended(1, LEAD_S + 3.5 * UNIT_S, AttemptOutcome.INTERRUPTED, 3.5, 2400.0, 1.0),
        DecisionChanged(2400.0, (Want("od"),), "slack is spent", "guard"),
        launched(2, "od", 2400.0, 3.0),
        ended(2, 2400.0 + LEAD_S + 7 * UNIT_S, AttemptOutcome.COMPLETED, 10.0, 4500.0, 3.0),
        RunClosed(6900.0, RunOutcome.COMPLETED, False, "the work is done"),
    )


def test_a_unit_takes_what_it_took_tonight_not_what_the_job_file_says() -> None:
    assert facts_of(interrupted_night()).unit_s == pytest.approx(UNIT_S)


def test_work_since_the_last_checkpoint_is_lost_by_an_interruption() -> None:
    facts = facts_of(interrupted_night())
    assert [a.lost_work_s for a in facts.attempts] == pytest.approx([0.5 * UNIT_S, 0.0])
    assert facts.lost_work_s == pytest.approx(300.0)
    assert facts.interruptions == 1


def test_the_bill_is_compared_with_one_lead_and_the_measured_work_on_the_guards_pool() -> None:
    facts = facts_of(interrupted_night())
    assert facts.cost_usd == pytest.approx(2400 / 3600 * 1.0 + 4500 / 3600 * 3.0)
    assert facts.on_demand_cost_usd == pytest.approx((LEAD_S + 10 * UNIT_S) / 3600 * 3.0)
    assert facts.saving_usd == pytest.approx(facts.on_demand_cost_usd - facts.cost_usd)
    assert facts.saving_percent == pytest.approx(100 * (1 - facts.cost_usd / facts.on_demand_cost_usd))
    assert (facts.guard_pool, facts.fell_back) == ("od", True)


def test_the_model_is_the_completed_attempts() -> None:
    facts = facts_of(interrupted_night())
    assert (facts.model_sha256, facts.fingerprint, facts.artifact) == ("aa11", "f00d", "model.pt")
    assert (facts.outcome, facts.late, facts.finished_utc) == ("completed", False, 6900.0)


def test_decisions_are_told_with_their_reasons_and_who_made_them() -> None:
    decisions = facts_of(interrupted_night()).decisions
    assert [(d.wants, d.why, d.by) for d in decisions] == [
        (("spot",), "Spot is there", "policy"),
        (("od",), "slack is spent", "guard"),
    ]


@pytest.mark.parametrize(
    ("pool", "bound_s", "start_s"),
    [("od", 6 * 3600.0, LEAD_S), ("spot", 6 * 3600.0, LEAD_S), ("", 1200.0, 1200.0)],
    ids=["as it took", "as another took", "nothing trained: the bound"],
)
def test_a_long_bound_does_not_flatter_the_saving_where_a_start_up_was_seen(
    pool: str, bound_s: float, start_s: float
) -> None:
    begun = launched(1, pool or "spot", 0.0, 0.0)
    night = records(
        opened(bounds={"od": Bounds(bound_s)}),
        begun if pool else begun[:2],
        CheckpointSeen(LEAD_S + 5 * UNIT_S, 1, 5.0),
    )
    facts = facts_of(night)
    assert facts.on_demand_cost_usd == pytest.approx((start_s + facts.work_s) / 3600 * 3.0)
    assert facts.work_s > 0


def test_a_damaged_checkpoint_costs_all_that_is_done_again() -> None:
    """Three epochs were reported safe, but the next attempt began at 1: 2.5 were done again."""
    night = records(
        opened(),
        launched(1, "spot", 0.0, 0.0),
        CheckpointSeen(LEAD_S + 3 * UNIT_S, 1, 3.0),
        ended(1, LEAD_S + 3.5 * UNIT_S, AttemptOutcome.INTERRUPTED, 3.5, 2400.0, 1.0),
        launched(2, "od", 2400.0, 1.0),
        ended(2, 2700.0 + 9 * UNIT_S, AttemptOutcome.COMPLETED, 10.0, 5700.0, 3.0),
    )
    assert facts_of(night).lost_work_s == pytest.approx(2.5 * UNIT_S)


def test_a_faster_pools_time_counts_as_more_work() -> None:
    """On a Pool of speed 2 an epoch took 300 s: 600 s of work at speed 1."""
    night = records(
        opened(),
        launched(1, "fast", 0.0, 0.0),
        ended(1, LEAD_S + 10 * 300.0, AttemptOutcome.COMPLETED, 10.0, 3300.0, 2.0),
        RunClosed(3300.0, RunOutcome.COMPLETED, False, ""),
    )
    facts = facts_of(night)
    assert facts.unit_s == pytest.approx(600.0)
    assert facts.on_demand_cost_usd == pytest.approx((LEAD_S + 6000.0) / 3600 * 3.0)


def test_an_unmodified_script_loses_all_the_time_since_its_last_file() -> None:
    night = records(
        opened(pattern="ckpt-*.pt"),
        launched(1, "spot", 0.0, 0.0),
        CheckpointSeen(LEAD_S + 2 * UNIT_S, 1, 2.0, verified=False),
        ended(1, LEAD_S + 2 * UNIT_S + 450.0, AttemptOutcome.INTERRUPTED, 2.0, 1950.0, 1.0),
        launched(2, "spot", 2400.0, 2.0),
    )
    facts = facts_of(night)
    assert facts.lost_work_s == pytest.approx(450.0)
    assert not facts.verified


def test_a_restart_inside_is_an_interruption_too_and_its_loss_counts() -> None:
    night = records(
        opened(),
        launched(1, "spot", 0.0, 0.0),
        CheckpointSeen(LEAD_S + 2 * UNIT_S, 1, 2.0),
        PhaseChanged(2000.0, 1, Phase.QUEUED, 2),
        PhaseChanged(3000.0, 1, Phase.TRAINING, 2, 1.0),
        ended(1, 3000.0 + 9 * UNIT_S, AttemptOutcome.COMPLETED, 10.0, 8400.0, 1.0),
    )
    facts = facts_of(night)
    assert facts.interruptions == 1
    assert facts.lost_work_s == pytest.approx(1 * UNIT_S)


def test_a_restart_that_was_never_seen_waiting_is_one_all_the_same() -> None:
    """Between two polls it was taken, queued and trained again: the first stretch ends where the second begins."""
    night = records(
        opened(),
        launched(1, "spot", 0.0, 0.0),
        CheckpointSeen(LEAD_S + 2 * UNIT_S, 1, 2.0),
        PhaseChanged(3000.0, 1, Phase.TRAINING, 2, 1.0),
        ended(1, 3000.0 + 9 * UNIT_S, AttemptOutcome.COMPLETED, 10.0, 8400.0, 1.0),
    )
    facts = facts_of(night)
    assert facts.interruptions == 1
    assert facts.lost_work_s == pytest.approx(UNIT_S)


def test_a_refused_launch_costs_nothing_and_is_no_interruption() -> None:
    night = records(
        opened(),
        LaunchRequested(0.0, 1, "t1", "od", Role.TRAIN, DEADLINE),
        LaunchRefused(5.0, 1, RefusalReason.NO_CAPACITY, "none left"),
    )
    facts = facts_of(night)
    assert (facts.cost_usd, facts.interruptions, facts.fell_back) == (0.0, 0, False)
    assert (facts.attempts[0].outcome, facts.attempts[0].detail) == ("no-capacity", "none left")


def test_a_live_attempt_is_billed_until_now_where_now_is_given() -> None:
    night = records(opened(), launched(1, "spot", 0.0, 0.0), CheckpointSeen(LEAD_S + UNIT_S, 1, 1.0))
    assert facts_of(night, 1800.0).cost_usd == pytest.approx(0.5)
    assert facts_of(night).cost_usd == 0.0
    assert (facts_of(night).outcome, facts_of(night).units_done) == (None, 1.0)


def test_a_night_without_work_has_no_saving() -> None:
    facts = facts_of(records(opened(), RunClosed(DEADLINE, RunOutcome.NO_CAPACITY, True, "none")))
    assert (facts.on_demand_cost_usd, facts.saving_usd, facts.saving_percent) == (0.0, 0.0, 0.0)


def test_the_guards_pool_is_the_first_with_bounds_else_the_first() -> None:
    assert facts_of(records(opened(bounds={}))).guard_pool == "od"


def test_what_was_warned_of_reached_and_told_is_kept_apart() -> None:
    night = records(
        opened(),
        launched(1, "spot", 0.0, 0.0),
        Warned(400.0, 1, "a damaged checkpoint was skipped"),
        LimitHit(500.0, Limit.RISK, "slack is low"),
        Told(501.0, 0, "hook:risk", "the hook ran"),
        Told(502.0, 1, "stop"),
    )
    facts = facts_of(night)
    assert [(r.attempt, r.message) for r in facts.warnings] == [(1, "a damaged checkpoint was skipped")]
    assert [(r.kind, r.message) for r in facts.limits] == [("risk", "slack is low")]
    assert [(r.kind, r.message) for r in facts.hooks] == [("hook:risk", "the hook ran")]


def test_a_journal_that_does_not_begin_has_no_facts() -> None:
    with pytest.raises(ValueError, match="RunOpened"):
        facts_of([])


@pytest.mark.parametrize(
    ("at_utc", "text"),
    [(0.0, "1970-01-01T00:00:00Z"), (1.5, "1970-01-01T00:00:01.500Z"), (1795590000.0, "2026-11-25T07:00:00Z")],
)
def test_times_are_iso_8601_in_utc(at_utc: float, text: str) -> None:
    assert iso(at_utc) == text
