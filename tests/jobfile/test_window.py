"""Local times become two instants, once, in every zone and on every day, however the clocks are put."""

from __future__ import annotations

from datetime import datetime, time, timedelta, timezone
from typing import Optional
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nightspot.errors import JobFileError
from nightspot.jobfile.window import Wanted, Window, resolve
from tests.jobfile.files import utc

BERLIN = "Europe/Berlin"
EIGHT, TWENTY = time(8), time(20)
DAY_S, MINUTE_S = 86400, 60
ZONES = st.sampled_from(sorted(available_timezones() - {"localtime"}))
CLOCKS = st.times().map(lambda t: t.replace(second=0, microsecond=0))
# Whole minutes of 2000 to 2037: in these years every zone counts in whole minutes.
MINUTES = st.integers(int(utc(2000, 1, 1)) // 60, int(utc(2037, 1, 1)) // 60).map(lambda minute: minute * 60.0)


def window(start: Optional[Wanted], at: Wanted, zone: str, now_utc: float, *, past: bool = False) -> Window:
    return resolve(start, at, zone, now_utc, "night.toml", past=past)


def occurrences(clock: time, zone: str, from_utc: float, to_utc: float) -> list[float]:
    """Looked up minute by minute: when a clock on the wall shows that time first, or is put forward over it."""
    found, step = [], timedelta(minutes=1)
    before = datetime.fromtimestamp(from_utc - MINUTE_S, ZoneInfo(zone)).replace(tzinfo=None)
    for minute in range(int(from_utc), int(to_utc), MINUTE_S):
        aware = datetime.fromtimestamp(minute, ZoneInfo(zone))
        now = aware.replace(tzinfo=None)
        days = {before.date() + timedelta(days=n) for n in range(3)}
        skipped = any(before + step <= datetime.combine(day, clock) < now for day in days)
        if skipped or (now.time() == clock and not aware.fold):
            found.append(float(minute))
        before = now
    return found


@settings(deadline=None, max_examples=60)
@given(ZONES, CLOCKS, CLOCKS, MINUTES)
@example(BERLIN, time(20), time(2, 30), utc(2026, 3, 28, 22))
@example(BERLIN, time(2, 30), time(8), utc(2026, 10, 24, 22))
@example("Pacific/Apia", time(8), time(9), utc(2011, 12, 30, 6))
@example("Australia/Lord_Howe", time(2, 15), time(2, 10), utc(2026, 10, 3, 12))
@example("America/Scoresbysund", time(0, 30), time(0, 30), utc(2024, 3, 30, 12))
def test_the_deadline_is_the_next_such_time_and_the_start_the_last_one_before_it(
    zone: str, start: time, at: time, now_utc: float
) -> None:
    found = window(start, at, zone, now_utc)
    assert found.deadline_utc == occurrences(at, zone, now_utc + MINUTE_S, now_utc + 3 * DAY_S)[0]
    assert found.start_utc == occurrences(start, zone, found.deadline_utc - 3 * DAY_S, found.deadline_utc)[-1]
    assert found.night == datetime.fromtimestamp(found.deadline_utc, ZoneInfo(zone)).date().isoformat()


@given(ZONES, CLOCKS, CLOCKS, MINUTES, st.floats(0, 60))
def test_a_window_opens_before_its_deadline_and_planning_again_within_it_finds_the_same(
    zone: str, start: time, at: time, now_utc: float, share_s: float
) -> None:
    found = window(start, at, zone, now_utc + share_s)
    assert found.start_utc < found.deadline_utc > now_utc + share_s
    just_before_utc = found.deadline_utc - 1e-3
    assert window(start, at, zone, max(just_before_utc, now_utc + share_s)) == found


def test_at_the_deadline_itself_the_next_night_is_meant() -> None:
    deadline_utc = utc(2026, 11, 25, 7)
    assert window(TWENTY, EIGHT, BERLIN, deadline_utc - 1).deadline_utc == deadline_utc
    assert window(TWENTY, EIGHT, BERLIN, deadline_utc).deadline_utc == deadline_utc + DAY_S


@pytest.mark.parametrize(
    ("night", "at", "expected_utc"),
    [
        ("put forward over it: the first instant that is", time(2, 30), utc(2026, 3, 29, 1)),
        ("put forward to it", time(3), utc(2026, 3, 29, 1)),
        ("just before", time(1, 59), utc(2026, 3, 29, 0, 59)),
    ],
)
def test_a_time_that_does_not_exist_is_the_first_instant_that_does(night: str, at: time, expected_utc: float) -> None:
    assert window(None, at, BERLIN, utc(2026, 3, 28, 22)).deadline_utc == expected_utc, night


def test_a_time_that_comes_twice_is_the_earlier_one() -> None:
    assert window(None, time(2, 30), BERLIN, utc(2026, 10, 24, 22)).deadline_utc == utc(2026, 10, 25, 0, 30)
    between_utc = utc(2026, 10, 25, 1)
    assert window(None, time(2, 30), BERLIN, between_utc).deadline_utc == utc(2026, 10, 26, 1, 30)


def test_the_night_the_clocks_are_put_back_is_an_hour_longer() -> None:
    long = window(TWENTY, EIGHT, BERLIN, utc(2026, 10, 24, 20))
    short = window(TWENTY, EIGHT, BERLIN, utc(2026, 3, 28, 20))
    assert (long.deadline_utc - long.start_utc, short.deadline_utc - short.start_utc) == (13 * 3600, 11 * 3600)


def test_without_a_start_the_window_opens_at_once() -> None:
    assert window(None, EIGHT, BERLIN, utc(2026, 11, 24, 18)).start_utc == utc(2026, 11, 24, 18)


def test_the_same_time_twice_is_a_window_of_a_day() -> None:
    found = window(EIGHT, EIGHT, "UTC", utc(2026, 11, 24, 18))
    assert (found.start_utc, found.deadline_utc) == (utc(2026, 11, 24, 8), utc(2026, 11, 25, 8))


def test_a_date_with_an_offset_is_that_instant_and_one_without_is_local() -> None:
    now_utc = utc(2026, 11, 1)
    offset = datetime(2026, 11, 25, 8, tzinfo=timezone(timedelta(hours=5)))
    assert window(None, offset, BERLIN, now_utc).deadline_utc == utc(2026, 11, 25, 3)
    assert window(None, datetime(2026, 11, 25, 8), BERLIN, now_utc).deadline_utc == utc(2026, 11, 25, 7)  # noqa: DTZ001
    assert window(datetime(2026, 11, 24, 8), EIGHT, BERLIN, utc(2026, 11, 25)).start_utc == utc(2026, 11, 24, 7)  # noqa: DTZ001


def test_the_night_is_called_by_the_local_date_of_its_deadline() -> None:
    assert window(None, time(7), "Pacific/Auckland", utc(2026, 11, 24, 12)).night == "2026-11-25"


@pytest.mark.parametrize("now_utc", [utc(2026, 11, 25, 8), utc(2026, 11, 25, 9)])
def test_a_deadline_that_has_gone_by_is_an_error_unless_its_whole_window_is_compressed(now_utc: float) -> None:
    at = datetime(2026, 11, 25, 8, tzinfo=timezone.utc)
    for start, past in ((None, False), (TWENTY, False), (None, True)):
        with pytest.raises(JobFileError, match=r"deadline\.at = .* ago\. Write a later one"):
            window(start, at, "UTC", now_utc, past=past)
    assert window(TWENTY, at, "UTC", now_utc, past=True).start_utc == utc(2026, 11, 24, 20)


def test_a_window_that_opens_at_its_deadline_or_later_is_an_error() -> None:
    at = datetime(2026, 11, 25, 8, tzinfo=timezone.utc)
    for start in (at, at + timedelta(hours=1)):
        with pytest.raises(JobFileError, match=r"deadline\.start .* does not open before its deadline"):
            window(start, at, "UTC", utc(2026, 11, 24))
