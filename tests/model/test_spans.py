"""When an Attempt held something."""

from __future__ import annotations

from nightspot.model.attempt import AttemptOutcome, Phase, Role
from nightspot.model.events import (
    AttemptEnded,
    Event,
    LaunchRefused,
    LaunchRequested,
    PhaseChanged,
    RefusalReason,
)
from nightspot.model.spans import Span, held_spans

ASKED = LaunchRequested(10.0, 1, "t", "a", Role.TRAIN, 9000.0)
QUEUED = PhaseChanged(12.0, 1, Phase.QUEUED)
GRANTED = [PhaseChanged(100.0, 1, Phase.BOOTING), PhaseChanged(130.0, 1, Phase.TRAINING)]


def ended(at_utc: float) -> AttemptEnded:
    return AttemptEnded(at_utc, 1, AttemptOutcome.RELEASED, 0.0, 0.0, 0.0)


def spans(*events: Event) -> tuple[Span, ...]:
    return held_spans(events)[1]


def test_without_a_queue_it_is_held_from_the_request_to_the_end() -> None:
    assert spans(ASKED, *GRANTED) == (Span(10.0),)
    assert spans(ASKED, *GRANTED, ended(500.0)) == (Span(10.0, 500.0),)


def test_in_a_queue_nothing_is_held() -> None:
    assert spans(ASKED, QUEUED) == ()
    assert spans(ASKED, QUEUED, PhaseChanged(50.0, 1, Phase.STOPPING), ended(60.0)) == ()
    assert spans(ASKED, QUEUED, *GRANTED, ended(500.0)) == (Span(100.0, 500.0),)


def test_what_is_put_back_into_the_queue_was_taken() -> None:
    again = [PhaseChanged(300.0, 1, Phase.QUEUED, 2), PhaseChanged(400.0, 1, Phase.BOOTING, 2)]
    assert spans(ASKED, QUEUED, *GRANTED, *again, ended(500.0)) == (
        Span(100.0, 300.0, taken=True),
        Span(400.0, 500.0, incarnation=2),
    )
    assert spans(ASKED, QUEUED, *GRANTED, again[0], ended(500.0)) == (Span(100.0, 300.0, taken=True),)


def test_a_refused_launch_held_nothing() -> None:
    assert spans(ASKED, LaunchRefused(11.0, 1, RefusalReason.NO_CAPACITY)) == ()
