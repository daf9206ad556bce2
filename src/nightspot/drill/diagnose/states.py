"""Faults in what a Life goes on with: the step it begins at, optimizer, learning rate, data order, random states. Pure."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Callable, Optional

from nightspot.drill.compare.laid import Compared
from nightspot.drill.compare.noise import differing_states, differing_streams
from nightspot.drill.compare.place import same_batch
from nightspot.drill.diagnose.words import mend
from nightspot.drill.record import Case, Cause, Diagnosis, Life, Step, Touch, Training

_AFTER_SAVES = (Case.NOTICE, Case.KILL, Case.TWICE, Case.CLEAN_MACHINE)
NEVER_SAVED = (
    "It began anew, and in a whole training no checkpoint was seen. "
    "If the script names its folder itself, name it here, too: [drill] checkpoints."
)
_Differs = Callable[[Step, Step], bool]


def restarted(training: Training, compared: Compared, number: int) -> Optional[Diagnosis]:
    """It began with step 0 though there was something to go on from."""
    placed, kept = compared.placed[number], compared.kept(number)
    if placed.start == 0 and kept is None:
        return _nothing_left(training, compared, number)
    if placed.start != 0 or kept is None or kept.step == 0 or not placed.trail.steps:
        return None
    load = touched(training.lives[number], "load")
    how = f"It was loaded at {load.where}, but the model did not get it" if load else "Nothing was loaded"
    evidence = f"{kept.name} held {kept.step} steps, and the script began anew with step 0. {how}."
    return Diagnosis(Cause.RESTARTED, evidence, mend(Cause.RESTARTED), load.where if load else "torch.load")


def _nothing_left(training: Training, compared: Compared, number: int) -> Optional[Diagnosis]:
    """It began anew, and by its own fault: it never saves, or it had saved, and writes over the only checkpoint there is."""
    life, saved = training.lives[number], compared.saved(number)
    if training.case is Case.DURING_SAVE and saved is not None and saved.step > 0:
        evidence = f"{saved.name} had held {saved.step} steps, and the save that was interrupted had done away with it: all was lost."
        return Diagnosis(Cause.RESTARTED, evidence, mend(Cause.TORN), _last_write(training.lives[number - 1]))
    if training.case in _AFTER_SAVES and saved is None and not life.durables and life.exit_code == 0:
        return Diagnosis(Cause.RESTARTED, NEVER_SAVED, mend(Cause.RESTARTED))
    return None


def only_one(training: Training, compared: Compared) -> Optional[Diagnosis]:
    """It noticed the damage, had no other checkpoint, though it had saved more than once, and began anew: exact, and all work lost."""
    if training.case not in (Case.TRUNCATED, Case.FLIPPED):
        return None
    for number in range(1, len(training.lives)):
        saved, before = compared.saved(number), training.lives[:number]
        saves = sum(len(life.durables) for life in before)
        anew = compared.placed[number].start == 0 and compared.kept(number) is None
        if anew and saves > 1 and saved is not None and saved.step > 0:
            evidence = (
                f"{saves} saves had been made, {saved.name} was all that was kept of them, and held {saved.step} steps. "
                f"It was damaged, and the script began anew with step 0: all of them were lost."
            )
            return Diagnosis(Cause.ONLY_ONE, evidence, mend(Cause.ONLY_ONE), _last_write(before[-1]))
    return None


def _last_write(life: Life) -> Optional[str]:
    found = touched(life, "save") or touched(life, "rename") or touched(life, "write")
    return found.where if found else "torch.save"


def wrong_epoch(training: Training, compared: Compared, number: int) -> Optional[Diagnosis]:
    """It has the right weights, and then does more or fewer steps than are left."""
    placed, life = compared.placed[number], training.lives[number]
    if placed.start is None or placed.by in ("end", "nothing") or life.blow is not None or life.exit_code != 0:
        return None
    wanted, made = len(compared.baseline.steps) - placed.start, len(placed.trail.steps)
    if made == wanted or not placed.trail.steps:
        return None
    amount = _as_epochs(abs(made - wanted), compared)
    does = f"{amount} came twice" if made > wanted else f"{amount} was left out"
    evidence = (
        f"It went on with the weights of step {placed.start}, where {wanted} steps are left, and made {made}: {does}."
    )
    return Diagnosis(Cause.WRONG_EPOCH, evidence, mend(Cause.WRONG_EPOCH), _load_line(life, "start_epoch = ..."))


def optimizer(training: Training, compared: Compared, number: int) -> Optional[Diagnosis]:
    """Its state is another one than at that step before."""
    if "optimizer" not in _differing(compared, number):
        return None
    life = training.lives[number]
    given = _given(life, "optimizer")
    how = (
        f"optimizer.load_state_dict was called at {given.where}, but not with what was saved last"
        if given
        else _never("optimizer")
    )
    evidence = f"Weights are as saved at step {compared.placed[number].start}, the optimizer's state is not. {how}."
    where = (given.where if given else None) or _load_line(life, "optimizer.load_state_dict")
    return Diagnosis(Cause.OPTIMIZER, evidence, mend(Cause.OPTIMIZER), where)


def scheduler(training: Training, compared: Compared, number: int) -> Optional[Diagnosis]:
    """The learning rate is another one, at any step of the Life."""
    found = _first(compared, number, lambda step, wanted: bool(wanted.lrs) and step.lrs != wanted.lrs)
    if found is None:
        return None
    at, step, wanted = found
    life = training.lives[number]
    made, given = touched(life, "scheduler"), _given(life, "scheduler")
    if given is not None and "optimizer" in _differing(compared, number):
        return None  # many a scheduler counts on the rate that the optimizer keeps
    how = f"scheduler.load_state_dict was called at {given.where}" if given else _never("scheduler")
    evidence = f"At step {at} the learning rate was {_rates(step)} where it should be {_rates(wanted)}. {how}."
    where = (made.where if made else None) or _load_line(life, "scheduler.load_state_dict")
    return Diagnosis(Cause.SCHEDULER, evidence, mend(Cause.SCHEDULER), where)


def data_order(training: Training, compared: Compared, number: int) -> Optional[Diagnosis]:
    """The first batch is that of the very first step."""
    placed = compared.placed[number]
    if "batch" not in _differing(compared, number) or not _replays(compared, number):
        return None
    life = training.lives[number]
    evidence = f"At step {placed.start} it got the batch of step 0 again: the epoch that follows sees the data in epoch 0's order."
    return Diagnosis(Cause.DATA_ORDER, evidence, mend(Cause.DATA_ORDER), _order_line(life))


def random_states(training: Training, compared: Compared, number: int) -> Optional[Diagnosis]:
    """Another order of data that is not epoch 0's, or other random states with the same data."""
    life, differing = training.lives[number], _differing(compared, number)
    if "batch" in differing and _replays(compared, number):
        return None
    if (found := _first(compared, number, lambda step, wanted: not same_batch(step.batch, wanted.batch))) is not None:
        evidence = f"At step {found[0]} it got another batch than before: the data was shuffled anew. {_restored(life)}"
        return Diagnosis(Cause.RANDOM, evidence, mend(Cause.RANDOM), _order_line(life))
    if "random" not in differing:
        return None
    at, step, wanted = _start(compared, number)
    names = " and ".join(differing_streams(compared, step, wanted))
    evidence = f"At step {at} the data was right, but the random state of {names} was not: dropout and the like differ. {_restored(life)}"
    return Diagnosis(Cause.RANDOM, evidence, mend(Cause.RANDOM), _load_line(life, "torch.set_rng_state"))


