"""The policies' names and the options each one takes, for whoever checks a job file."""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping

DEFAULT_POLICY = "planned"

POLICY_OPTIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "on-demand": frozenset(),
        "spot-only": frozenset(),
        "timed-fallback": frozenset({"wait_s"}),
        "greedy": frozenset(),
        "planned": frozenset(),
        "reserve": frozenset({"k0", "k1"}),
        "uniform-progress": frozenset(),
    }
)
