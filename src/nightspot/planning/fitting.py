"""What the policies of a backtest know of capacity: rates of flips, fitted on Traces."""

from __future__ import annotations

from typing import Sequence

from nightspot.market.flips import NOTHING_WATCHED, Exposure, fitted, watched_trace
from nightspot.market.trace import Trace
from nightspot.model.capacity import Flips


def fit(traces: Sequence[Trace]) -> Flips:
    """One set of rates from all of them."""
    exposure = sum([watched_trace(trace) for trace in traces], NOTHING_WATCHED)
    return _flips(exposure, len(traces))


def fit_on_the_others(traces: Sequence[Trace]) -> list[Flips]:
    """For each Trace the rates from all the others. ValueError for fewer than two."""
    if len(traces) < 2:
        raise ValueError("with one trace there are no others to fit on")
    watched = [watched_trace(trace) for trace in traces]
    others = [sum([w for j, w in enumerate(watched) if j != i], NOTHING_WATCHED) for i in range(len(watched))]
    return [_flips(exposure, len(traces) - 1) for exposure in others]


def _flips(exposure: Exposure, traces: int) -> Flips:
    on = "1 trace" if traces == 1 else f"{traces} traces"
    return fitted(exposure, f"fitted on {on}: {exposure.flips:.0f} flips in {exposure.hours:.0f} h")