def touched(life: Life, what: str) -> Optional[Touch]:
    """The last touch of that kind with a place in the user's code."""
    return next((one for one in reversed(life.touches) if one.what == what and one.where), None)


def _given(life: Life, kind: str) -> Optional[Touch]:
    loads = [one for one in life.touches if one.what == "load_state_dict" and (one.detail or "").startswith(kind)]
    return loads[-1] if loads else None


def _never(name: str) -> str:
    return f"{name}.load_state_dict was never called"


def _load_line(life: Life, otherwise: str) -> str:
    load = touched(life, "load") or touched(life, "load_state_dict") or touched(life, "read")
    return (load.where if load else None) or otherwise


def _order_line(life: Life) -> str:
    loader = touched(life, "loader") or touched(life, "seed")
    return (loader.where if loader else None) or _load_line(life, "torch.manual_seed")


def _restored(life: Life) -> str:
    names = sorted({one.detail or "" for one in life.touches if one.what == "random"})
    return f"States of {', '.join(names)} were set." if names else "No random state was set."


def _rates(step: Step) -> str:
    return ", ".join(f"{rate:.6g}" for rate in step.lrs)


def _start(compared: Compared, number: int) -> tuple[int, Step, Step]:
    placed = compared.placed[number]
    start = placed.start or 0
    first = placed.trail.steps[0]
    return start, first, compared.reference(number, start) or first


def _differing(compared: Compared, number: int) -> tuple[str, ...]:
    """What the Life's first step began with otherwise than that step before. Nothing is said of a Life that is not at its step."""
    placed = compared.placed[number]
    if placed.start is None or not placed.trail.steps or not placed.trail.seen:
        return ()
    _, first, wanted = _start(compared, number)
    return differing_states(compared, first, wanted)


def _first(compared: Compared, number: int, differs: _Differs) -> Optional[tuple[int, Step, Step]]:
    placed = compared.placed[number]
    if placed.start is None or not placed.trail.seen:
        return None
    for at, step in enumerate(placed.trail.steps, placed.start):
        wanted = compared.reference(number, at)
        if wanted is not None and differs(step, wanted):
            return at, step, wanted
    return None


def _replays(compared: Compared, number: int) -> bool:
    """Whether the Life's first batch is that of the whole training's first step, and comes when something else was due."""
    placed, very_first = compared.placed[number], compared.placed[0].step(0)
    if not placed.start or very_first is None or very_first.batch is None:
        return False
    return same_batch(placed.trail.steps[0].batch, very_first.batch)


def _as_epochs(steps: int, compared: Compared) -> str:
    """In epochs, where the baseline's saves tell their length."""
    length = _epoch_steps(compared)
    if length and steps % length == 0:
        return "one epoch" if steps == length else f"{steps // length} epochs"
    return f"{steps} steps"


def _epoch_steps(compared: Compared) -> Optional[int]:
    saves = [one.at_index for one in compared.placed[0].life.touches if one.what == "save"]
    gaps = Counter(late - early for early, late in pairwise(saves) if late > early)
    return gaps.most_common(1)[0][0] if gaps else (saves[0] if saves else None)
