"""Any policy over recorded capacity, through the very loop that runs tonight, on as many cores as there are.

What is played does not depend on the number of cores: each night is on its own, and sums are made in the order of the nights.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nightspot.model.job import PolicyChoice
from nightspot.planning.omniscient import omniscient_usd
from nightspot.planning.play import Played, play_night, stage
from nightspot.planning.recorded import Recorded, TickCapacity, Weather, starts_utc, weather
from nightspot.planning.results import Costs, PolicyFacts, WindowFacts, facts_of
from nightspot.planning.terms import Terms
from nightspot.policy.guard import Guarded
from nightspot.policy.make import make_policy

OMNISCIENT = ""
# A core gets no less at once, so that what a policy works out for one market serves many nights.
PIECE_NIGHTS = 250


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be played: nights each `every_s` within those fractions of each market, each window, each policy."""

    markets: tuple[Recorded, ...]
    terms: tuple[Terms, ...]
    policies: tuple[str, ...]
    every_s: float = 3600.0
    from_fraction: float = 0.0
    to_fraction: float = 1.0

    def starts(self, market: int, terms: int) -> list[float]:
        """When the nights of that market begin, with those terms."""
        window_s = self.terms[terms].window_s
        return starts_utc(self.markets[market], self.every_s, self.from_fraction, self.to_fraction, window_s)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some nights of one market, with one set of terms and one policy (none: the omniscient bound)."""

    market: int
    terms: int
    policy: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Backtest:
    """All nights of a Plan. `costs`: by (index of the terms, policy), one Costs for each market, its nights in order."""

    plan: Plan
    costs: Mapping[tuple[int, str], Sequence[Costs]]

    def windows(self) -> list[WindowFacts]:
        """For each of the Plan's terms, the facts of each policy."""
        return [
            WindowFacts(terms.window_s, {name: facts_of(self.costs[index, name]) for name in self.plan.policies})
            for index, terms in enumerate(self.plan.terms)
        ]

    def policies(self) -> dict[str, PolicyFacts]:
        """Of each policy, over the nights of all terms."""
        indices = range(len(self.plan.terms))
        return {
            name: facts_of([costs for index in indices for costs in self.costs[index, name]])
            for name in self.plan.policies
        }


def backtest(plan: Plan, jobs: int = 1, done: Callable[[int], None] = lambda _nights: None) -> Backtest:
    """Play all of it on so many cores. `done` is told of nights as they are over. Some market must have a night: see `Plan.starts`."""
    pieces = list(_pieces(plan, jobs))
    played = dict(zip(pieces, _played(plan, pieces, jobs, done), strict=True))
    costs: dict[tuple[int, str], list[Costs]] = {}
    for index, terms in enumerate(plan.terms):
        for market in range(len(plan.markets)):
            mine = [piece for piece in pieces if (piece.terms, piece.market) == (index, market)]
            best = np.concatenate([played[piece].usd for piece in mine if piece.policy == OMNISCIENT] or [np.empty(0)])
            for policy in plan.policies:
                nights = [played[piece] for piece in mine if piece.policy == policy]
                costs.setdefault((index, policy), []).append(_costs(nights, best, terms))
    return Backtest(plan, costs)


@dataclass(frozen=True, slots=True)
class _Nights:
    """What the nights of a piece cost, and whether each was late."""

    usd: NDArray[np.float64]
    late: NDArray[np.bool_]


def _costs(nights: Sequence[_Nights], best_usd: NDArray[np.float64], terms: Terms) -> Costs:
    paid = np.concatenate([each.usd for each in nights] or [np.empty(0)])
    late = np.concatenate([each.late for each in nights] or [np.empty(0, dtype=np.bool_)])
    return Costs(paid, best_usd, np.full(len(paid), terms.on_demand_usd), late)


def _pieces(plan: Plan, jobs: int) -> Iterator[_Piece]:
    for terms in range(len(plan.terms)):
        for market in range(len(plan.markets)):
            nights = len(plan.starts(market, terms))
            size = max(PIECE_NIGHTS, -(-nights // max(1, jobs)))
            for policy in (OMNISCIENT, *plan.policies):
                for begin in range(0, nights, size):
                    yield _Piece(market, terms, policy, begin, min(nights, begin + size))


def _played(plan: Plan, pieces: Sequence[_Piece], jobs: int, done: Callable[[int], None]) -> Iterator[_Nights]:
    """In the order of the pieces."""
    if jobs <= 1 or len(pieces) <= 1:
        for piece in pieces:
            yield _told(_play(plan, piece), piece, done)
        return
    with ProcessPoolExecutor(min(jobs, len(pieces)), initializer=_begin, initargs=(plan,)) as pool:
        for piece, nights in zip(pieces, pool.map(_play_here, pieces), strict=True):
            yield _told(nights, piece, done)


def _told(nights: _Nights, piece: _Piece, done: Callable[[int], None]) -> _Nights:
    if piece.policy != OMNISCIENT:
        done(len(nights.usd))
    return nights


_HERE: list[Plan] = []  # in a worker process: what it was started for


def _begin(plan: Plan) -> None:
    _HERE[:] = [plan]


def _play_here(piece: _Piece) -> _Nights:
    return _play(_HERE[0], piece)


def _play(plan: Plan, piece: _Piece) -> _Nights:
    market, terms = plan.markets[piece.market], plan.terms[piece.terms]
    starts = plan.starts(piece.market, piece.terms)[piece.begin : piece.end]
    seen = [weather(trace, starts, terms) for trace in market.traces]
    if piece.policy == OMNISCIENT:
        usd = omniscient_usd([each.up for each in seen], terms)
        return _Nights(usd, np.isinf(usd))
    nights = list(play_nights(market, terms, piece.policy, starts, seen))
    return _Nights(np.asarray([n.cost_usd for n in nights]), np.asarray([n.late for n in nights], dtype=np.bool_))


def play_nights(
    market: Recorded, terms: Terms, policy_name: str, starts: Sequence[float], seen: Sequence[Weather]
) -> Iterator[Played]:
    """Those nights, one by one, with that policy inside the guard. `seen`: the Weather of each Pool."""
    scene = stage(market.names, market.flips, terms, policy_name)
    policy = Guarded(make_policy(PolicyChoice(policy_name)))
    for night, start_utc in enumerate(starts):
        capacities = {
            name: TickCapacity(each.up[night], start_utc, terms.tick_s, float(each.since_utc[night]))
            for name, each in zip(market.names, seen, strict=True)
        }
        yield play_night(scene, capacities, start_utc, policy)
