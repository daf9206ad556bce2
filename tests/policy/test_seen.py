"""One Spot Pool that is seen: plain numbers and runs worked out once say what the tables read along the path say, to the last bit."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import pytest

from nightspot.market.flips import BUCKETS
from nightspot.model.attempt import Phase, Role
from nightspot.model.capacity import Abilities, Bounds, Market, Offer, Sight
from nightspot.model.decision import Holding, Observation, WorkLeft
from nightspot.policy.planned import seen
from nightspot.policy.planned.actions import TAKE_NOTHING, TAKE_ON_DEMAND, TAKE_SPOT, UNSURE, actions_of
from nightspot.policy.planned.ahead import ON_DEMAND, WAIT
from nightspot.policy.planned.choose import _as_it_is, _choose_along, choose
from nightspot.policy.planned.scene import Scene, scene_of
from nightspot.policy.planned.terms import terms_of
from tests.night.worlds import HOUR, on_demand, spot

TICK_S, TOTAL_S, WINDOW_S = 195.0, 4 * HOUR, 8 * HOUR


def observation(
    rng: random.Random, lead_s: float = 180.0, *, on_ticks: bool = True, redo_s: float = 0.0, price: float = 0.3
) -> Observation:
    """Anything that a night may come to."""
    pools = (spot("spot", price), on_demand())
    window_s = 148 * TICK_S if on_ticks else WINDOW_S
    passed_s = rng.randrange(148) * TICK_S if on_ticks else rng.uniform(0.0, window_s)
    left_s = rng.choice([rng.uniform(0.0, TOTAL_S), TICK_S * rng.randrange(1, 70), max(0.0, TOTAL_S - passed_s)])
    held = rng.choice([None, "spot", "on-demand"])
    sight = Sight.UP if held == "spot" else rng.choice([Sight.UP, Sight.DOWN])
    since_s = rng.choice([passed_s, rng.uniform(0.0, passed_s), passed_s // TICK_S * TICK_S, -5 * HOUR])
    return Observation(
        now_utc=passed_s,
        start_utc=0.0,
        deadline_utc=window_s,
        reaction_s=TICK_S if on_ticks else 60.0,
        tail_s=0.0,
        work=WorkLeft(left_s, TOTAL_S, continuous=True, redo_s=redo_s),
        holdings=(holding(rng, held, passed_s, lead_s),) if held else (),
        offers={"spot": Offer("spot", sight, since_s)},
        pools=pools,
        bounds={pool.id: Bounds(lead_s) for pool in pools},
        abilities={pool.id: Abilities(assured_s=TICK_S if on_ticks else 0.0) for pool in pools},
    )


def holding(rng: random.Random, held: str, now_utc: float, lead_s: float) -> Holding:
    market = Market.SPOT if held == "spot" else Market.ON_DEMAND
    pending_s = rng.choice([0.0, rng.uniform(0.0, lead_s), max(0.0, lead_s - TICK_S)])
    phase = Phase.BOOTING if pending_s else Phase.TRAINING
    return Holding(1, held, market, Role.TRAIN, phase, now_utc + pending_s - lead_s, pending_s, stopping=False)


def scenes(number: int, seed: int, **changes: float) -> list[Scene]:
    rng = random.Random(seed)
    found = [scene_of(observation(rng, **changes)) for _ in range(number)]  # type: ignore[arg-type]
    return [scene for scene in found if scene is not None and scene.grid.tick >= 1]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lead_s": 0.0},
        {"lead_s": 900.0},
        {"redo_s": 300.0},
        {"on_ticks": False},
        {"on_ticks": False, "lead_s": 900.0, "redo_s": 300.0},
        {"price": 0.999},
    ],
)
def test_it_is_the_choice_that_is_read_along_the_path(changes: dict[str, float]) -> None:
    taken: Counter[int] = Counter()
    for scene in scenes(400, 1, **changes):
        likely = _as_it_is(scene)
        assert likely is not None
        along = _choose_along(scene, likely)
        assert seen.reader_of(scene.plan).choose(scene) == (along.what, along.until_s, along.costs), scene
        taken[along.what] += 1
    assert min(taken[ON_DEMAND], taken[WAIT] + taken[0]) > 20


def test_it_is_asked_only_where_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, *rest = scenes(50, 2, lead_s=171.0)
    asked = seen.reader_of(scene.plan).asked
    monkeypatch.setattr(seen, "OFTEN", asked + 2)
    assert [seen.choose_seen(scene) is None for _ in range(4)] == [True, True, False, False]
    assert all(choose(scene) == choose(scene) for scene in rest)


def test_slower_capacity_is_read_along_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "OFTEN", -1)
    slow = observation(random.Random(3))
    slow = dataclasses.replace(slow, pools=(spot("spot", speed=0.5), on_demand()), now_utc=0.0)
    scene = scene_of(slow)
    assert scene is not None
    assert seen.choose_seen(scene) is None


@pytest.mark.parametrize("holds", [TAKE_ON_DEMAND, TAKE_SPOT, TAKE_NOTHING])
def test_a_run_is_as_long_as_the_action_stays_the_same(holds: int) -> None:
    plan = scenes(1, 4)[0].plan
    actions = actions_of(plan, holds, up=True)
    done = 0 if holds == TAKE_NOTHING else 1
    rng = random.Random(holds)
    for _ in range(300):
        tick, age, index = (
            rng.randrange(1, plan.problem.ticks),
            rng.randrange(BUCKETS),
            rng.randrange(plan.problem.work),
        )
        best = actions.best[tick, age, index]
        run = 1
        while tick - run >= 1 and index - run * done >= 0 and actions.best[tick - run, age, index - run * done] == best:
            run += 1
        assert actions.run[tick, age, index] == run


@pytest.mark.parametrize("holds", [TAKE_ON_DEMAND, TAKE_SPOT, TAKE_NOTHING])
def test_what_is_sure_stays_the_same_however_age_grows(holds: int) -> None:
    plan = scenes(1, 9)[0].plan
    actions = actions_of(plan, holds, up=True)
    done = 0 if holds == TAKE_NOTHING else 1
    rng, longest = random.Random(holds), 0
    for _ in range(300):
        tick, age, index = (
            rng.randrange(1, plan.problem.ticks),
            rng.randrange(BUCKETS),
            rng.randrange(plan.problem.work),
        )
        best, sure = actions.best[tick, age, index], int(actions.sure[tick, age, index])
        assert sure <= actions.run[tick, age, index]
        longest = max(longest, sure)
        for ahead in range(sure):
            age = min(BUCKETS - 1, age + rng.choice([0, 0, 0, 1, 2])) if ahead else age
            assert actions.best[tick - ahead, age, index - ahead * done] == best
    assert longest > 20


def test_few_actions_are_unsure() -> None:
    plan = scenes(1, 5)[0].plan
    for holds, up in [(TAKE_ON_DEMAND, True), (TAKE_SPOT, True), (TAKE_NOTHING, False), (TAKE_ON_DEMAND, False)]:
        assert (actions_of(plan, holds, up=up).best[1:, :, 1:] == UNSURE).mean() < 0.05


def test_terms_are_remembered_by_their_values() -> None:
    rng = random.Random(6)
    first, other = observation(rng), observation(rng)
    assert terms_of(first) is terms_of(other)
    longer = dataclasses.replace(other, bounds={**other.bounds, "spot": Bounds(240.0)})
    assert terms_of(longer) is not terms_of(other)
    assert terms_of(longer).bounds == longer.bounds
    for changes in (
        {"reaction_s": 1.0},
        {"guard_pools": 2},
        {"deadline_utc": 9e4},
        {"pools": (*other.pools, spot("b"))},
    ):
        changed = dataclasses.replace(other, **changes)
        assert terms_of(changed) is not terms_of(other)


def test_a_mapping_that_is_changed_later_does_not_change_what_is_remembered() -> None:
    one = observation(random.Random(7), lead_s=222.0)
    bounds = dict(one.bounds)
    before = terms_of(dataclasses.replace(one, bounds=bounds))
    bounds["spot"] = Bounds(333.0)
    assert terms_of(dataclasses.replace(one, bounds=bounds)) is not before
    assert terms_of(one) is before


def test_with_several_on_demand_pools_the_way_out_is_looked_up_anew() -> None:
    def scene_with(first: Sight) -> Scene:
        pools = (spot("spot"), on_demand("first"), on_demand("second"))
        one = dataclasses.replace(
            observation(random.Random(8)),
            now_utc=0.0,
            holdings=(),
            pools=pools,
            bounds={"spot": Bounds(180.0), "first": Bounds(60.0), "second": Bounds(600.0)},
            abilities={pool.id: Abilities(assured_s=TICK_S) for pool in pools},
            offers={"spot": Offer("spot", Sight.UP, 0.0), "first": Offer("first", first, 0.0)},
        )
        found = scene_of(one)
        assert found is not None
        return found

    there, gone, again = scene_with(Sight.UP), scene_with(Sight.DOWN), scene_with(Sight.UP)
    assert (there.on_demand.id, gone.on_demand.id) == ("first", "second")
    assert there.market.on_demand.lead < gone.market.on_demand.lead
    assert again.plan is there.plan
