"""Made-up regions have the statistics of real ones: runs, tails, correlation, the day's cycle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nightspot.market.climate import Climate

TICK_S, DAYS, SEEDS = 180.0, 40, (1, 2, 3, 4, 5)
REGION = np.repeat([0, 1, 2], [4, 2, 3])


@pytest.fixture(scope="module")
def made() -> Any:
    """Months of it: the statistics of one are as noisy as those of a real one."""
    return [Climate(seed).ticks(DAYS, TICK_S) for seed in SEEDS]


def runs_h(ticks: Any, state: int) -> Any:
    """Lengths of whole runs of that state, in hours, over all rows."""
    found: list[float] = []
    for row in ticks:
        edges = np.flatnonzero(np.diff(row)) + 1
        lengths, states = np.diff(edges), row[edges[:-1]]
        found += list(lengths[states == state] * TICK_S / 3600)
    return np.array(found)


@pytest.mark.parametrize(("state", "mean_h", "median_h"), [(1, 3.2, 0.54), (0, 1.8, 0.49)])
def test_runs_have_the_mean_the_median_and_the_heavy_tail_of_real_ones(
    made: Any, state: int, mean_h: float, median_h: float
) -> None:
    runs = np.concatenate([runs_h(ticks, state) for ticks in made])
    assert len(runs) > 2000
    assert runs.mean() == pytest.approx(mean_h, rel=0.2)
    assert np.median(runs) == pytest.approx(median_h, abs=0.15)
    assert np.quantile(runs, 0.9) > 1.8 * runs.mean()
    assert 2.4 <= runs.std() / runs.mean() <= 4.2


def test_zones_of_a_region_go_together_and_regions_hardly(made: Any) -> None:
    same = REGION[:, None] == REGION[None, :]
    apart = ~np.eye(len(REGION), dtype=bool)
    correlations = [np.corrcoef(ticks) for ticks in made]
    within = np.mean([c[same & apart].mean() for c in correlations])
    across = np.mean([c[~same].mean() for c in correlations])
    assert 0.25 <= within <= 0.59
    assert 0.03 <= across <= 0.27


def test_some_hours_of_the_day_are_better_than_others(made: Any) -> None:
    hours = (np.arange(made[0].shape[1]) * TICK_S / 3600 % 24).astype(int)
    by_hour = [np.mean([ticks[:, hours == hour].mean() for ticks in made]) for hour in range(24)]
    assert max(by_hour) - min(by_hour) > 0.1
    assert 4 <= int(np.argmax(by_hour)) <= 14


def test_the_older_a_state_the_longer_it_lasts(made: Any) -> None:
    runs = np.concatenate([runs_h(ticks, 1) for ticks in made])
    young = (runs > 1).mean() / 1.0
    old = (runs > 5).mean() / (runs > 4).mean()
    assert old > young + 0.2


def test_the_same_seed_gives_the_same_weather_and_another_another() -> None:
    one, again, other = (Climate(seed, zones=(2,)).ticks(3, TICK_S) for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()


def test_traces_are_named_by_region_and_zone_and_say_what_the_ticks_say() -> None:
    climate = Climate(3, zones=(2, 1))
    traces, ticks = climate.traces(2, TICK_S, 1000.0), climate.ticks(2, TICK_S)
    assert list(traces) == ["region-1a", "region-1b", "region-2a"]
    for trace, row in zip(traces.values(), ticks, strict=True):
        assert trace.period_s == 2 * 86400.0
        assert [trace.up(1000.0 + tick * TICK_S) for tick in range(len(row))] == [bool(state) for state in row]


@pytest.mark.parametrize("wrong", [{"zones": ()}, {"zones": (0,)}, {"pace": 0.0}, {"lasts_h": -1.0}])
def test_a_climate_without_zones_pace_or_memory_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a climate needs"):
        Climate(1, **wrong)
