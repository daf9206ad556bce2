"""How far apart uninterrupted trainings of one script lie, and whether an interrupted one lies among them. Pure.

The band at a step reaches from the least to the greatest loss of all baselines there, widened on both sides by WIDER times their greatest
distance within WINDOW steps around. The last LAST losses must lie in it, and all but STRAYING of the whole. Of 3,000 draws from 40
trainings that seed nothing (examples/faulty/nondeterministic.py), 2 left the band of 5 others so; with WIDER = 1 it were 73.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Sequence

from nightspot.drill.compare.laid import Compared
from nightspot.drill.compare.place import Trail, same_batch
from nightspot.drill.record import Step

WINDOW = 3
WIDER = 2
STRAYING = 0.05
LAST = 3


@dataclass(frozen=True, slots=True)
class Band:
    """The least and the greatest loss allowed at each step."""

    low: tuple[float, ...]
    high: tuple[float, ...]


def band(baselines: Sequence[Trail]) -> Optional[Band]:
    """None where baselines have no losses, or not equally many steps."""
    rows = [[float(step.loss) for step in one.steps if step.loss is not None] for one in baselines]
    if len(rows) < 2 or len({len(row) for row in rows}) != 1 or not rows[0]:
        return None
    spans = [_span(rows, at) for at in range(len(rows[0]))]
    return Band(tuple(low for low, _ in spans), tuple(high for _, high in spans))


def _span(rows: Sequence[Sequence[float]], at: int) -> tuple[float, float]:
    around = range(max(0, at - WINDOW), min(len(rows[0]), at + WINDOW + 1))
    width = max(max(row[near] for row in rows) - min(row[near] for row in rows) for near in around)
    return min(row[at] for row in rows) - WIDER * width, max(row[at] for row in rows) + WIDER * width


def within(allowed: Band, compared: Compared) -> bool:
    """Whether the losses of every Life lie in the band."""
    inside = []
    for placed in compared.placed:
        for offset, step in enumerate(placed.trail.steps):
            inside.append(_inside(allowed, (placed.start or 0) + offset, step.loss))
    most_outside = math.floor(STRAYING * len(inside))
    return inside.count(False) <= most_outside and all(inside[-LAST:])


def _inside(allowed: Band, at: int, loss: Optional[str]) -> bool:
    if loss is None or at >= len(allowed.low):
        return False
    return allowed.low[at] <= float(loss) <= allowed.high[at]


def resumed_exactly(compared: Compared, number: int) -> bool:
    """Whether Life `number` went on with the step, weights, optimizer, data order and random states that were saved.

    It must have been seen: a Life that is not placed by its weights, or a step that nobody made before, is no proof.
    """
    placed = compared.placed[number]
    if placed.start is None or placed.by != "weights" or _remaining(compared, number) != len(placed.trail.steps):
        return placed.by == "end" and not placed.trail.steps
    first, wanted = placed.trail.steps[0], compared.reference(number, placed.start)
    if wanted is None:
        return False
    return not differing_states(compared, first, wanted)


def _remaining(compared: Compared, number: int) -> int:
    """Steps that Life `number` has left to do; as many as it made if it was killed."""
    placed = compared.placed[number]
    if placed.life.blow is not None or placed.start is None:
        return len(placed.trail.steps)
    return len(compared.baseline.steps) - placed.start


def differing_states(compared: Compared, first: Step, wanted: Step) -> tuple[str, ...]:
    """What a step begins with and what it should have, where the two differ: 'optimizer', 'lrs', 'batch', 'random'."""
    found = {
        "optimizer": None not in (first.optimizer, wanted.optimizer) and first.optimizer != wanted.optimizer,
        "lrs": bool(wanted.lrs) and first.lrs != wanted.lrs,
        "batch": not same_batch(first.batch, wanted.batch),
        "random": bool(differing_streams(compared, first, wanted)),
    }
    return tuple(name for name, differs in found.items() if differs)


def differing_streams(compared: Compared, first: Step, wanted: Step) -> tuple[str, ...]:
    """Names of the random streams that the training draws from and that differ. One that never moves does not count."""
    ones, others = streams(first), streams(wanted)
    return tuple(
        name
        for name in sorted({*ones} & {*others} & used_streams(compared.baseline.steps))
        if ones[name] != others[name]
    )


def used_streams(steps: Sequence[Step]) -> set[str]:
    """Those whose state changes from a step to another."""
    seen = [streams(step) for step in steps]
    names = {name for one in seen for name in one}
    return {name for name in names if len({one.get(name) for one in seen}) > 1}


def streams(step: Step) -> dict[str, str]:
    """Digest by name."""
    pairs = (part.partition("=") for part in (step.random or "").split())
    return {name: value for name, _, value in pairs}
