"""What a backtest found: for each policy, over all nights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Optional, Sequence

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """One policy over all nights. Costs are USD for a night, means over the nights.

    `late`: nights without a model by the deadline. `captured`: the share of what could have been saved, (on-demand - policy) / (on-demand -
    omniscient), on means; None where nothing could. `p95_cost`: 95 % of the nights cost no more (linear between two nights).
    """

    nights: int
    late: int
    mean_cost: float
    mean_cost_on_demand: float
    mean_cost_omniscient: float
    captured: Optional[float]
    p95_cost: float


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """The nights of one window length, by policy, in the order in which they were asked for."""

    window_s: float
    policies: Mapping[str, PolicyFacts]


@dataclass(frozen=True, slots=True)
class BacktestFacts:
    """All of a backtest. `policies` are over the nights of all windows.

    `traces`: their names, in the order given. `fitted_on`: in words, what the policies know of capacity. The rest are the terms.
    """

    policies: Mapping[str, PolicyFacts]
    windows: Sequence[WindowFacts]
    traces: Sequence[str]
    fitted_on: str
    multi_pool: bool
    work_s: float
    overhead_s: float
    tick_s: float
    spot_price: float
    on_demand_price: float
    visibility: str = "free"
    second_request: bool = False
    handover_s: Optional[float] = None
    redo_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Costs:
    """Night by night, in one order: what a policy paid, what the best would have, what on-demand would. `late`: whether it was."""

    paid_usd: NDArray[np.float64]
    omniscient_usd: NDArray[np.float64]
    on_demand_usd: NDArray[np.float64]
    late: NDArray[np.bool_]


def facts_of(costs: Sequence[Costs]) -> PolicyFacts:
    """Over all nights of all of them; there is at least one night."""
    paid = np.concatenate([each.paid_usd for each in costs])
    mean = float(paid.mean())
    omniscient = float(np.concatenate([each.omniscient_usd for each in costs]).mean())
    on_demand = float(np.concatenate([each.on_demand_usd for each in costs]).mean())
    return PolicyFacts(
        nights=len(paid),
        late=int(sum([each.late.sum() for each in costs])),
        mean_cost=mean,
        mean_cost_on_demand=on_demand,
        mean_cost_omniscient=omniscient,
        captured=captured(mean, on_demand, omniscient),
        p95_cost=float(np.percentile(paid, 95)),
    )


def captured(paid: float, on_demand: float, omniscient: float) -> float | None:
    """The share of what could have been saved that was; None where nothing could."""
    possible = on_demand - omniscient
    return (on_demand - paid) / possible if possible > 1e-12 else None
