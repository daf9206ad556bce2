"""What capacity does and costs: pure functions of text and numbers."""

from __future__ import annotations

from nightspot.market.capacity import CapacitySetting, capacity_trace
from nightspot.market.generator import Generator
from nightspot.market.hazard import Hazard
from nightspot.market.prices import cost_usd, on_demand_cost_usd, on_demand_s, saving
from nightspot.market.trace import ALWAYS, NEVER, Trace, parse_trace

__all__ = [
    "ALWAYS",
    "NEVER",
    "CapacitySetting",
    "Generator",
    "Hazard",
    "Trace",
    "capacity_trace",
    "cost_usd",
    "on_demand_cost_usd",
    "on_demand_s",
    "parse_trace",
    "saving",
]
