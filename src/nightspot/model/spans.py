"""When each Attempt held something: from its request, or its grant, to its end, or to the queue that it was put back into."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable, Mapping

from nightspot.model.attempt import Phase
from nightspot.model.events import AttemptEnded, Event, LaunchRefused, LaunchRequested, PhaseChanged


@dataclass(frozen=True, slots=True)
class Span:
    """`until_utc` is None while it is held. `taken`: it ended with the Attempt back in a queue, to be started again inside."""

    from_utc: float
    until_utc: float | None = None
    taken: bool = False
    incarnation: int = 1


def held_spans(events: Iterable[Event]) -> Mapping[int, tuple[Span, ...]]:
    """By Attempt, in order. Time in a queue is in none of them; a launch that was refused has none."""
    found: dict[int, tuple[Span, ...]] = {}
    for event in events:
        if isinstance(event, LaunchRequested):
            found[event.number] = (Span(event.at_utc),)
        elif isinstance(event, LaunchRefused):
            found[event.number] = ()
        elif isinstance(event, PhaseChanged):
            found[event.number] = _moved(found.get(event.number, ()), event)
        elif isinstance(event, AttemptEnded):
            found[event.number] = _closed(found.get(event.number, ()), event.at_utc, taken=False)
    return found


def _moved(spans: tuple[Span, ...], event: PhaseChanged) -> tuple[Span, ...]:
    if _open(spans) and event.incarnation > spans[-1].incarnation:  # its wait in between may not have been seen
        spans = _closed(spans, event.at_utc, taken=True)
    if event.phase is Phase.QUEUED:  # of the first, what was asked for was not there yet
        return spans[:-1] if _open(spans) else spans
    if _open(spans) or event.phase is Phase.STOPPING:
        return spans
    return (*spans, Span(event.at_utc, incarnation=event.incarnation))


def _open(spans: tuple[Span, ...]) -> bool:
    return bool(spans) and spans[-1].until_utc is None


def _closed(spans: tuple[Span, ...], at_utc: float, *, taken: bool) -> tuple[Span, ...]:
    return (*spans[:-1], replace(spans[-1], until_utc=at_utc, taken=taken)) if _open(spans) else spans
