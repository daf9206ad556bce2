"""A naive simulator that steps every tick: the oracle of the real loop, and what its speed is measured against.

The semantics of ticks are those of "Can't Be Late" (NSDI '24): observe, credit the past tick, decide, charge this tick.
A launch sets the overhead to d, replacing what is pending; letting go is free; whole ticks are charged.
It knows one policy, greedy, asks any other one each tick, and has the exact guard. It shares no code with nightspot on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence


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


@dataclass(frozen=True)
class Sight:
    """What a policy is asked with, at the start of a tick. `held`: "spot", "on-demand", "" for nothing; `waited_s`: how long so far."""

    tick: int
    held: str
    held_since_tick: int
    up: bool
    up_since_tick: int
    left_s: float
    pending_s: float
    waited_s: float


Ask = Callable[[Sight], str]


def greedy(sight: Sight) -> str:
    """Spot where there is any, nothing otherwise; the guard turns to on-demand."""
    return "spot" if sight.up else ""


def play(night: Night, ask: Ask = greedy) -> Bill:
    """One night. `ask` says what to hold; the guard has the last word."""
    held, left, pending, cost_usd, held_since, up_since, waited = "", float(night.work_s), 0.0, 0.0, 0, 0, 0
    for tick in range(night.window_s // night.tick_s):
        up = bool(night.up[tick])
        up_since = tick if tick and up != bool(night.up[tick - 1]) else up_since
        if held == "spot" and not up:
            held = ""
        wish = ask(Sight(tick, held, held_since, up, up_since, left, pending if held else 0.0, float(waited)))
        choice = _guarded(night, wish, held, left, pending, night.window_s - tick * night.tick_s)
        if choice and choice != held:
            pending, held_since = float(night.overhead_s), tick
        held = choice
        if held:
            price = night.spot_price if held == "spot" else night.on_demand_price
            cost_usd += price * night.tick_s / 3600.0
            worked = max(0.0, night.tick_s - pending)
            pending = max(0.0, pending - night.tick_s)
            left -= worked
        else:
            waited += night.tick_s
        if left <= 1e-6:
            return Bill(cost_usd, late=False)
    return Bill(cost_usd, late=True)


def _guarded(night: Night, wish: str, held: str, left: float, pending: float, time_left: float) -> str:
    """The wish, or on-demand where that could make the night late."""
    if wish == "spot":
        overhead = pending if held == "spot" else float(night.overhead_s)
        worked = max(0.0, night.tick_s - overhead)
        if worked >= left or time_left - night.tick_s >= left - worked + night.overhead_s:
            return "spot"
    elif not wish and time_left - night.tick_s >= left + night.overhead_s:
        return ""
    return "on-demand"
