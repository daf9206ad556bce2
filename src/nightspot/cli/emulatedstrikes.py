"""Where the drill through the emulator strikes: drawn as in the drill without one, and ordered while the probe holds the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

from nightspot.drill.cases import FIRST_STEP, NEVER_SAVED, NO_STEPS, TOO_SHORT
from nightspot.drill.record import Case
from nightspot.drill.seen.facts import Chooser, Facts
from nightspot.emulator.orders import KILL, NOTICE

LOOK = "look"
SPOILING = (Case.TRUNCATED, Case.FLIPPED)
OF_SAVES = (Case.DURING_SAVE, Case.AFTER_SAVE, *SPOILING)


@dataclass(frozen=True, slots=True)
class Strike:
    """An order after so many steps of a Life; LOOK: none, its folder of checkpoints is looked at. synced: only when what is saved has come
    to the bucket. spoils: the newest checkpoint in there is damaged, as that case does."""

    hold: int
    how: str = KILL
    synced: bool = True
    spoils: Optional[Case] = None


def strikes_of(case: Case, facts: Facts, seed: int) -> Sequence[Strike] | str:
    """Where it is interrupted; nowhere by step within a save; or why it cannot be, in words."""
    choose = Chooser(facts, seed)
    if facts.steps == 0 or facts.by_lines:
        return NO_STEPS
    if case in OF_SAVES and not facts.saves:
        return NEVER_SAVED
    if case is Case.DURING_SAVE:
        return []
    if case is Case.BEFORE_FIRST:
        return _before_first(choose, facts)
    if case is Case.AFTER_SAVE:
        return _after_save(choose, facts)
    early, saves_before = case in (Case.NOTICE, Case.TWICE), 2 if case in SPOILING else 1
    step = choose.early(case) if early else choose.step(case, saves_before)
    if step is None:
        return TOO_SHORT
    if case is Case.NOTICE:
        return [Strike(step, NOTICE)]
    first = Strike(step, spoils=case if case in SPOILING else None)
    return [first, _second(step, facts)] if case is Case.TWICE else [first]


def _before_first(choose: Chooser, facts: Facts) -> Sequence[Strike] | str:
    if facts.first_save is not None and facts.first_save < 1:
        return FIRST_STEP
    step = choose.before_first()
    return TOO_SHORT if step is None else [Strike(step, synced=False)]


def _after_save(choose: Chooser, facts: Facts) -> Sequence[Strike] | str:
    """The step after one: it has come to the bucket by then."""
    number = choose.save(Case.AFTER_SAVE)
    return TOO_SHORT if number is None else [Strike(facts.saves[number - 1] + 1)]


def _second(first: int, facts: Facts) -> Strike:
    """Soon after the resume, before another checkpoint."""
    done = max([index for index in facts.saves if index < first], default=0)
    return Strike(max(1, min(first - done + 1, facts.steps - done - 1)))
