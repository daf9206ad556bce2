"""The real loop on ticks costs exactly what a naive simulator, which shares no code with it, says: night by night."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any, Iterable

import pytest

from nightspot.model.job import PolicyChoice
from nightspot.policy.base import Policy
from nightspot.policy.make import make_policy
from nightspot.policy.names import POLICY_OPTIONS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def nights() -> dict[str, Any]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return runpy.run_path(str(BENCHMARKS / "nights.py"), run_name="nights")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_greedy_costs_the_same_as_the_naive_simulator_on_every_night(nights: dict[str, Any]) -> None:
    _same_on_every_night(nights, nights["GREEDY"], range(200))


@pytest.mark.parametrize("name", [name for name in POLICY_OPTIONS if name != "greedy"])
def test_a_policy_that_is_asked_when_its_decision_is_over_costs_what_it_costs_asked_each_tick(
    nights: dict[str, Any], name: str
) -> None:
    _same_on_every_night(nights, make_policy(PolicyChoice(name)), range(60))


def _same_on_every_night(nights: dict[str, Any], policy: Policy, seeds: Iterable[int]) -> None:
    for seed in seeds:
        data = nights["ticks"](seed)
        cost_usd, late = nights["through_step"](data, policy)
        oracle_usd, oracle_late = nights["through_ticks"](data, policy)
        assert cost_usd == pytest.approx(oracle_usd, abs=1e-9), f"seed {seed}"
        assert late == oracle_late, f"seed {seed}"
