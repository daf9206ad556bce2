"""The real loop on ticks costs exactly what a naive simulator, which shares no code with it, says: night by night."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def nights() -> dict[str, Any]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return runpy.run_path(str(BENCHMARKS / "nights.py"), run_name="nights")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_greedy_costs_the_same_as_the_naive_simulator_on_every_night(nights: dict[str, Any]) -> None:
    for seed in range(200):
        data = nights["ticks"](seed)
        cost_usd, late = nights["through_step"](data)
        oracle_usd, oracle_late = nights["through_ticks"](data)
        assert cost_usd == pytest.approx(oracle_usd, abs=1e-9), f"seed {seed}"
        assert late == oracle_late, f"seed {seed}"
