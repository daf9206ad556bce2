"""Why an interrupted training did not come out as the uninterrupted ones. Pure.

The causes are asked in a fixed order, so that of several faults the one is named first that hides the others: it crashed; a damaged file
was loaded; restarted; wrong epoch; optimizer; scheduler; data order; random states; and only then that the script differs by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

from nightspot.drill.compare.laid import Compared
from nightspot.drill.diagnose import files, states
from nightspot.drill.diagnose.words import mend
from nightspot.drill.record import Case, Cause, Diagnosis, Life, Training

Check = Callable[[Training, Compared, int], Optional[Diagnosis]]
LEFT_AS_TOLD = 75

IN_ORDER: tuple[Check, ...] = (
    files.crashed,
    files.damaged_loaded,
    states.restarted,
    states.wrong_epoch,
    states.optimizer,
    states.scheduler,
    states.data_order,
    states.random_states,
)


EXPLAINS_ALL = (Cause.CRASHED, Cause.TORN, Cause.CORRUPT, Cause.RESTARTED, Cause.WRONG_EPOCH)


@dataclass(frozen=True, slots=True)
class Found:
    """A fault, and the Life that showed it."""

    diagnosis: Diagnosis
    life: int


def faults(training: Training, compared: Compared) -> tuple[Found, ...]:
    """All that can be seen: the chief one first, each of the first Life that shows it. Some explain whatever else is seen, and what only
    a later Life than the chief one's shows may follow from it."""
    found: list[Found] = []
    for check in IN_ORDER:
        shown = ((check(training, compared, number), number) for number in range(1, len(training.lives)))
        found += [Found(diagnosis, number) for diagnosis, number in shown if diagnosis is not None][:1]
        if found and found[-1].diagnosis.cause in EXPLAINS_ALL:
            break
    return tuple(one for one in found if one.life <= found[0].life)


def unplayed(training: Training) -> Optional[Diagnosis]:
    """Of a case that could not be played at all."""
    if training.fault is None:
        return None
    cause = training.cause or Cause.UNKNOWN
    return Diagnosis(cause, training.fault, mend(cause))


def unexplained(compared: Compared, deterministic: Optional[Diagnosis]) -> Diagnosis:
    """Nothing else explains it. deterministic: what the baselines showed, None where they are the same."""
    if deterministic is not None:
        return deterministic
    first = compared.difference
    if compared.loss_match is None and compared.weights_match is None:
        evidence = "Neither losses nor a finished model were seen that could be compared."
        return Diagnosis(Cause.UNKNOWN, evidence, "Name losses, loss_pattern or artifact in [drill].")
    if first is not None and first.life == 0:
        evidence = f"The losses differ at step {first.step} already, before anything was done to it: {first.wanted}, then {first.seen}."
        return Diagnosis(Cause.NONDETERMINISTIC, evidence, mend(Cause.NONDETERMINISTIC))
    if first is not None:
        evidence = (
            f"From step {first.step} on the losses differ ({first.wanted}, then {first.seen}), {_seen(compared)}."
        )
    else:
        evidence = (
            f"The losses are the same, the finished model is not: {compared.tensor or 'its bytes'} differs first."
        )
    return Diagnosis(Cause.UNKNOWN, evidence, mend(Cause.UNKNOWN))


def _seen(compared: Compared) -> str:
    if compared.baseline.seen:
        return "though weights, optimizer, rates, data and random states were all as saved"
    return "and the drill cannot look into scripts without torch's optimizers: compare what the script saves with what it computes with"


def _saved_since(index: int, life: Life) -> bool:
    return any(one.at_index >= index for one in life.durables)


def ignored_notice(training: Training, compared: Compared, redone_steps: Optional[int]) -> Optional[Diagnosis]:
    """Of a script that came out right, but did over what it could have saved in time."""
    if training.case is not Case.NOTICE or not redone_steps or not training.lives:
        return None
    life = training.lives[0]
    if life.blow is not None and life.exit_code == LEFT_AS_TOLD and _saved_since(life.blow.at_index, life):
        return None  # it saved; that this never came to where the next start could find it is not its fault
    how = "SIGTERM ended it" if life.exit_code in (143, -15) else "it went on until it was killed"
    evidence = f"Told at step {compared.killed(0)} that its end was near it saved nothing: {how}, and {redone_steps} steps were redone."
    return Diagnosis(Cause.IGNORED_NOTICE, evidence, mend(Cause.IGNORED_NOTICE), "signal.signal(signal.SIGTERM, ...)")
