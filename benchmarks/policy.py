"""How good the policies are: captured savings, several pools, abilities, and nights a second.

    python benchmarks/policy.py [FOLDER] [--every 1] [--ability-every 8] [--jobs 2] [--market "us-east six=us-east-" ...]

FOLDER has recorded traces, a file for each pool, in it or under it; each is judged with what the others teach (leave one pool out).
Without it pools are made up (market.climate), and that is said. 4 h of work, Spot at 0.3 of on-demand. `--market NAME=REGEX`: traces whose
file names match are pools of one market. Figures are for reading, but for two: it exits with 1 where a night was late, or where the loop
and the naive simulator disagree. Every hour, the default, takes a quarter of an hour; --every 3 says nearly the same.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterator, Mapping, Sequence

import nights
from nightspot.market.climate import Climate
from nightspot.market.formats import read_traces
from nightspot.market.trace import Trace
from nightspot.model.job import PolicyChoice
from nightspot.planning.backtest import Plan, backtest
from nightspot.planning.fitting import fit_on_the_others
from nightspot.planning.recorded import Recorded
from nightspot.planning.results import WindowFacts
from nightspot.planning.terms import HOUR_S, Terms
from nightspot.policy.make import make_policy
from nightspot.policy.names import POLICY_OPTIONS

WINDOWS_H, OVERHEADS_MIN = (5, 6, 8, 12, 23), (3, 15)
POLICIES = tuple(n for n in ("planned", "reserve", "greedy", "uniform-progress", "on-demand") if n in POLICY_OPTIONS)
BEST = POLICIES[0]
WANTED = {"reserve": 0.005, "greedy": 0.03, "uniform-progress": 0.10}
MARKETS = {"us-east six": "us-east-", "us-east-1 four": "us-east-1"}
MADE_MARKETS = {"two regions, six": "region-[12]", "one region, four": "region-1"}
ABILITIES: Mapping[str, dict[str, object]] = {
    "plain": {},
    "request only": {"request_only": True},
    "request only, second request": {"request_only": True, "second_request": True},
    "the same, handover 30 s": {"request_only": True, "second_request": True, "handover_s": 30.0},
    "handover 30 s": {"handover_s": 30.0},
    "redo 1 min": {"redo_s": 60.0},
    "redo 5 min": {"redo_s": 300.0},
    "redo 15 min": {"redo_s": 900.0},
}


@dataclass(frozen=True)
class Options:
    """From the command line."""

    every_h: float
    market_every_h: float
    ability_every_h: float
    jobs: int


class Late:
    """Counts nights that were late, over everything that is played."""

    nights = 0
    late = 0

    @classmethod
    def counted(cls, windows: Sequence[WindowFacts]) -> Sequence[WindowFacts]:
        """Them, counted."""
        for policy in (policy for window in windows for policy in window.policies.values()):
            cls.nights, cls.late = cls.nights + policy.nights, cls.late + policy.late
        return windows


def main() -> int:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--every", type=float, default=1.0, help="hours from night to night")
    parser.add_argument("--market-every", type=float, default=2.0, help="the same, for markets of several pools")
    parser.add_argument("--ability-every", type=float, default=8.0, help="the same, for abilities")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--market", action="append", metavar="NAME=REGEX")
    parser.add_argument("--seed", type=int, default=1, help="of the pools that are made up")
    words = parser.parse_args()
    traces = recorded(words.folder) if words.folder else Climate(words.seed, (4, 2, 3)).traces(20.0)
    where = f"of {words.folder}" if words.folder else f"made up (seed {words.seed}): they are no proof of anything real"
    print(f"{len(traces)} pools {where}. Each is judged with what the others teach.", flush=True)
    usual = MARKETS if words.folder else MADE_MARKETS
    markets = dict(one.split("=", 1) for one in words.market) if words.market else usual
    options = Options(words.every, words.market_every, words.ability_every, words.jobs)
    begun = time.perf_counter()
    pools = alone(traces)
    cells(pools, options)
    several(traces, markets, options)
    abilities(pools, options)
    differ = speed()
    print(f"\n{Late.nights} nights, {Late.late} late, in {(time.perf_counter() - begun) / 60:.1f} min")
    return 1 if Late.late or differ else 0


def recorded(folder: Path) -> dict[str, Trace]:
    """All traces in and under that folder, by the path within it."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".csv"))
    if not paths:
        sys.exit(f"{folder} has no traces in it")
    found: dict[str, Trace] = {}
    for path in paths:
        inside = read_traces(path.read_text(), str(path))
        found |= {str(path.relative_to(folder)) if len(inside) == 1 else name: trace for name, trace in inside.items()}
    return found


def alone(traces: Mapping[str, Trace]) -> tuple[Recorded, ...]:
    """A market for each Pool, known by the others."""
    flips = fit_on_the_others(list(traces.values()))
    return tuple(Recorded((n,), (t,), (f,)) for (n, t), f in zip(traces.items(), flips, strict=True))


def terms(overhead_min: float, **changes: object) -> tuple[Terms, ...]:
    """One for each window."""
    usual = Terms(overhead_s=overhead_min * 60.0, window_s=max(WINDOWS_H) * HOUR_S)
    return tuple(replace(usual, window_s=hours * HOUR_S, **changes) for hours in WINDOWS_H)  # type: ignore[arg-type]


