"""Whether a script gives the same twice, and if not, what differs first and which switch to set. Pure."""

from __future__ import annotations

from typing import Optional, Sequence

from nightspot.drill.compare.laid import same_weights, trails_of
from nightspot.drill.compare.noise import streams, used_streams
from nightspot.drill.compare.place import Trail
from nightspot.drill.diagnose.words import mend
from nightspot.drill.record import Cause, Diagnosis, Life, Step, Training


def by_itself(baselines: Sequence[Training]) -> Optional[Diagnosis]:
    """None where all baselines have the same losses and weights, or where there is but one."""
    sound = [one for one in baselines if one.lives]
    if len(sound) < 2:
        return None
    trails = trails_of(sound)
    for number, other in enumerate(trails[1:], 1):
        same, tensor = same_weights(sound[0].artefact, sound[number].artefact)
        if (found := _first(trails[0], other)) is not None or same is False:
            return _diagnosis(sound[0].lives[-1], trails[0], other, found, tensor)
    return None


def _first(one: Trail, other: Trail) -> Optional[int]:
    """The first step whose losses differ."""
    if len(one.steps) != len(other.steps):
        return min(len(one.steps), len(other.steps))
    pairs = zip(one.steps, other.steps, strict=True)
    return next((at for at, (a, b) in enumerate(pairs) if a.loss != b.loss), None)


def _diagnosis(life: Life, one: Trail, other: Trail, at: Optional[int], tensor: Optional[str]) -> Diagnosis:
    if at is None:
        evidence, where = f"Losses are the same, finished models are not ({tensor or 'their bytes'}).", None
    elif at >= min(len(one.steps), len(other.steps)):
        evidence, where = f"They make {len(one.steps)} and {len(other.steps)} steps.", None
    else:
        evidence, where = _why(life, one, other, at)
        evidence = f"Losses of two uninterrupted trainings differ at step {at} ({one.steps[at].loss}, {other.steps[at].loss}). {evidence}"
    return Diagnosis(Cause.NONDETERMINISTIC, evidence, mend(Cause.NONDETERMINISTIC), where)


def _why(life: Life, one: Trail, other: Trail, at: int) -> tuple[str, Optional[str]]:
    """What the two began the differing step with."""
    first, second = one.steps[at], other.steps[at]
    if not one.seen:
        return "Seed every source of randomness.", None
    if one.steps[0].before != other.steps[0].before:
        return "The first weights differ already: seed before the model is made.", _seed_line(life)
    if first.batch != second.batch:
        return _about_data(life), _line(life, "loader") or _seed_line(life)
    if _moved(one, first, second):
        return "The data is the same, random states are not.", _seed_line(life)
    return (
        f"Weights, data and random states are the same: the kernels differ ({_flags(life)}).",
        "torch.use_deterministic_algorithms(True)",
    )


def _about_data(life: Life) -> str:
    workers = any("workers=" in (one.detail or "") and "workers=0" not in (one.detail or "") for one in life.touches)
    if workers:
        return "The batches differ: the order is not seeded, or loader workers augment with streams of their own (worker_init_fn)."
    seeded = any(one.what == "seed" for one in life.touches)
    if seeded:
        return "The batches differ: another source than the seeded one decides (sets and hashes: PYTHONHASHSEED=0; numpy; python's random)."
    return "The batches differ: nothing seeds the order."


def _moved(one: Trail, first: Step, second: Step) -> bool:
    used = used_streams(one.steps)
    return any(streams(first).get(name) != streams(second).get(name) for name in used)


def _seed_line(life: Life) -> str:
    return _line(life, "seed") or "torch.manual_seed(seed)"


def _line(life: Life, what: str) -> Optional[str]:
    return next((one.where for one in life.touches if one.what == what and one.where), None)


def _flags(life: Life) -> str:
    return next((one.detail or "" for one in life.touches if one.what == "flags"), "flags unknown")
