"""A Trace says what a list of ticks says, for ever, and fast."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightspot.errors import JobFileError
from nightspot.market.trace import ALWAYS, NEVER, Trace, parse_trace

TICKS = st.lists(st.integers(0, 1), min_size=1, max_size=12)
STARTS = st.floats(1.7e9, 1.8e9)


def naive_up(data: list[int], tick_s: float, at_s: float) -> bool:
    return bool(data[math.floor(at_s / tick_s) % len(data)])


@given(TICKS, st.integers(1, 900), st.integers(-10_000, 100_000), st.integers(0, 2_000_000_000))
def test_a_recorded_trace_says_what_its_ticks_say_and_repeats(
    data: list[int], tick_s: int, at_s: int, start: int
) -> None:
    trace = Trace.from_ticks(data, tick_s, start)
    assert trace.up(start + at_s) == naive_up(data, tick_s, at_s)


@given(TICKS, st.integers(1, 900), st.integers(0, 50_000))
def test_next_flip_and_since_are_what_looking_at_each_tick_finds(data: list[int], tick_s: int, at_s: int) -> None:
    trace = Trace.from_ticks(data, tick_s, 0.0)
    now = naive_up(data, tick_s, at_s)
    tick = at_s // tick_s
    later = [t for t in range(tick + 1, tick + 1 + len(data)) if naive_up(data, tick_s, t * tick_s) != now]
    assert trace.next_flip(at_s) == (later[0] * tick_s if later else math.inf)
    before = [t for t in range(tick, tick - len(data), -1) if naive_up(data, tick_s, (t - 1) * tick_s) != now]
    assert trace.since(at_s) == (before[0] * tick_s if before else 0.0)


@given(TICKS, st.floats(0.01, 900), STARTS, st.floats(0, 1e7), st.floats(0, 0.999))
def test_at_its_next_flip_the_state_is_the_other_one_however_odd_the_numbers(
    data: list[int], tick_s: float, start: float, at_s: float, fraction: float
) -> None:
    trace = Trace.from_ticks(data, tick_s).starting_at(start, fraction=fraction)
    now = start + at_s
    flip = trace.next_flip(now)
    if flip == math.inf:
        assert len(set(data)) == 1
        return
    assert flip > now
    assert trace.up(flip) != trace.up(now)
    assert trace.up(math.nextafter(flip, 0)) == trace.up(now)
    assert trace.since(flip) == flip
    assert trace.since(math.nextafter(flip, 0)) == trace.since(now) <= now


@given(st.lists(st.integers(1, 10_000), max_size=20, unique=True), st.booleans(), st.integers(0, 12_000))
def test_a_trace_of_flips_stays_as_it_ends(flips: list[int], first_up: bool, at: int) -> None:
    flips.sort()
    trace = Trace.from_flips(flips, first_up=first_up)
    assert trace.up(at) == (first_up ^ (sum(f <= at for f in flips) % 2 == 1))
    assert trace.next_flip(at) == min([f for f in flips if f > at], default=math.inf)
    assert trace.since(at) == max([f for f in flips if f <= at], default=0.0)


def test_flips_that_do_not_increase_are_refused() -> None:
    for flips in ([5.0, 5.0], [5.0, 4.0], [0.0, 1.0], [-1.0]):
        with pytest.raises(ValueError, match="increase"):
            Trace.from_flips(flips, first_up=True)


def test_shifting_moves_every_flip_by_the_same() -> None:
    trace = Trace.from_flips([100.0, 250.0], first_up=True, start_utc=50.0)
    assert trace.flips_utc == (100.0, 250.0)
    assert trace.shifted(1000.5).flips_utc == (1100.5, 1250.5)
    assert trace.starting_at(0.0, offset_s=60.0).flips_utc == (-10.0, 140.0)


def test_a_fraction_of_an_endless_trace_is_refused() -> None:
    with pytest.raises(ValueError, match="endless"):
        ALWAYS.starting_at(0.0, fraction=0.5)


def test_always_and_never_never_flip() -> None:
    assert ALWAYS.up(1e9) and not NEVER.up(1e9)
    assert ALWAYS.next_flip(1e9) == NEVER.next_flip(1e9) == math.inf


@pytest.mark.parametrize(
    ("data", "mean_up_s"),
    [([1, 1, 0, 1, 0, 0], 90.0), ([0, 1, 1, 1], 180.0), ([1, 0, 1], 120.0), ([1, 1], math.inf), ([0], None)],
)
def test_how_long_capacity_lasts_is_a_mean_over_its_runs_and_the_last_goes_on_in_the_first(
    data: list[int], mean_up_s: float | None
) -> None:
    assert Trace.from_ticks(data, 60.0).mean_up_s == mean_up_s


def test_what_was_not_recorded_says_nothing_of_how_long_capacity_lasts() -> None:
    assert ALWAYS.mean_up_s is None
    assert Trace.from_flips([10.0, 20.0], first_up=True).mean_up_s is None


def test_spans_cover_the_time_asked_for_without_gaps() -> None:
    trace = Trace.from_ticks([1, 0, 0], 10.0)
    assert list(trace.spans(5.0, 42.0)) == [
        (5.0, 10.0, True),
        (10.0, 30.0, False),
        (30.0, 40.0, True),
        (40.0, 42.0, False),
    ]


def test_the_recorded_format_is_read() -> None:
    trace = parse_trace(json.dumps({"metadata": {"gap_seconds": 195}, "data": [0, 1, 1]}), "zone.json", 1000.0)
    assert [trace.up(1000.0 + 195.0 * i) for i in range(5)] == [False, True, True, False, True]
    assert trace.period_s == 3 * 195.0


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", ""),
        ("{", ""),
        ("[" * 100_000, ""),
        ("[]", ""),
        ("{}", "metadata.gap_seconds"),
        ('{"metadata": 3}', "metadata.gap_seconds"),
        ('{"metadata": {"gap_seconds": 0}}', "metadata.gap_seconds"),
        ('{"metadata": {"gap_seconds": NaN}}', "metadata.gap_seconds"),
        ('{"metadata": {"gap_seconds": true}}', "metadata.gap_seconds"),
        ('{"metadata": {"gap_seconds": 60}}', "data"),
        ('{"metadata": {"gap_seconds": 60}, "data": []}', "data"),
        ('{"metadata": {"gap_seconds": 60}, "data": [0, 2]}', "data[1]"),
        ('{"metadata": {"gap_seconds": 60}, "data": [0, NaN]}', "data[1]"),
        ('{"metadata": {"gap_seconds": 60}, "data": [0, [1]]}', "data[1]"),
    ],
)
def test_what_is_no_trace_is_refused_by_file_and_field(text: str, field: str) -> None:
    with pytest.raises(JobFileError) as caught:
        parse_trace(text, "zone.json")
    assert (caught.value.file, caught.value.field) == ("zone.json", field)
    assert "gap_seconds" in caught.value.remedy
    assert len(str(caught.value)) < 400
