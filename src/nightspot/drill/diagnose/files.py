"""Faults in reading checkpoint files: a start that crashes, a torn file, a corrupt one. Pure."""

from __future__ import annotations

import re
from typing import Optional

from nightspot.drill.compare.laid import Compared
from nightspot.drill.compare.noise import differing_states
from nightspot.drill.diagnose.words import mend
from nightspot.drill.record import Blow, Case, Cause, Diagnosis, Life, Touch, Training

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_FOREIGN = ("site-packages", "dist-packages", "/lib/python", "<frozen")
NOBODYS = "weights that no step before had"
# What no content of a file brings about: something that the start before left, most likely.
_NO_CONTENT = re.compile(
    r"FileExistsError|BlockingIOError|PermissionError|ModuleNotFoundError|[Aa]ddress already in use"
)
_TORN = (Case.TRUNCATED, Case.DURING_SAVE)


def crashed(training: Training, _compared: Compared, number: int) -> Optional[Diagnosis]:
    """The script ended with an error after it was started again."""
    life, blow = training.lives[number], _last_blow(training, number)
    if life.exit_code == 0 or life.blow is not None:
        return None
    load = failed_load(life)
    said = _last_line(life.tail) or f"exit code {life.exit_code}"
    where = (load.where if load is not None else None) or _where(life.tail)
    if _NO_CONTENT.search(said) is not None:
        return Diagnosis(Cause.CRASHED, f"Started again, it failed: {said}", mend(Cause.CRASHED), where)
    if training.case in _TORN and not life.steps:
        evidence = f"{_what(training.case, blow, load)}; the script loaded it all the same and failed: {said}"
        return Diagnosis(Cause.TORN, evidence, mend(Cause.TORN), where)
    if training.case is Case.FLIPPED and not life.steps:
        evidence = f"{_what(training.case, blow, load)}; the script failed on it, and tried no older one: {said}"
        return Diagnosis(Cause.CRASHED, evidence, mend(Cause.CORRUPT), where)
    return Diagnosis(Cause.CRASHED, f"Started again, it failed: {said}", mend(Cause.CRASHED), where)


def damaged_loaded(training: Training, compared: Compared, number: int) -> Optional[Diagnosis]:
    """A damaged file was read without a word, and its content is in the training now."""
    blow = _last_blow(training, number)
    if blow is None or not (blow.damaged or (blow.torn and training.case is Case.DURING_SAVE)):
        return None
    load, spoilt = _reading(training.lives[number], blow), _with(compared, number)
    if not spoilt or (load is None and spoilt != NOBODYS):
        return None
    cause = Cause.CORRUPT if training.case is Case.FLIPPED else Cause.TORN
    evidence = f"{_what(training.case, blow, load)}; the script loaded it without a word, and trains on with {spoilt}"
    return Diagnosis(cause, evidence, mend(cause), load.where if load else None)


def _last_blow(training: Training, number: int) -> Optional[Blow]:
    """What was done before Life `number`; a Life that failed by itself is started again without any."""
    return next((one.blow for one in reversed(training.lives[:number]) if one.blow is not None), None)


def failed_load(life: Life) -> Optional[Touch]:
    """The last torch.load that failed."""
    failed = [one for one in life.touches if one.what == "load" and (one.detail or "").startswith("failed")]
    return failed[-1] if failed else None


def _reading(life: Life, blow: Blow) -> Optional[Touch]:
    """The touch that loaded the damaged file; without a name any that loaded one. Reading counts, say to take its hash, where a script
    never calls torch.load."""
    reads = [
        one for one in life.touches if one.what in ("load", "read") and not (one.detail or "").startswith("failed")
    ]
    loads = [one for one in reads if one.what == "load"]
    named = [one for one in loads or reads if one.path and (not blow.damaged or one.path.endswith("/" + blow.damaged))]
    return named[0] if named else None


def _with(compared: Compared, number: int) -> str:
    """What begins otherwise than any step before; of a script that cannot be looked into, whether its losses do."""
    placed = compared.placed[number]
    if not placed.trail.seen:
        return "" if compared.difference is None and compared.weights_match else "other numbers"
    if not placed.trail.steps or placed.start is None:
        return "" if compared.weights_match else "other weights"
    if placed.by != "weights":
        return NOBODYS if placed.start else ""
    first, wanted = placed.trail.steps[0], compared.reference(number, placed.start)
    differing = () if wanted is None else differing_states(compared, first, wanted)
    return "an optimizer state that no step before had" if "optimizer" in differing else ""


def _what(case: Optional[Case], blow: Optional[Blow], load: Optional[Touch]) -> str:
    loaded = load.path.split("/")[-1] if load is not None and load.path else None
    name = (blow.damaged if blow else None) or loaded or "The newest checkpoint"
    if case is Case.FLIPPED:
        return f"One bit of {name} was changed"
    return f"{name} was cut short" if case is Case.TRUNCATED else f"{name} was half written when the script was killed"


def _last_line(tail: str) -> str:
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    return lines[-1].split(". ")[0][:200] if lines else ""


def _where(tail: str) -> Optional[str]:
    """The innermost line of the user's own in a traceback."""
    frames = [(path, line) for path, line in _FRAME.findall(tail) if not any(part in path for part in _FOREIGN)]
    return f"{frames[-1][0]}:{frames[-1][1]}" if frames else None
