"""Nights a second through the very `step` that runs tonight, beside a naive simulator that steps every tick and is the oracle.

    python benchmarks/nights.py [--nights 1000] [--seed 1]

Window 8 h, work 4 h, start-up 3 min, ticks of 195 s, policy greedy, Journal in memory, one core. Cost must be equal on every night.
Exits with 1 where it is not. Speeds are for reading; nothing asserts them.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import Sequence

import naive
from nightspot.backends.simulated import Overheads, SimulatedBackend, SimulatedBackends, SimulatedClock
from nightspot.market.trace import Trace
from nightspot.model.capacity import Bounds, Market, Pool
from nightspot.model.events import RunOpened
from nightspot.model.job import Checkpointing, Job, Limits, PolicyChoice, Training, Work
from nightspot.night.journal import MemoryJournal
from nightspot.night.night import Night, Settings
from nightspot.night.step import play
from nightspot.policy.baselines import Greedy
from nightspot.policy.guard import Guarded

TICK_S, WINDOW_S, OVERHEAD_S = 195, 148 * 195, 180
WORK_S = 4 * 3600
SPOT, ON_DEMAND = 0.3, 1.0
POOLS = (
    Pool("spot", "simulated", Market.SPOT, SPOT),
    Pool("on-demand", "simulated", Market.ON_DEMAND, ON_DEMAND),
)
JOB = Job(
    name="benchmark",
    training=Training(("true",)),
    work=Work(WORK_S / 60, "minute", 60.0),
    pools=POOLS,
    policy=PolicyChoice("greedy"),
    checkpoint=Checkpointing(interval_s=0.0),
    limits=Limits(attempts=10_000),
)
OVERHEADS = {p.id: Overheads(OVERHEAD_S) for p in POOLS}
BOUNDS = {p.id: Bounds(OVERHEAD_S) for p in POOLS}


def ticks(seed: int) -> list[int]:
    """Capacity by tick, with the hazard by age of market.generator's prior: rate 0.9 / (age_h + 0.4) an hour."""
    rng = random.Random(seed)
    up, age_h, data = rng.random() < 0.6, 0.0, []
    for _ in range(WINDOW_S // TICK_S):
        data.append(int(up))
        if rng.random() < 0.9 / (age_h + 0.4) * TICK_S / 3600:
            up, age_h = not up, 0.0
        else:
            age_h += TICK_S / 3600
    return data


def through_step(data: Sequence[int]) -> tuple[float, bool]:
    """(cost in USD, late) of one night through the real loop."""
    backend = SimulatedBackend({"spot": Trace.from_ticks(data, TICK_S, repeats=False)}, OVERHEADS, TICK_S)
    clock = SimulatedClock(backend, 0.0, TICK_S)
    opened = RunOpened(0.0, "night", "n", JOB, 0.0, float(WINDOW_S), 0.0, BOUNDS)
    settings = Settings(reaction_s=float(TICK_S), sweep_s=3600.0, retry_s=0.0)
    night = Night.begin(MemoryJournal(lambda: 0.0), opened, settings)
    play(night, SimulatedBackends(backend), Guarded(Greedy()), clock)
    return night.state.spent_usd, night.state.late


def through_ticks(data: Sequence[int]) -> tuple[float, bool]:
    """(cost in USD, late) of the same night by the naive simulator."""
    bill = naive.greedy(naive.Night(data, TICK_S, WORK_S, WINDOW_S, OVERHEAD_S, SPOT, ON_DEMAND))
    return bill.cost_usd, bill.late


def main() -> int:
    """Play the nights both ways; print speeds and the number of nights that differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    nights = [ticks(options.seed * 1_000_003 + n) for n in range(options.nights)]
    begun = time.perf_counter()
    ours = [through_step(data) for data in nights]
    between = time.perf_counter()
    oracle = [through_ticks(data) for data in nights]
    ended = time.perf_counter()
    differ = [n for n, (a, b) in enumerate(zip(ours, oracle, strict=True)) if abs(a[0] - b[0]) > 1e-9 or a[1] != b[1]]
    mine, theirs = options.nights / (between - begun), options.nights / (ended - between)
    print(f"nights={options.nights} seed={options.seed} differ={len(differ)} late={sum(o[1] for o in ours)}")
    print(f"step: {mine:.0f} nights/s   naive ticks, greedy only: {theirs:.0f} nights/s   ratio {mine / theirs:.2f}")
    for n in differ[:5]:
        print(f"  night {n} (seed {options.seed * 1_000_003 + n}): step {ours[n]}, ticks {oracle[n]}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
