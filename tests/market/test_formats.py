"""Capacity and prices, as others write them down."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightspot.errors import JobFileError
from nightspot.market.formats import read_prices, read_traces
from nightspot.market.prices import PriceHistory
from nightspot.market.trace import Trace

TEN_UTC = 1_696_154_400.0  # 2023-10-01 10:00


def entry(at: str, usd: str, zone: str = "us-east-1a", kind: str = "p4d.24xlarge") -> dict[str, str]:
    return {
        "AvailabilityZone": zone,
        "InstanceType": kind,
        "ProductDescription": "Linux/UNIX",
        "SpotPrice": usd,
        "Timestamp": at,
    }


def history(*entries: dict[str, Any]) -> str:
    return json.dumps({"NextToken": "", "SpotPriceHistory": entries})


def only(text: str, **how: Any) -> Trace:
    (trace,) = read_traces(text, "file", **how).values()
    return trace


def test_the_public_format_is_read_as_ever() -> None:
    trace = only('{"metadata": {"gap_seconds": 60}, "data": [0, 1, 1]}')
    assert [trace.up(at) for at in (0, 60, 119, 179, 180)] == [False, True, True, True, False]


@given(st.lists(st.integers(0, 9), min_size=1), st.integers(1, 9))
def test_counts_are_capacity_where_there_are_as_many_as_are_needed(counts: list[int], need: int) -> None:
    text = json.dumps({"metadata": {"gap_seconds": 60}, "data": counts})
    assert only(text, need=need) == Trace.from_ticks([count >= need for count in counts], 60.0)


def test_counts_without_a_need_are_refused_and_say_where() -> None:
    with pytest.raises(JobFileError, match=r"data\[1\] = 3"):
        only('{"metadata": {"gap_seconds": 60}, "data": [0, 3]}')


def test_a_table_of_times_is_read_and_its_last_state_lasts_as_long_as_the_step_before() -> None:
    trace = only("timestamp,available\n2023-10-01T10:00:00Z,1\n2023-10-01T10:20:00Z,0\n2023-10-01T10:30:00Z,1\n")
    assert (trace.start_utc, trace.period_s) == (TEN_UTC, 40 * 60.0)
    assert [trace.up(TEN_UTC + minutes * 60) for minutes in (0, 19, 20, 29, 30, 39)] == [1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize("when", ["2023-10-01 10:00:00", "2023-10-01T12:00:00+02:00", "1696154400"])
def test_times_may_be_iso_with_or_without_a_zone_or_seconds(when: str) -> None:
    assert only(f"count,at\n2,{when}\n0,1696158000\n", need=2).start_utc == TEN_UTC


def test_words_are_states_too() -> None:
    trace = only("time,state\n0,up\n60,DOWN\n")
    assert (trace.up(0), trace.up(60)) == (True, False)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "it is empty"),
        ("when,available\n0,1\n1,0\n", "timestamp is missing"),
        ("timestamp,zone\n0,a\n", "available is missing"),
        ("timestamp,available\n0,1\n", "two lines"),
        ("timestamp,available\n0,1\nsoon,0\n", "line 3 = 'soon'"),
        ("timestamp,available\n0,1\n60,maybe\n", "line 3 = 'maybe'"),
        ("timestamp,available\n0,1\n60,nan\n", "line 3 = 'nan'"),
        ("timestamp,available\n0,1\n60,4\n", "line 3 = '4'"),
        ("timestamp,available\n0,1\n60\n", "line 3 = '60'"),
        ("timestamp,available\n60,1\n0,0\n", "line 3 = '0': times must increase"),
    ],
)
def test_a_table_that_is_none_is_refused_by_file_and_line(text: str, wrong: str) -> None:
    with pytest.raises(JobFileError, match=r"^file: ") as caught:
        only(text)
    assert wrong in str(caught.value)


def test_prices_are_read_as_aws_returns_them_newest_first_and_by_pool() -> None:
    text = history(
        entry("2023-10-01T11:00:00+00:00", "12.5"),
        entry("2023-10-01T10:30:00+00:00", "7", zone="us-east-1b"),
        entry("2023-10-01T10:00:00+00:00", "10.0"),
    )
    prices = read_prices(text, "prices.json")
    assert list(prices) == ["us-east-1a p4d.24xlarge", "us-east-1b p4d.24xlarge"]
    one = prices["us-east-1a p4d.24xlarge"]
    assert [one.usd_per_hour(TEN_UTC + h * 3600) for h in (-1, 0, 0.99, 1, 9)] == [10.0, 10.0, 10.0, 12.5, 12.5]
    assert one.mean_usd_per_hour == pytest.approx(10.0, rel=1e-3)


def test_prices_become_capacity_only_by_a_cap_and_without_one_it_says_so() -> None:
    text = history(entry("2023-10-01T10:00:00Z", "10"), entry("2023-10-01T11:00:00Z", "33"))
    with pytest.raises(JobFileError, match="--price-cap"):
        only(text)
    trace = only(text, price_cap_usd_per_hour=32.0)
    assert (trace.up(TEN_UTC), trace.up(TEN_UTC + 3600)) == (True, False)


@pytest.mark.parametrize(
    ("entries", "field"),
    [
        ([], "SpotPriceHistory"),
        ([3], "SpotPriceHistory[0]"),
        ([{**entry("2023-10-01T10:00:00Z", "1"), "InstanceType": None}], "SpotPriceHistory[0].InstanceType"),
        ([entry("2023-10-01T10:00:00Z", "0")], "SpotPriceHistory[0].SpotPrice"),
        ([entry("2023-10-01T10:00:00Z", "1"), entry("yesterday", "1")], "SpotPriceHistory[1].Timestamp"),
    ],
)
def test_a_price_that_is_none_is_refused_by_field(entries: list[Any], field: str) -> None:
    with pytest.raises(JobFileError) as caught:
        read_traces(json.dumps({"SpotPriceHistory": entries}), "prices.json", price_cap_usd_per_hour=1.0)
    assert caught.value.field == field


@pytest.mark.parametrize("text", ["{", "{} x", '{"data": [1]}'])
def test_what_is_no_price_history_is_refused(text: str) -> None:
    with pytest.raises(JobFileError, match=r"^prices\.json"):
        read_prices(text, "prices.json")


def test_a_price_history_needs_a_price() -> None:
    with pytest.raises(ValueError, match="at least one price"):
        PriceHistory.of([], 0.0)


@given(st.lists(st.tuples(st.integers(0, 500), st.booleans()), min_size=1, unique_by=lambda c: c[0]))
def test_changes_say_what_was_written_down(changes: list[tuple[int, bool]]) -> None:
    changes = sorted(changes)
    trace = Trace.from_changes([(float(at), up) for at, up in changes], 501.0)
    for index, (at, up) in enumerate(changes):
        assert trace.up(at) is up
        until = changes[index + 1][0] if index + 1 < len(changes) else 501
        assert trace.up(until - 0.5) is up


def test_changes_must_increase() -> None:
    with pytest.raises(ValueError, match="later than the one before"):
        Trace.from_changes([(1.0, True), (1.0, False)], 2.0)
