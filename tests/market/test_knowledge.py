"""What is known of Pools: added up, kept in a file, turned into tonight's rates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nightspot.errors import JobFileError
from nightspot.market.day import NO_DAY, Day, day_of
from nightspot.market.flips import Exposure, fitted, prior, watched
from nightspot.market.knowledge import NOTHING_KNOWN, Known, flips_of, from_text, pool_key, to_text
from nightspot.model.capacity import Market, Pool

HOUR_S = 3600.0
SHORT = Known(watched([(0.0, 0.1, True, True), (0.0, 0.1, False, True)] * 400), day_of([(0.0, 7200.0, True)]), ("a",))
LONG = Known(
    watched([(0.0, hours, up, True) for hours in (0.1, 0.4, 1.0, 1.5) for up in (True, False)] * 100), NO_DAY, ("b",)
)


def test_what_is_kept_is_what_is_read_again() -> None:
    known = {"one": SHORT, "other": LONG}
    again = from_text(to_text(known), "market.json")
    assert list(again) == ["one", "other"]
    for key, value in known.items():
        assert again[key].exposure.up_h == pytest.approx(value.exposure.up_h, abs=1e-5)
        assert again[key].day.watched_h == value.day.watched_h
        assert again[key].sources == value.sources


def test_of_a_market_of_which_nothing_is_known_the_usual_rates_are_taken_and_said() -> None:
    assert flips_of("one", {}) == prior()
    assert "nothing was watched" in flips_of("one", {}).source


def test_a_pool_of_its_own_has_its_own_rates_and_the_source_says_so() -> None:
    flips = flips_of("one", {"one": SHORT, "other": LONG})
    assert flips.loss_per_hour[0] == pytest.approx(fitted(SHORT.exposure, "").loss_per_hour[0], rel=0.1)
    assert "of this pool, 800 flips (a)" in flips.source
    assert "of other pools, 800 flips" in flips.source


def test_an_unknown_pool_gets_what_all_others_have_in_common() -> None:
    flips = flips_of("new", {"one": SHORT, "other": LONG})
    assert flips.loss_per_hour == pytest.approx(fitted(SHORT.exposure + LONG.exposure, "").loss_per_hour)


def test_a_little_of_ones_own_hardly_moves_what_others_taught_and_much_of_it_does() -> None:
    little = Known(watched([(0.0, 0.1, True, True)]), NO_DAY, ("night",))
    others = fitted(LONG.exposure, "").loss_per_hour[0]
    few, many = (flips_of("one", {"one": known, "other": LONG}).loss_per_hour[0] for known in (little, SHORT))
    assert others <= few < 1.5 * others < 2.0 * others < many


def test_knowledge_adds_up_and_names_each_source_once() -> None:
    both = SHORT + LONG + Known(sources=("a",))
    assert both.exposure == SHORT.exposure + LONG.exposure
    assert both.sources == ("a", "b")
    assert NOTHING_KNOWN + SHORT == SHORT


def test_a_pool_is_known_by_what_it_is_and_not_by_what_a_job_calls_it() -> None:
    one = Pool("mine", "sagemaker", Market.SPOT, 10.0, instance_type="ml.p4d.24xlarge", place="us-east-1")
    assert pool_key(one) == "sagemaker:us-east-1:ml.p4d.24xlarge"
    assert pool_key(Pool("mine", "local", Market.SPOT, 1.0)) == "local:mine"


def test_a_day_is_counted_by_the_hour_across_midnight() -> None:
    day = day_of([(23.5 * HOUR_S, 24.25 * HOUR_S, True), (24.25 * HOUR_S, 25.0 * HOUR_S, False)])
    assert (day.up_h[23], day.watched_h[23]) == (0.5, 0.5)
    assert (day.up_h[0], day.watched_h[0]) == (0.25, 1.0)
    assert day.available[0] == 0.25
    assert day.available[12] is None
    assert sum((day + day).watched_h) == pytest.approx(3.0)


def damaged(**changes: Any) -> str:
    document = json.loads(to_text({"one": SHORT}))
    document["pools"]["one"].update(changes)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{", ""),
        ("[]", "format"),
        ('{"format": "else"}', "format"),
        ('{"format": "nightspot-market", "version": 2, "pools": {}}', "version"),
        ('{"format": "nightspot-market", "version": 1}', "pools"),
        ('{"format": "nightspot-market", "version": 1, "pools": {"one": 3}}', "pools.one"),
        (damaged(up_h=[1.0]), "pools.one.up_h"),
        (damaged(down_flips=[-1.0] * 8), "pools.one.down_flips"),
        (damaged(day_h="all"), "pools.one.day_h"),
        (damaged(sources="all"), "pools.one.sources"),
    ],
)
def test_a_damaged_file_is_refused_by_field(text: str, field: str) -> None:
    with pytest.raises(JobFileError, match=r"^market\.json: ") as caught:
        from_text(text, "market.json")
    assert caught.value.field == field


def test_an_empty_exposure_and_day_are_of_the_right_sizes() -> None:
    assert (len(Exposure().up_h), len(Day().up_h)) == (8, 24)