def cells(pools: tuple[Recorded, ...], options: Options) -> None:
    """The ten cells, each Pool by itself."""
    every = tuple(each for overhead_min in OVERHEADS_MIN for each in terms(overhead_min))
    windows = Late.counted(backtest(Plan(pools, every, POLICIES, options.every_h * HOUR_S), options.jobs).windows())
    print(f"\n## One pool: captured, {windows[0].policies[BEST].nights} nights a cell and policy\n")
    means = table(every, windows)
    for name, wanted in WANTED.items():
        if name in means and name != BEST:
            print(f"{BEST} leads {name} by {means[BEST] - means[name]:.4f} (wanted: {wanted})")
    sys.stdout.flush()


def table(every: Sequence[Terms], windows: Sequence[WindowFacts]) -> dict[str, float]:
    """Print captured, a row for each policy, with its means over the cells of each start-up and over all; the latter are returned."""
    names = list(windows[0].policies)
    heads = [f"{each.window_s / HOUR_S:g}h/{each.overhead_s / 60:g}m" for each in every]
    print(
        f"{'policy':<18}"
        + "".join(f"{head:>8}" for head in heads)
        + "".join(f"{f'{o}m':>8}" for o in OVERHEADS_MIN)
        + f"{'mean':>8}{'late':>6}"
    )
    best = [window.policies[names[0]] for window in windows]
    shares = [one.mean_cost_omniscient / one.mean_cost_on_demand for one in best]
    print(f"{'best / on-demand':<18}" + "".join(f"{share:>8.3f}" for share in shares))
    means = {}
    for name in names:
        mine = [window.policies[name] for window in windows]
        captured = [one.captured or 0.0 for one in mine]
        means[name] = sum(captured) / len(captured)
        by_overhead = [_mean_at(overhead * 60.0, every, captured) for overhead in OVERHEADS_MIN]
        figures = "".join(f"{share:>8.3f}" for share in [*captured, *by_overhead])
        print(f"{name:<18}{figures}{means[name]:>8.4f}{sum(one.late for one in mine):>6}")
    return means


def _mean_at(overhead_s: float, every: Sequence[Terms], captured: Sequence[float]) -> float:
    mine = [share for each, share in zip(every, captured, strict=True) if each.overhead_s == overhead_s]
    return sum(mine) / len(mine)


def several(traces: Mapping[str, Trace], markets: Mapping[str, str], options: Options) -> None:
    """Markets of several Pools, each Pool known by all the others."""
    every = tuple(each for overhead_min in OVERHEADS_MIN for each in terms(overhead_min))
    flips = dict(zip(traces, fit_on_the_others(list(traces.values())), strict=True))
    for title, pattern in markets.items():
        names = [name for name in traces if re.search(pattern, name)]
        if len(names) < 2:
            print(f"\n## {title}: fewer than two traces match {pattern}")
            continue
        market = Recorded(tuple(names), tuple(traces[n] for n in names), tuple(flips[n] for n in names))
        plan = Plan((market,), every, POLICIES, options.market_every_h * HOUR_S)
        windows = Late.counted(backtest(plan, options.jobs).windows())
        print(f"\n## {title}, {len(names)} pools: captured, {windows[0].policies[BEST].nights} nights\n")
        table(every, windows)
        sys.stdout.flush()


def abilities(pools: tuple[Recorded, ...], options: Options) -> None:
    """Cost against the best possible without any ability, the mean over the windows."""
    heads = "".join(f"{f'{overhead} min':>10}" for overhead in OVERHEADS_MIN)
    print(f"\n## {BEST}: cost against the best possible without the abilities, mean over the windows\n")
    print(f"{'':<32}{heads}{'late':>8}")
    for title, changes in ABILITIES.items():
        found = [list(_above(pools, terms(overhead, **changes), options)) for overhead in OVERHEADS_MIN]
        ratios = "".join(f"{sum(ratio for ratio, _ in each) / len(each):>10.4f}" for each in found)
        print(f"{title:<32}{ratios}{sum(late for each in found for _, late in each):>8}", flush=True)


def _above(pools: tuple[Recorded, ...], every: tuple[Terms, ...], options: Options) -> Iterator[tuple[float, int]]:
    plan = Plan(pools, every, (BEST,), options.ability_every_h * HOUR_S)
    for window in Late.counted(backtest(plan, options.jobs).windows()):
        policy = window.policies[BEST]
        yield policy.mean_cost / policy.mean_cost_omniscient, policy.late


def speed(count: int = 500) -> int:
    """Nights a second on one core, through the loop and by the naive simulator; on how many nights they differ."""
    print("\n## Nights a second on one core, window 8 h, 3 min to start, ticks of 195 s\n")
    made = [nights.ticks(seed) for seed in range(count)]
    differ = 0
    for name in POLICIES:
        policy = nights.GREEDY if name == "greedy" else make_policy(PolicyChoice(name))
        speeds = nights.measure(policy, made)
        differ += len(speeds.differ)
        print(
            f"{name:<18}step {speeds.step:>6.0f}   naive ticks {speeds.naive:>6.0f}   nights that differ {len(speeds.differ)}"
        )
    return differ


if __name__ == "__main__":
    sys.exit(main())
