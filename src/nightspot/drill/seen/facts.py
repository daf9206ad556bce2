"""What an undisturbed training tells about where to strike: how many steps it has, and which saves lie between them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Mapping, Optional, Sequence

from nightspot.drill.record import Case

AFTER_ALL = 0.85  # of the steps: a notice that is passed over this long is no notice


@dataclass(frozen=True, slots=True)
class Facts:
    """steps: of the whole training. saves: after which of them it saved, in order. by_protocol: it says so itself, as
    docs/training-protocol.md has it. by_lines: steps are counted by loss lines. units: of the whole work, where it tells them.
    usual_bytes: see `saves.unfinished`; beside: what else lies in the folder. seconds: how long it took; memory_bytes: the
    most it had at a time.
    """

    steps: int
    saves: tuple[int, ...]
    by_protocol: bool
    by_lines: bool
    units: Optional[float]
    usual_bytes: Mapping[str, Mapping[str, int]]
    beside: frozenset[str]
    seconds: float
    memory_bytes: int = 0

    @property
    def first_save(self) -> Optional[int]:
        """The first of them; None where it never saves."""
        return self.saves[0] if self.saves else None


@dataclass(frozen=True, slots=True)
class Chooser:
    """Steps to strike at, drawn by seed: the same seed and the same training give the same steps."""

    facts: Facts
    seed: int
    _cases: tuple[Case, ...] = field(default=tuple(Case))

    def draw(self, case: Case) -> random.Random:
        """A source of its own for each case: that one is left out changes no other."""
        return random.Random(f"{self.seed}/{case.value}")  # noqa: S311 - chooses steps, not secrets

    def step(self, case: Case, saves_before: int = 1) -> Optional[int]:
        """Between two saves, after so many of them, before the end. None where there is no such step."""
        candidates = self._between(saves_before, self.facts.steps - 1)
        return self.draw(case).choice(candidates) if candidates else None

    def early(self, case: Case, saves_before: int = 1) -> Optional[int]:
        """The same, in the first two thirds: something is to follow."""
        candidates = self._between(saves_before, max(2, self.facts.steps * 2 // 3))
        return self.draw(case).choice(candidates) if candidates else self.step(case, saves_before)

    def before_first(self) -> Optional[int]:
        """Before there is any checkpoint."""
        last = (
            self.facts.steps - 1 if self.facts.first_save is None else min(self.facts.first_save, self.facts.steps - 1)
        )
        return self.draw(Case.BEFORE_FIRST).randint(1, max(1, last // 2)) if last >= 1 else None

    def latest(self, step: int) -> int:
        """Where a notice that was given at `step` is over, however long its grace."""
        return max(step + 1, int(self.facts.steps * AFTER_ALL))

    def save(self, case: Case) -> Optional[int]:
        """Number of a save, from 1, that is not the last one."""
        inner = [number for number, index in enumerate(self.facts.saves, 1) if index < self.facts.steps]
        if self.facts.by_lines:  # counted a little late: the order of saves is surer than their steps
            inner = list(range(1, len(self.facts.saves)))
        return self.draw(case).choice(inner) if inner else None

    def _between(self, saves_before: int, end: int) -> list[int]:
        """Steps from 1 to end: best in the middle between saves, else anywhere after enough of them, else anywhere."""
        saves = self.facts.saves
        nth = saves[min(saves_before, len(saves)) - 1] if saves else 0
        after = [step for step in range(nth + 1, end + 1) if step < self.facts.steps]
        return self._inside(after) or after or list(range(1, self.facts.steps))

    def _inside(self, steps: Sequence[int]) -> list[int]:
        """Those that neither are a save's step nor follow it at once. What cannot be held goes on a little: room is left for that."""
        saves = self.facts.saves
        near = {*saves, *[save + 1 for save in saves]}
        if self.facts.by_lines:
            near |= {save - back for save in saves for back in (1, 2)}
        return [step for step in steps if step not in near]
