"""Nights a second through the very `step` that runs tonight, beside a naive simulator that steps every tick and is the oracle.

    python benchmarks/nights.py [--nights 1000] [--seed 1] [--policy greedy]

Window 8 h, work 4 h, start-up 3 min, ticks of 195 s, Journal in memory, one core. Cost must be equal on every night. The naive simulator
knows greedy by itself; any other policy it asks each tick. Exits with 1 where a night differs. Nothing asserts speeds.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import dataclass
from typing import Sequence

import naive
from nightspot.backends.simulated import Overheads, SimulatedBackend, SimulatedBackends, SimulatedClock
from nightspot.market.trace import Trace
from nightspot.model.attempt import Phase, Role
from nightspot.model.capacity import Abilities, Bounds, Market, Offer, Pool, Sight
from nightspot.model.decision import Holding, Observation, WorkLeft
from nightspot.model.events import RunOpened
from nightspot.model.job import Checkpointing, Job, Limits, PolicyChoice, Training, Work
from nightspot.night.journal import MemoryJournal
from nightspot.night.night import Night, Settings
from nightspot.night.step import play
from nightspot.policy.base import Policy
from nightspot.policy.guard import Guarded
from nightspot.policy.make import make_policy
from nightspot.policy.names import POLICY_OPTIONS

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


GREEDY = make_policy(PolicyChoice("greedy"))


def through_step(data: Sequence[int], policy: Policy = GREEDY) -> tuple[float, bool]:
    """(cost in USD, late) of one night through the real loop."""
    backend = SimulatedBackend({"spot": Trace.from_ticks(data, TICK_S, repeats=False)}, OVERHEADS, TICK_S)
    clock = SimulatedClock(backend, 0.0, TICK_S)
    opened = RunOpened(0.0, "night", "n", JOB, 0.0, float(WINDOW_S), 0.0, BOUNDS)
    settings = Settings(reaction_s=float(TICK_S), sweep_s=3600.0, retry_s=0.0)
    night = Night.begin(MemoryJournal(lambda: 0.0), opened, settings)
    play(night, SimulatedBackends(backend), Guarded(policy), clock)
    return night.state.spent_usd, night.state.late


def through_ticks(data: Sequence[int], policy: Policy = GREEDY) -> tuple[float, bool]:
    """(cost in USD, late) of the same night by the naive simulator, which asks the policy itself each tick, and not through the loop."""
    night = naive.Night(data, TICK_S, WORK_S, WINDOW_S, OVERHEAD_S, SPOT, ON_DEMAND)
    bill = naive.play(night, naive.greedy if policy is GREEDY else lambda sight: wish(policy, sight))
    return bill.cost_usd, bill.late


def wish(policy: Policy, sight: naive.Sight) -> str:
    """What the policy says to what is seen at a tick."""
    return policy.decide(observation(sight)).train_pool_id or ""


def observation(sight: naive.Sight) -> Observation:
    """The same, in the words of the loop."""
    seen = Sight.UP if sight.up else Sight.DOWN
    abilities = Abilities(assured_s=TICK_S)
    return Observation(
        now_utc=float(sight.tick * TICK_S),
        start_utc=0.0,
        deadline_utc=float(WINDOW_S),
        reaction_s=float(TICK_S),
        tail_s=0.0,
        work=WorkLeft(sight.left_s, float(WORK_S), continuous=True),
        holdings=(holding(sight),) if sight.held else (),
        offers={"spot": Offer("spot", seen, float(sight.up_since_tick * TICK_S))},
        pools=POOLS,
        bounds=BOUNDS,
        abilities={pool.id: abilities for pool in POOLS},
        waited_s=sight.waited_s,
    )


def holding(sight: naive.Sight) -> Holding:
    """What is held, in the words of the loop."""
    market = Market.SPOT if sight.held == "spot" else Market.ON_DEMAND
    phase = Phase.TRAINING if sight.pending_s <= 0 else Phase.REQUESTED
    since_utc = float(sight.held_since_tick * TICK_S)
    return Holding(1, sight.held, market, Role.TRAIN, phase, since_utc, sight.pending_s, stopping=False)


@dataclass(frozen=True)
class Speeds:
    """Nights a second both ways, and the nights on which they differ."""

    step: float
    naive: float
    differ: Sequence[int]
    late: int


def measure(policy: Policy, nights: Sequence[Sequence[int]]) -> Speeds:
    """Play the nights both ways. What a policy works out once for all nights is worked out before."""
    through_step(nights[0], policy)
    begun = time.process_time()
    ours = [through_step(data, policy) for data in nights]
    between = time.process_time()
    oracle = [through_ticks(data, policy) for data in nights]
    ended = time.process_time()
    differ = [n for n, (a, b) in enumerate(zip(ours, oracle, strict=True)) if abs(a[0] - b[0]) > 1e-9 or a[1] != b[1]]
    return Speeds(len(nights) / (between - begun), len(nights) / (ended - between), differ, sum(o[1] for o in ours))


def main() -> int:
    """Play the nights both ways; print speeds and the number of nights that differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--policy", default="greedy", choices=list(POLICY_OPTIONS))
    options = parser.parse_args()
    nights = [ticks(options.seed * 1_000_003 + n) for n in range(options.nights)]
    policy = GREEDY if options.policy == "greedy" else make_policy(PolicyChoice(options.policy))
    speeds = measure(policy, nights)
    print(f"policy={options.policy} nights={options.nights} seed={options.seed}", end=" ")
    print(f"differ={len(speeds.differ)} late={speeds.late}")
    print(f"step: {speeds.step:.0f} nights/s   naive ticks: {speeds.naive:.0f} nights/s", end="   ")
    print(f"ratio {speeds.step / speeds.naive:.2f}")
    for n in speeds.differ[:5]:
        data = nights[n]
        print(f"  night {n}: step {through_step(data, policy)}, ticks {through_ticks(data, policy)}")
    return 1 if speeds.differ else 0


if __name__ == "__main__":
    sys.exit(main())
