"""Which step of the whole training a Life begins with. By its weights; else by what it told, its batches, or by counting from the end.

Pure. A Trail is what the probe saw, or, of scripts that it cannot look into, the losses that they logged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Optional, Sequence

from nightspot.drill.record import Durable, Life, Step


@dataclass(frozen=True, slots=True)
class Trail:
    """Steps of one Life. told: the script's own number for each, where steps are logged losses. seen: by the probe."""

    steps: tuple[Step, ...]
    told: tuple[Optional[float], ...]
    seen: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """A Life and where it began. start: None where nothing tells; by: what told."""

    life: Life
    trail: Trail
    start: Optional[int]
    by: str

    @property
    def end(self) -> Optional[int]:
        """Steps done over the whole training at its end."""
        return None if self.start is None else self.start + len(self.trail.steps)

    def step(self, number: int) -> Optional[Step]:
        """Step `number` of the whole training, if this Life made it."""
        offset = -1 if self.start is None else number - self.start
        return self.trail.steps[offset] if 0 <= offset < len(self.trail.steps) else None


def trail(life: Life, seen: bool) -> Trail:  # noqa: FBT001
    """`seen`: take what the probe saw."""
    if seen:
        return Trail(life.steps, (None,) * len(life.steps), seen=True)
    steps = tuple(Step(index, loss=one.loss) for index, one in enumerate(life.logged))
    return Trail(steps, tuple(one.step for one in life.logged), seen=False)


def place(life: Life, found: Trail, baseline: Trail, earlier: Sequence[Placed]) -> Placed:
    """Try, in this order: weights, told numbers, losses, counting from the end, batches."""
    if not earlier:
        return Placed(life, found, 0, "first")
    if not found.steps:
        return Placed(life, found, len(baseline.steps) if _ended(life) else None, "end")
    for by, start in (
        ("weights", _by_weights(found, baseline, earlier)),
        ("told", _by_told(found, baseline)),
        ("losses", _by_losses(found, baseline)),
        ("end", _by_end(life, found, baseline)),
        ("batches", _by_batches(found, baseline)),
    ):
        if start is not None:
            return Placed(life, found, start, by)
    return Placed(life, found, None, "nothing")


def durable_at(life: Life, durable: Durable) -> int:
    """Steps that the Life had done when it saved it: by its own call of torch.save or rename, else as the drill noticed."""
    if not life.probed:
        return durable.at_index
    name = durable.name.split("/")[-1]
    saves = [t.at_index for t in life.touches if t.what in ("save", "rename") and (t.path or "").split("/")[-1] == name]
    return max((index for index in saves if index <= durable.at_index), default=durable.at_index)


def same_batch(one: Optional[str], other: Optional[str]) -> bool:
    """Whether the last of what was handed out is the same. The first step of a Life may have more before it (batches skipped to
    come to the right place, fetched ahead), or less (a validation between two epochs that the earlier Life made)."""
    if one is None or other is None:
        return True  # not known
    ones, others = one.split(","), other.split(",")
    shared = min(len(ones), len(others))
    return ones[-shared:] == others[-shared:]


def agreed(trails: Sequence[Trail]) -> tuple[Step, ...]:
    """The first one's steps, with None in whatever is not the same in all: nothing can be compared with that."""
    if len({len(one.steps) for one in trails}) != 1:
        return ()
    return tuple(_common([one.steps[at] for one in trails]) for at in range(len(trails[0].steps)))


def _common(steps: Sequence[Step]) -> Step:
    def same(name: str) -> bool:
        return len({getattr(step, name) for step in steps}) == 1

    differing: dict[str, Any] = dict.fromkeys(
        name for name in ("loss", "batch", "before", "after", "optimizer") if not same(name)
    )
    lrs = steps[0].lrs if same("lrs") else ()
    shared = set.intersection(*(set((step.random or "").split()) for step in steps))
    random = " ".join(part for part in (steps[0].random or "").split() if part in shared)
    return replace(steps[0], lrs=lrs, random=random or None, **differing)


def _ended(life: Life) -> bool:
    return life.exit_code == 0 and life.blow is None


def _by_weights(found: Trail, baseline: Trail, earlier: Sequence[Placed]) -> Optional[int]:
    first = found.steps[0]
    if first.before is None:
        return None
    whole = [(0, baseline), *((one.start, one.trail) for one in reversed(earlier) if one.start is not None)]
    rows = [(start + offset, step) for start, one in whole for offset, step in enumerate(one.steps)]
    if found_before := [(at, step) for at, step in rows if step.before == first.before]:
        return _likeliest(first, found_before)
    after = [at + 1 for at, step in rows if step.after == first.before]
    return max(after, default=None)


def _likeliest(first: Step, rows: Sequence[tuple[int, Step]]) -> int:
    """Of steps with the same weights (a rate of 0 leaves them): the one that is alike in most."""

    def alike(row: tuple[int, Step]) -> tuple[bool, bool, bool]:
        step = row[1]
        return (step.optimizer == first.optimizer, same_batch(step.batch, first.batch), step.lrs == first.lrs)

    return max(rows, key=alike)[0]


def _by_told(found: Trail, baseline: Trail) -> Optional[int]:
    told = found.told[0]
    return baseline.told.index(told) if told is not None and told in baseline.told else None


def _by_losses(found: Trail, baseline: Trail) -> Optional[int]:
    """All losses of the Life in a row, bit for bit."""
    if found.seen:
        return None
    wanted, losses = [step.loss for step in found.steps], [step.loss for step in baseline.steps]
    starts = range(len(losses) - len(wanted), -1, -1)
    return next((start for start in starts if losses[start : start + len(wanted)] == wanted), None)


def _by_end(life: Life, found: Trail, baseline: Trail) -> Optional[int]:
    left = len(baseline.steps) - len(found.steps)
    return left if _ended(life) and left >= 0 else None


def _by_batches(found: Trail, baseline: Trail) -> Optional[int]:
    first = found.steps[0].batch
    if first is None:
        return None
    same = [at for at, step in enumerate(baseline.steps) if step.batch and same_batch(step.batch, first)]
    return same[0] if len(same) == 1 else None
