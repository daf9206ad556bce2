"""What a night shows about the work itself: how long a unit took, and how much of it was done twice.

A Course is one uninterrupted stretch of training: one incarnation of one Attempt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable, Mapping, Sequence

from nightspot.model.attempt import AttemptOutcome, Phase
from nightspot.model.events import AttemptEnded, CheckpointSeen, Event, PhaseChanged
from nightspot.model.state import RunState


@dataclass(frozen=True, slots=True)
class Course:
    """From its first unit of work to its end, in units done so far. `saved_utc`: its last Checkpoint, None without one.

    `durable_units` is what was safe when it ended, whoever saved it.
    """

    number: int
    incarnation: int
    from_utc: float
    from_units: float
    saved_utc: float | None = None
    saved_units: float = 0.0
    end_utc: float | None = None
    end_units: float = 0.0
    durable_units: float = 0.0
    completed: bool = False


def courses(events: Iterable[Event]) -> tuple[Course, ...]:
    """All stretches of training, in the order in which they began."""
    found: list[Course] = []
    durable_units = 0.0
    for event in events:
        if isinstance(event, CheckpointSeen):
            durable_units = max(durable_units, event.units_done)
        if isinstance(event, (PhaseChanged, CheckpointSeen, AttemptEnded)):
            _follow(found, event, durable_units)
    return tuple(found)


def _follow(found: list[Course], event: PhaseChanged | CheckpointSeen | AttemptEnded, durable_units: float) -> None:
    place = next((n for n in reversed(range(len(found))) if found[n].number == event.number), None)
    last = found[place] if place is not None else None
    if isinstance(event, PhaseChanged):
        if place is not None and last is not None and event.incarnation > last.incarnation and last.end_utc is None:
            found[place] = _closed(last, event.at_utc, last.saved_units, durable_units)
        if event.phase is Phase.TRAINING and (last is None or event.incarnation > last.incarnation):
            found.append(_began(event))
    elif place is not None and last is not None and last.end_utc is None:
        found[place] = _moved(last, event, durable_units)


def _began(event: PhaseChanged) -> Course:
    return Course(event.number, event.incarnation, event.at_utc, event.units_done, end_units=event.units_done)


def _moved(course: Course, event: CheckpointSeen | AttemptEnded, durable_units: float) -> Course:
    if isinstance(event, CheckpointSeen):
        return replace(course, saved_utc=event.at_utc, saved_units=event.units_done, end_units=event.units_done)
    closed = _closed(course, event.at_utc, event.units_done, durable_units)
    return replace(closed, completed=event.outcome is AttemptOutcome.COMPLETED)


def _closed(course: Course, at_utc: float, units: float, durable_units: float) -> Course:
    end_units = max(units, course.from_units)
    return replace(course, end_utc=at_utc, end_units=end_units, durable_units=durable_units)


def unit_s(state: RunState, trained: Sequence[Course]) -> float:
    """Seconds for one unit at speed 1, as measured tonight; as the job file says where nothing was measured."""
    took_s, units = 0.0, 0.0
    for course in trained:
        speed = state.job.pool(state.attempt(course.number).pool_id).speed
        sample_s, sample_units = sample(course, state.job.work.units)
        if sample_units > 0:
            took_s, units = took_s + sample_s * speed, units + sample_units
    return took_s / units if units > 0 else state.job.work.unit_s


def sample(course: Course, all_units: float) -> tuple[float, float]:
    """Seconds and units where both are known at one moment: its end if completed, its last Checkpoint, or its end."""
    if course.completed and course.end_utc is not None:
        return course.end_utc - course.from_utc, all_units - course.from_units
    if course.saved_utc is not None and course.saved_units > course.from_units:
        return course.saved_utc - course.from_utc, course.saved_units - course.from_units
    if course.end_utc is not None:
        return course.end_utc - course.from_utc, course.end_units - course.from_units
    return 0.0, 0.0


def lost_work_s(state: RunState, trained: Sequence[Course], seconds_per_unit: float) -> Mapping[int, float]:
    """By Attempt: work that was done and then had to be done again, in seconds at speed 1.

    It counts to where the next training really began: a damaged Checkpoint costs more than the work since it. An unmodified script
    tells nothing between its files: all the time since the last of them is lost.
    """
    lost: dict[int, float] = {}
    for place, course in enumerate(trained):
        successor = trained[place + 1] if place + 1 < len(trained) else None
        if course.completed or course.end_utc is None:
            continue
        resumed = successor.from_units if successor is not None else course.durable_units
        lost_s = max(0.0, course.end_units - resumed) * seconds_per_unit
        if state.job.checkpoint.pattern is not None:
            lost_s = max(lost_s, _unseen_s(state, course))
        lost[course.number] = lost.get(course.number, 0.0) + lost_s
    return lost


def _unseen_s(state: RunState, course: Course) -> float:
    """Work seconds from a script's last file to its end."""
    speed = state.job.pool(state.attempt(course.number).pool_id).speed
    since_utc = course.saved_utc if course.saved_utc is not None else course.from_utc
    return max(0.0, (course.end_utc or since_utc) - since_utc) * speed
