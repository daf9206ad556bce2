"""The pictures of docs/policy.md: where the plan stops waiting, where it goes back to Spot, and what policies cost by window.

    python benchmarks/policy_pictures.py docs/pictures

One Spot pool at 0.3 of on-demand's price, starts of 3 minutes, rates pooled over the public traces; made-up markets for the costs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from nightspot.market.climate import POOLED
from nightspot.market.flips import BUCKETS, bucket
from nightspot.policy.baselines import Reserve
from nightspot.policy.planned.problem import Chances, Place, Problem
from nightspot.policy.planned.solve import Plan, solve
from nightspot.report.figure import COLOURS, GREY, RED, as_bytes, begin, plain

TICK_S, HOUR_S, LEAD_S, SPOT = 60.0, 3600.0, 180.0, 0.3
WINDOW_H, WORK_H = 12.0, 6.0
AGES_H = ((0.05, "gone for minutes"), (1.5, "for an hour and a half"), (6.0, "for six hours"))
UP_AGES_H = ((0.05, "new"), (1.5, "an hour and a half old"))


def plan() -> Plan:
    """A night of up to twelve hours, on ticks of a minute."""
    lead, hours = LEAD_S / TICK_S, TICK_S / HOUR_S
    problem = Problem(
        tick_s=TICK_S,
        ticks=int(WINDOW_H * HOUR_S / TICK_S),
        spare=0.0,
        work=int(WORK_H * HOUR_S / TICK_S),
        on_demand=Place(hours, 1.0, lead),
        spot=Place(SPOT * hours, 1.0, lead),
        chances=Chances(POOLED.recovery_per_hour, POOLED.loss_per_hour),
        out=lead,
    )
    return solve(problem)


def boundary(better: Any, works: Sequence[int]) -> list[float]:
    """By work, the least slack (hours) from which on one choice is better for all that is left; nan where it never is."""
    found = []
    for work in works:
        good = np.flatnonzero(~better[:, work])
        tick = int(good[-1]) + 1 if good.size else 0
        fits = tick < better.shape[0]
        found.append((tick - work) * TICK_S / HOUR_S - LEAD_S / HOUR_S if fits else float("nan"))
    return found


def draw_plan(made: Plan) -> bytes | None:
    """Two panels: no Spot, wait or on-demand; on on-demand, stay or go back."""
    figure = begin(10.0, 3.6)
    if figure is None:
        return None
    waiting, back = figure.subplots(1, 2)
    works = list(range(30, made.problem.work + 1, 6))
    hours = [work * TICK_S / HOUR_S for work in works]
    for colour, (age_h, words) in zip(COLOURS, AGES_H, strict=False):
        state = bucket(age_h * HOUR_S)
        better = made.wait[:, state, :] <= made.on_demand[:, 0, state, :]
        waiting.plot(hours, boundary(better, works), color=colour, label=words)
    k0, k1 = Reserve().factors(LEAD_S)
    rule = [LEAD_S / HOUR_S * (k0 - 1 + k1 * work_h) for work_h in hours]
    waiting.plot(hours, rule, color=GREY, linestyle="--", label="reserve's rule")
    for colour, (age_h, words) in zip(COLOURS, UP_AGES_H, strict=False):
        age = bucket(age_h * HOUR_S)
        better = made.spot[:, 0, age, :] < made.on_demand[:, -1, BUCKETS + age, :]
        back.plot(hours, boundary(better, works), color=colour, label=f"Spot {words}")
    back.axhline(LEAD_S / HOUR_S, color=GREY, linestyle="--", label="reserve's rule: there and back")
    for axis, title in (
        (waiting, "No Spot: wait above the line, on-demand below"),
        (back, "On on-demand: back to Spot above"),
    ):
        axis.axhline(0.0, color=RED, linewidth=0.8)
        axis.set_xlabel("hours of work left", fontsize=8)
        axis.set_ylabel("hours of slack", fontsize=8)
        axis.legend(fontsize=7, frameon=False)
        plain(axis, title)
    return as_bytes(figure, "svg")


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    drawn = draw_plan(plan())
    if drawn is None:
        raise SystemExit("matplotlib is missing")
    (folder / "plan.svg").write_bytes(drawn)
    print(folder / "plan.svg")


if __name__ == "__main__":
    main()
