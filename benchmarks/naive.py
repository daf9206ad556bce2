"""A naive simulator that steps every tick: the oracle of the real loop, and what its speed is measured against.

The semantics of ticks are those of "Can't Be Late" (NSDI '24): observe, credit the past tick, decide, charge this tick.
A launch sets the overhead to d, replacing what is pending; letting go is free; whole ticks are charged.
It knows one policy, greedy, and the exact guard. It shares no code with nightspot on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence


@dataclass(frozen=True)
class Night:
    """`up[i]`: is there Spot during tick i. Times in ticks' seconds; prices in USD per hour."""

    up: Sequence[int]
    tick_s: int
    work_s: int
    window_s: int
    overhead_s: int
    spot_price: float
    on_demand_price: float


@dataclass(frozen=True)
class Bill:
    """What a night cost, and whether it was late."""

    cost_usd: float
    late: bool


def greedy(night: Night) -> Bill:
    """Spot where there is any, nothing otherwise; the guard turns to on-demand."""
    held, left, pending, cost_usd = "", float(night.work_s), 0.0, 0.0
    for tick in range(night.window_s // night.tick_s):
        up = bool(night.up[tick])
        if held == "spot" and not up:
            held = ""
        choice = _decide(night, held, up, left, pending, night.window_s - tick * night.tick_s)
        if choice and choice != held:
            pending = float(night.overhead_s)
        held = choice
        if held:
            price = night.spot_price if held == "spot" else night.on_demand_price
            cost_usd += price * night.tick_s / 3600.0
            worked = max(0.0, night.tick_s - pending)
            pending = max(0.0, pending - night.tick_s)
            left -= worked
        if left <= 1e-6:
            return Bill(cost_usd, late=False)
    return Bill(cost_usd, late=True)


def _decide(night: Night, held: str, up: bool, left: float, pending: float, time_left: float) -> str:  # noqa: FBT001
    if up:
        overhead = pending if held == "spot" else float(night.overhead_s)
        worked = max(0.0, night.tick_s - overhead)
        if worked >= left or time_left - night.tick_s >= left - worked + night.overhead_s:
            return "spot"
    elif time_left - night.tick_s >= left + night.overhead_s:
        return ""
    return "on-demand"
