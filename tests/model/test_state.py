"""The state is a fold over Events, and nothing else changes it."""

from __future__ import annotations

import pytest

from nightspot.model.attempt import Phase, Role, RunOutcome
from nightspot.model.capacity import Bounds, Market, Pool
from nightspot.model.events import (
    AttemptSeen,
    CheckpointSeen,
    Event,
    InterruptionSeen,
    LaunchRefused,
    LaunchRequested,
    PhaseChanged,
    RefusalReason,
    RunClosed,
    RunOpened,
    Told,
    UserAsked,
    Warned,
)
from nightspot.model.job import Job, PolicyChoice, Training, Work
from nightspot.model.state import RunState, apply, replay

JOB = Job(
    "job",
    Training(("true",)),
    Work(20.0, "epoch", 60.0),
    (Pool("a", "local", Market.SPOT, 1.0),),
    PolicyChoice("greedy"),
)
OPENED = RunOpened(0.0, "run", "nonce", JOB, 0.0, 3600.0, 0.0, {"a": Bounds(60.0)})
LAUNCHED = (LaunchRequested(10.0, 1, "t1", "a", Role.TRAIN, 4000.0), AttemptSeen(11.0, 1, "h"))
TRAINS = PhaseChanged(50.0, 1, Phase.TRAINING)


def after(*events: Event) -> RunState:
    return replay([OPENED, *events])


def test_every_event_moves_the_sequence_number_by_one() -> None:
    events: list[Event] = [*LAUNCHED, TRAINS, CheckpointSeen(90.0, 1, 1.0), Told(95.0, 1, "stop"), Warned(96.0, 1, "w")]
    state = replay([OPENED])
    for number, event in enumerate(events, start=2):
        state = apply(state, event)
        assert state.seq == number


def test_capacity_that_gave_notice_counts_as_refused_from_when_it_goes() -> None:
    assert after(*LAUNCHED, InterruptionSeen(100.0, 1, 220.0)).refused_utc == {"a": 220.0}
    assert after(*LAUNCHED, InterruptionSeen(100.0, 1)).refused_utc == {"a": 100.0}


def test_work_is_durable_from_its_checkpoint_on_and_never_less() -> None:
    state = after(*LAUNCHED, TRAINS, CheckpointSeen(90.0, 1, 5.0), CheckpointSeen(91.0, 1, 3.0))
    assert (state.durable_units, state.left_s) == (5.0, 15.0 * 60.0)


def test_a_request_that_met_no_capacity_is_no_launch() -> None:
    refused = LaunchRefused(12.0, 1, RefusalReason.NO_CAPACITY)
    assert after(*LAUNCHED).launches == 1
    assert after(LAUNCHED[0], refused).launches == 0
    assert len(after(LAUNCHED[0], refused).attempts) == 1


def test_a_closed_run_is_closed() -> None:
    closed = RunClosed(100.0, RunOutcome.CANCELLED, late=False, why="asked")
    state = after(closed)
    with pytest.raises(ValueError, match="closed"):
        apply(state, UserAsked(101.0, "stop"))
    assert apply(state, Told(102.0, 0, "hook:failure", "ran")).outcome is RunOutcome.CANCELLED


def test_a_journal_begins_with_run_opened_once() -> None:
    with pytest.raises(ValueError, match="begins with"):
        replay([TRAINS])
    with pytest.raises(ValueError, match="twice"):
        after(OPENED)


def test_each_incarnation_counts_its_training_from_its_own_beginning() -> None:
    again = [PhaseChanged(900.0, 1, Phase.QUEUED, 2, 5.0), PhaseChanged(1500.0, 1, Phase.TRAINING, 2, 5.0)]
    attempt = after(*LAUNCHED, TRAINS, CheckpointSeen(350.0, 1, 5.0), *again).attempt(1)
    assert (attempt.trained_from_utc, attempt.trained_from_units) == (1500.0, 5.0)
    assert attempt.queued_s == 600.0
    unit_s = after(*LAUNCHED, TRAINS, *again, CheckpointSeen(1560.0, 1, 6.0)).unit_s
    assert unit_s == 60.0  # the time away is not the work's


def test_what_a_first_checkpoint_says_of_a_units_time_holds_until_two_can_be_compared() -> None:
    late: list[Event] = [
        *LAUNCHED,
        TRAINS,
        CheckpointSeen(50.0 + 150.0, 1, 1.0),
    ]  # it took a minute, and was seen much later
    assert after(*late).unit_s == 150.0
    assert after(*late, CheckpointSeen(50.0 + 210.0, 1, 2.0)).unit_s == 60.0
    assert after(*late, CheckpointSeen(50.0 + 240.0, 1, 2.0)).unit_s == 90.0
