"""Durations in words: what is written is what is meant, and nothing is guessed."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightspot.jobfile.durations import PATTERN, SPELLINGS, UNIT_S, about, format_duration, parse_duration

YEAR_MS = 366 * 86_400_000


@given(st.integers(0, YEAR_MS))
def test_what_is_shown_can_be_read_back_to_the_millisecond(ms: int) -> None:
    assert parse_duration(format_duration(ms / 1000)) == ms / 1000


@given(st.integers(1, YEAR_MS))
def test_a_negative_span_is_shown_as_the_positive_one_with_a_sign(ms: int) -> None:
    assert format_duration(-ms / 1000) == "-" + format_duration(ms / 1000)


@given(st.lists(st.sampled_from(sorted(SPELLINGS)), min_size=1, max_size=5, unique=True), st.data())
def test_parts_add_up_in_any_spelling_and_spacing_if_the_longest_comes_first(
    units: list[str], data: st.DataObject
) -> None:
    units.sort(key=lambda unit: -UNIT_S[unit])
    counts = [data.draw(st.integers(0, 20)) for _ in units]
    words = [data.draw(st.sampled_from(SPELLINGS[unit])) for unit in units]
    gaps = [data.draw(st.sampled_from(["", " ", "  "])) for _ in units]
    text = "".join([f"{gap}{count}{gap}{word}" for count, word, gap in zip(counts, words, gaps, strict=True)])
    total_s = sum([count * UNIT_S[unit] for count, unit in zip(counts, units, strict=True)])
    assert parse_duration(text) == float(total_s)
    assert parse_duration(text.upper()) == float(total_s)


@given(st.floats(0, 1e7))
def test_about_differs_by_half_a_minute_at_most(seconds: float) -> None:
    shown_s = parse_duration(about(seconds))
    assert abs(shown_s - seconds) <= (30 if seconds >= 3600 else 0.5)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12min", 720),
        ("90 s", 90),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1 day 2 hours", 93600),
        ("250ms", 0.25),
        ("0s", 0),
    ],
)
def test_the_spellings_of_the_manual_are_understood(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("90", "90 has no unit"),
        ("1h 30", "30 has no unit"),
        ("-5min", "cannot be negative"),
        ("5 parsecs", "'parsecs' is no unit"),
        ("30min 1h", "the longest first"),
        ("1h 2h", "each unit stands once"),
        ("1,5h", "no number with a unit"),
        ("\u0661h", "no number with a unit"),
        ("soon", "no number with a unit"),
        ("1e3s", "'e' is no unit"),
        ("367d", "more than a year"),
        ("9" * 101 + "s", "too long"),
    ],
)
def test_what_is_no_duration_is_refused_with_its_reason(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_duration(text)


@given(st.text(alphabet="0123456789. hmins-", max_size=12))
def test_any_text_is_a_span_within_a_year_or_a_clear_refusal(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        assert str(error)
    else:
        assert 0 <= seconds <= 366 * 86400
        assert re.search(PATTERN, text), "an editor would mark it, although it loads"


def test_what_is_not_finite_has_a_word() -> None:
    assert [format_duration(x) for x in (math.inf, -math.inf, math.nan)] == ["forever", "unknown", "unknown"]
    assert about(math.inf) == "forever"
