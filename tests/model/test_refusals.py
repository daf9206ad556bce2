"""Refused launches: what they are called, how long they count, and when there is no hope."""

from __future__ import annotations

import pytest

from nightspot.model.attempt import AttemptOutcome, Role
from nightspot.model.capacity import Bounds, Market, Pool
from nightspot.model.events import AttemptSeen, Event, LaunchRefused, LaunchRequested, RefusalReason, RunOpened
from nightspot.model.job import Job, PolicyChoice, Training, Work
from nightspot.model.refusals import outcome_of, patience_s
from nightspot.model.state import RunState, replay

POOLS = (Pool("spot", "x", Market.SPOT, 1.0), Pool("on-demand", "x", Market.ON_DEMAND, 3.0, bounds=Bounds(60.0)))
JOB = Job("job", Training(("true",)), Work(20.0, "epoch", 60.0), POOLS, PolicyChoice("greedy"))


def after(*refusals: tuple[str, RefusalReason]) -> RunState:
    events: list[Event] = [RunOpened(0.0, "run", "n", JOB, 0.0, 9000.0, 0.0, {})]
    for number, (pool_id, reason) in enumerate(refusals, start=1):
        events.append(LaunchRequested(number * 10.0, number, f"t{number}", pool_id, Role.TRAIN, 9000.0))
        events.append(LaunchRefused(number * 10.0 + 1, number, reason, "no"))
    return replay(events)


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (RefusalReason.NO_CAPACITY, AttemptOutcome.NO_CAPACITY),
        (RefusalReason.ABSENT, AttemptOutcome.LOST),
        (RefusalReason.QUOTA, AttemptOutcome.FAILED),
        (RefusalReason.INVALID, AttemptOutcome.FAILED),
    ],
)
def test_each_reason_has_its_outcome(reason: RefusalReason, outcome: AttemptOutcome) -> None:
    assert outcome_of(reason) is outcome
    assert after(("spot", reason)).attempt(1).outcome is outcome


def test_spot_that_refused_for_its_quota_is_not_asked_again_each_minute() -> None:
    spot = POOLS[0]
    assert patience_s(spot, (RefusalReason.NO_CAPACITY,), 60.0) == patience_s(spot, (), 60.0) == 60.0
    assert patience_s(spot, (RefusalReason.NO_CAPACITY, RefusalReason.QUOTA), 60.0) == 900.0
    assert patience_s(spot, (RefusalReason.QUOTA,), 3600.0) == 3600.0


@pytest.mark.parametrize("reason", list(RefusalReason))
def test_the_way_out_is_never_shut_for_longer_than_a_moment(reason: RefusalReason) -> None:
    assert patience_s(POOLS[1], (reason, reason), 60.0) == 60.0


def test_what_was_refused_uses_up_no_launch_and_what_may_have_been_launched_does() -> None:
    assert after(("spot", RefusalReason.QUOTA), ("spot", RefusalReason.INVALID)).launches == 0
    assert after(("spot", RefusalReason.ABSENT)).launches == 1


def test_there_is_no_hope_once_every_pool_refuses_the_request_itself() -> None:
    assert after(("spot", RefusalReason.INVALID)).hopeless == ""
    assert after(("spot", RefusalReason.INVALID), ("on-demand", RefusalReason.QUOTA)).hopeless == ""
    invalid = [("spot", RefusalReason.INVALID), ("on-demand", RefusalReason.INVALID)]
    assert after(*invalid).hopeless == ""  # a passing fault may look like one
    assert "as it is: no" in after(*invalid, ("on-demand", RefusalReason.INVALID)).hopeless
    assert after(*invalid, ("on-demand", RefusalReason.QUOTA), ("on-demand", RefusalReason.INVALID)).hopeless == ""


def test_a_pool_that_was_granted_since_refuses_no_more() -> None:
    state = after(("spot", RefusalReason.INVALID))
    granted: list[Event] = [LaunchRequested(90.0, 2, "t2", "spot", Role.TRAIN, 9000.0), AttemptSeen(91.0, 2, "h")]
    events: list[Event] = [RunOpened(0.0, "run", "n", JOB, 0.0, 9000.0, 0.0, {})]
    events += [
        LaunchRequested(10.0, 1, "t1", "spot", Role.TRAIN, 9000.0),
        LaunchRefused(11.0, 1, RefusalReason.INVALID, "no"),
    ]
    assert state.refusals == {"spot": (RefusalReason.INVALID,)}
    assert replay([*events, *granted]).refusals == {}
