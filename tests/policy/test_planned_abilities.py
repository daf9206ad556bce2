"""The planned policy with all that a backend may be able to do: never late, and each ability pays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.planning.play import play_night, stage
from nightspot.planning.terms import Terms
from nightspot.policy.guard import Guarded
from nightspot.policy.planned.planned import Planned
from tests.policy.test_planned import TICK_S, Telltale, flicker, wrong

BASE = Terms(4 * 3600.0, 6 * 3600.0, 900.0, tick_s=TICK_S)
REQUEST = replace(BASE, request_only=True)
BESIDE = replace(REQUEST, second_request=True)
HANDOVER = replace(BESIDE, handover_s=30.0)


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    """Any mixture of abilities, redo, and a window that may be as short as can be."""
    request = draw(st.booleans())
    work_s, overhead_s = draw(st.floats(600.0, 4 * 3600.0)), draw(st.sampled_from([0.0, 180.0, 900.0]))
    return Terms(
        work_s,
        work_s + overhead_s + draw(st.floats(0.0, 3 * 3600.0)),
        overhead_s,
        tick_s=TICK_S,
        request_only=request,
        second_request=request and draw(st.booleans()),
        handover_s=draw(st.sampled_from([None, 0.0, 30.0, 400.0])),
        redo_s=draw(st.sampled_from([0.0, 300.0, 1800.0])),
    )


@settings(max_examples=60, deadline=None, print_blob=True)
@given(
    terms(),
    st.integers(1, 2),
    st.sampled_from([0.03, 0.3, 1.0]),
    st.integers(0, 2**32),
    st.sampled_from([0.1, 1.0, 10.0]),
    st.sampled_from([0.1, 1.0, 10.0]),
)
def test_never_late_with_any_ability_and_wrong_models(
    of: Terms, pools: int, chance: float, seed: int, recovery: float, loss: float
) -> None:
    names = [f"spot-{n}" for n in range(pools)]
    night = stage(names, [wrong(recovery, loss)] * pools, of, "planned")
    capacities = {name: flicker(seed + n, of.ticks + 2, chance) for n, name in enumerate(names)}
    assert not play_night(night, capacities, 0.0, Guarded(Telltale())).late


def mean_usd(of: Terms, nights: int = 40) -> float:
    scene = stage(["spot"], [None], of, "planned")
    played = [
        play_night(scene, {"spot": flicker(seed, of.ticks + 2, 0.05)}, 0.0, Guarded(Planned()))
        for seed in range(nights)
    ]
    assert not any(night.late for night in played)
    return sum(night.cost_usd for night in played) / nights


def test_each_ability_makes_up_for_what_a_request_alone_cannot_show() -> None:
    seen, alone, beside, handed = mean_usd(BASE), mean_usd(REQUEST), mean_usd(BESIDE), mean_usd(HANDOVER)
    assert alone > seen
    assert beside == pytest.approx(seen, rel=0.02)
    assert beside < alone
    assert handed < beside


def test_work_that_is_done_again_costs() -> None:
    assert mean_usd(replace(BASE, redo_s=900.0)) > mean_usd(BASE)
