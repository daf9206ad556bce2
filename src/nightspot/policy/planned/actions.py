"""With one Spot Pool that is seen: the best choice for every tick, age and unit of work, worked out once, and how long it stays so.

Costs are straight lines between two units of work, so what is best at both ends of such a stretch, for the same reason, is best within it.
Where that is not certain, or nearly a tie, the stretch is `UNSURE`, and whoever asks works out the costs there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np
from numpy.typing import NDArray

from nightspot.market.flips import BUCKETS
from nightspot.policy.planned.grid import SLIGHT
from nightspot.policy.planned.solve import Plan

Bools = NDArray[np.bool_]
Costs = NDArray[np.float32]
UNSURE, TAKE_ON_DEMAND, TAKE_SPOT, TAKE_NOTHING = -1, 0, 1, 2
# What is closer to a tie than this share of `equal` is unsure: more than single precision is off by.
NEARLY = 0.1
# The same of a limit of the guard, in units of work.
CLOSE = 1e-9
# Runs are counted in 16 bits.
TICKS_MOST = 2**15 - 1


@dataclass(frozen=True, slots=True)
class Actions:
    """`best[t, age, i]`: the choice from `i` to `i + 1` units of work; `run`: the ticks from there on for which it is that in `best`.

    Along a run work falls by one unit a tick where something trains, and stays where nothing is held; age stays in its bucket. `sure`:
    the same whenever age comes to older buckets; at most `run`.
    """

    best: NDArray[np.int8]
    run: NDArray[np.int16]
    sure: NDArray[np.int16]


def actions_of(plan: Plan, holds: int, *, up: bool) -> Actions:
    """Of holding that (`TAKE_...`, its start-up over), while Spot is up or down; of a plan of `TICKS_MOST` at most."""
    best = _best(plan, holds, up=up)
    run = _run(best, 0 if holds == TAKE_NOTHING else 1)
    return Actions(best, run, _sure(best, run))


def _best(plan: Plan, holds: int, *, up: bool) -> NDArray[np.int8]:
    states = slice(BUCKETS, None) if up else slice(0, BUCKETS)
    on_demand = plan.on_demand[:, -1 if holds == TAKE_ON_DEMAND else 0, states]
    level = plan.problem.spot.levels if holds == TAKE_SPOT else 0
    spot = plan.spot[:, level] if up else None
    lets = _within(plan, None), _within(plan, level)
    best = _chosen(plan, on_demand, spot, plan.wait[:, states], lets)
    best[..., 0] = UNSURE  # where the work ends
    return best


def _within(plan: Plan, level: Optional[int]) -> tuple[Bools, Bools]:
    """(ticks, 1, work): where the guard surely has it, and where it surely has not; of Spot at that level, or of nothing."""
    problem = plan.problem
    beyond = problem.spare - problem.reaction - problem.out
    limits = (np.arange(problem.ticks + 1, dtype=np.float64) + beyond) * problem.on_demand.speed
    if level is not None:
        limits = np.maximum(problem.spot.done()[level], limits + problem.sure()[level])
    over = np.arange(problem.work + 1, dtype=np.float64) - (limits[:, None, None] + SLIGHT)
    return over <= -CLOSE, over > CLOSE


def _chosen(
    plan: Plan, on_demand: Costs, spot: Optional[Costs], wait: Costs, lets: tuple[tuple[Bools, Bools], ...]
) -> NDArray[np.int8]:
    """The first of on-demand, Spot and nothing that costs the least, or as good as that; each reason holds at both ends of a stretch."""
    (waits, never_waits), (spots, never_spots) = lets
    less, beats = plan.equal * (1.0 - NEARLY), plan.equal * (1.0 + NEARLY)
    over_wait = on_demand - wait
    stays = _both(never_waits) | _both(over_wait <= less)
    leaves = _both(waits & (over_wait > beats))
    best = np.full((*on_demand.shape[:-1], on_demand.shape[-1] - 1), UNSURE, np.int8)
    if spot is None:
        best[stays] = TAKE_ON_DEMAND
        best[leaves] = TAKE_NOTHING
        return best
    over_spot, spot_over_wait = on_demand - spot, spot - wait
    stays &= _both(never_spots) | _both(over_spot <= less)
    leaves |= _both(spots & (over_spot > beats))
    best[stays] = TAKE_ON_DEMAND
    best[leaves & _both(spots) & (_both(never_waits) | _both(spot_over_wait <= less))] = TAKE_SPOT
    best[leaves & _both(waits) & (_both(never_spots) | _both(spot_over_wait > beats))] = TAKE_NOTHING
    return best


def _both(ends: Bools) -> Bools:
    found: Bools = ends[..., :-1] & ends[..., 1:]
    return found


def _run(best: NDArray[np.int8], done: int) -> NDArray[np.int16]:
    """For how many ticks, the present one of them, it stays the same; `done` units of work a tick."""
    run = np.ones(best.shape, np.int16)
    to, of = slice(done, None), slice(0, best.shape[-1] - done)
    for tick in range(2, len(best)):
        same = best[tick, :, to] == best[tick - 1, :, of]
        run[tick, :, to] += same * run[tick - 1, :, of]
    return run


def _sure(best: NDArray[np.int8], run: NDArray[np.int16]) -> NDArray[np.int16]:
    """The least of its run and of those of all older buckets; 0 where one of them has another choice."""
    sure: NDArray[np.int16] = run.copy()
    for age in range(BUCKETS - 2, -1, -1):
        same = best[:, age] == best[:, age + 1]
        np.minimum(sure[:, age], same * sure[:, age + 1], out=sure[:, age])
    return sure
