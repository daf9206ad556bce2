"""The window of a night: local times become two instants, once. A gap becomes the first valid instant, a fold the earlier one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Optional, Union
from zoneinfo import ZoneInfo

from nightspot.errors import JobFileError
from nightspot.jobfile.durations import about

Wanted = Union[time, datetime]


@dataclass(frozen=True, slots=True)
class Window:
    """When a night may begin, and when it must be done. `night` is the local date of the deadline."""

    start_utc: float
    deadline_utc: float
    night: str


def resolve(
    start: Optional[Wanted], at: Wanted, zone_name: str, now_utc: float, file: str, *, past: bool = False
) -> Window:
    """The next deadline after now, and the last start before it; without a start, now. JobFileError if there is no such window.

    Times of day are local to the zone, and so are dates without an offset. `past` allows a deadline that has gone by, if there
    is a start.
    """
    zone = ZoneInfo(zone_name)
    deadline_utc = _deadline_utc(at, zone, now_utc)
    if deadline_utc <= now_utc and (start is None or not past):
        expected = f"this was {about(now_utc - deadline_utc)} ago"
        remedy = 'Write a later one, or a time of day: at = "08:00".'
        raise JobFileError(file, "deadline.at", str(at), expected, remedy)
    start_utc = _start_utc(start, zone, deadline_utc, now_utc)
    if start_utc >= deadline_utc:
        expected = "the window does not open before its deadline"
        raise JobFileError(file, "deadline.start", str(start), expected, "Let it open earlier.")
    night = datetime.fromtimestamp(deadline_utc, zone).date().isoformat()
    return Window(start_utc, deadline_utc, night)


def _deadline_utc(at: Wanted, zone: ZoneInfo, now_utc: float) -> float:
    if isinstance(at, datetime):
        return _instant_utc(at, zone)
    return min([utc for utc in _occurrences(at, zone, now_utc) if utc > now_utc])


def _start_utc(start: Optional[Wanted], zone: ZoneInfo, deadline_utc: float, now_utc: float) -> float:
    if start is None:
        return now_utc
    if isinstance(start, datetime):
        return _instant_utc(start, zone)
    return max([utc for utc in _occurrences(start, zone, deadline_utc) if utc < deadline_utc])


def _occurrences(clock: time, zone: ZoneInfo, around_utc: float) -> list[float]:
    """That time of day, on the days around an instant. Three each way: zones have skipped a whole day."""
    today = datetime.fromtimestamp(around_utc, zone).date()
    days: list[date] = [today + timedelta(days=n) for n in range(-3, 4)]
    return [_instant_utc(datetime.combine(day, clock), zone) for day in days]


def _instant_utc(moment: datetime, zone: ZoneInfo) -> float:
    if moment.tzinfo is not None:
        return moment.timestamp()
    early = moment.replace(tzinfo=zone, fold=0).timestamp()
    back = datetime.fromtimestamp(early, zone).replace(tzinfo=None)
    return early if back == moment else _gap_end_utc(moment, zone, early)


def _gap_end_utc(moment: datetime, zone: ZoneInfo, after_utc: float) -> float:
    """The instant at which the clocks were put forward over a local time that never was."""
    before_utc = moment.replace(tzinfo=zone, fold=1).timestamp()
    offset_after = _offset(after_utc, zone)
    low, high = int(before_utc), int(after_utc)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _offset(middle, zone) == offset_after else (middle, high)
    return float(high)


def _offset(utc: float, zone: ZoneInfo) -> Optional[timedelta]:
    return datetime.fromtimestamp(utc, timezone.utc).astimezone(zone).utcoffset()
