"""Lays the Lives of an interrupted training over an uninterrupted one, step by step. Pure.

Steps count over the whole training, from 0; a Life that is placed at `start` makes step `start` first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

from nightspot.drill.compare.place import Placed, Trail, agreed, durable_at, place, trail
from nightspot.drill.record import Artefact, Life, Step, Training


@dataclass(frozen=True, slots=True)
class Kept:
    """The last whole checkpoint that a Life found at its start, and the steps that it holds."""

    name: str
    step: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the losses first part. life: number of the Life; None for a loss: there was no such step."""

    step: int
    life: int
    wanted: Optional[str]
    seen: Optional[str]


@dataclass(frozen=True, slots=True)
class Compared:
    """An interrupted training beside a baseline. baseline: its Trail; agreed: its steps, None in what other baselines have otherwise;
    difference: None where no loss differs.

    loss_match, weights_match: None where there was nothing to compare; tensor: the first that differs in the finished models.
    """

    baseline: Trail
    agreed: tuple[Step, ...]
    placed: tuple[Placed, ...]
    difference: Optional[Difference]
    loss_match: Optional[bool]
    weights_match: Optional[bool]
    tensor: Optional[str]

    def killed(self, number: int) -> Optional[int]:
        """Steps done over the whole training when Life `number` ended; one that failed at its start adds none."""
        return next((one.end for one in reversed(self.placed[: number + 1]) if one.end is not None), None)

    def kept(self, number: int) -> Optional[Kept]:
        """What Life `number` had to go on from: the furthest whole checkpoint of the Lives before it that was left undamaged."""
        found: dict[str, int] = {}
        for before in self.placed[:number]:
            found.update(_durables(before))
            found = _left(found, before.life)
        if not found:
            return None
        name = max(found, key=lambda one: found[one])
        return Kept(name, found[name])

    def saved(self, number: int) -> Optional[Kept]:
        """The furthest checkpoint that was ever whole before Life `number`, whatever became of it."""
        found: dict[str, int] = {}
        for before in self.placed[:number]:
            found.update(_durables(before))
        name = max(found, key=lambda one: found[one], default=None)
        return None if name is None else Kept(name, found[name])

    def reference(self, number: int, step: int) -> Optional[Step]:
        """What step `step` was before Life `number`: as an earlier Life made it, else as all baselines did.

        An earlier Life comes first, for it shares with this one what no two trainings of an unseeded script share.
        """
        for before in reversed(self.placed[:number]):
            if (found := before.step(step)) is not None:
                return found
        return self.agreed[step] if 0 <= step < len(self.agreed) else None


def compare(baselines: Sequence[Training], training: Training) -> Compared:
    """Place every Life, then compare losses and finished models with those of the first baseline. Each has run to its end in one Life."""
    trails = trails_of(baselines)
    wanted, seen = trails[0], trails[0].seen
    placed: list[Placed] = []
    for life in training.lives:
        placed.append(place(life, trail(life, seen), wanted, placed))
    difference = _first_difference(wanted, placed)
    match = None if not _compared_any(wanted, placed) else difference is None
    same, tensor = same_weights(baselines[0].artefact, training.artefact)
    return Compared(wanted, agreed(trails), tuple(placed), difference, match, same, tensor)


def trails_of(baselines: Sequence[Training]) -> list[Trail]:
    """What the probe saw, if it saw steps in the first one; else what was logged."""
    seen = any(life.probed and life.steps for life in baselines[0].lives)
    return [trail(one.lives[-1], seen) for one in baselines]


def _durables(placed: Placed) -> dict[str, int]:
    """Steps of the whole training in each checkpoint that the Life wrote."""
    start = placed.start
    return {} if start is None else {one.name: start + durable_at(placed.life, one) for one in placed.life.durables}


def _left(found: dict[str, int], life: Life) -> dict[str, int]:
    """What was still there and whole after the blow that ended `life`."""
    blow = life.blow
    if blow is None:
        return found
    if blow.left is not None:
        found = {name: step for name, step in found.items() if name in blow.left}
    parts = blow.damaged.split("/") if blow.damaged else []
    return {name: step for name, step in found.items() if name.split("/")[-1] not in parts}


def _first_difference(wanted: Trail, placed: Sequence[Placed]) -> Optional[Difference]:
    for one in placed:
        if one.start is None:
            continue
        for offset, step in enumerate(one.trail.steps):
            at = one.start + offset
            loss = wanted.steps[at].loss if at < len(wanted.steps) else None
            if loss != step.loss or at >= len(wanted.steps):
                return Difference(at, one.life.number, loss, step.loss)
    return _missing(wanted, placed)


def _missing(wanted: Trail, placed: Sequence[Placed]) -> Optional[Difference]:
    """Steps of the baseline that the last Life did not come to."""
    if not placed or placed[-1].end is None or placed[-1].end >= len(wanted.steps):
        return None
    return Difference(placed[-1].end, placed[-1].life.number, wanted.steps[placed[-1].end].loss, None)


def _compared_any(wanted: Trail, placed: Sequence[Placed]) -> bool:
    """Whether the last Life's losses could be laid over the baseline's. One that had no step left to do needs none."""
    last = placed[-1] if placed else None
    return last is not None and last.start is not None and any(step.loss is not None for step in wanted.steps)


def same_weights(wanted: Optional[Artefact], seen: Optional[Artefact]) -> tuple[Optional[bool], Optional[str]]:
    """Whether two finished models are the same, and the first tensor in which they are not; None where that is not known."""
    if wanted is None or seen is None:
        return None, None
    if wanted.digest == seen.digest:
        return True, None
    names = sorted({*wanted.tensors, *seen.tensors})
    differing = [name for name in names if wanted.tensors.get(name) != seen.tensors.get(name)]
    return False, differing[0] if differing else None
