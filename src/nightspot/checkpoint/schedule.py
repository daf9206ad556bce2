"""When the next checkpoint is due. Reads no clock: times are seconds of one monotonic clock, and arguments."""

from __future__ import annotations

import math

from nightspot.checkpoint.cost import SaveCost
from nightspot.checkpoint.durations import about
from nightspot.checkpoint.hazard import Hazard
from nightspot.checkpoint.interval import LONGEST_S, Choice, Kind, Rule, choose

FIRST_OF_LONGEST = 1 / 15  # of 15 minutes: by then one save has shown what they cost
NEWS_RATIO = 1.25  # "auto" says so when its interval has changed by more than a quarter
WORTH_TELLING = 0.05
ROUNDING = 1e-9  # units are often a sum of floats: 2.9999999999 epochs are 3


class Schedule:
    """Counts steps, measures what saves cost, and says when one is due. One for each Session.

    longest_s: what "auto" never exceeds, unless a save itself takes longer.
    """

    def __init__(self, rule: Rule, hazard: Hazard | None = None, longest_s: float = LONGEST_S) -> None:
        self.rule, self.cost = rule, SaveCost()
        self._hazard, self._longest_s = hazard or Hazard(), longest_s
        self._began_s = self._last_s = -math.inf  # of the training here; of the last snapshot, or the try of one
        self._steps, self._units, self._last_units = 0, 0.0, 0.0
        self._told_s: float | None = None

    def begin(self, now_s: float, units_done: float) -> None:
        """Training begins, or goes on from `units_done`."""
        self._began_s = self._last_s = now_s
        self._units = self._last_units = units_done

    def due(self, now_s: float, units_done: float) -> bool:
        """One more step has ended: once a step, before anything else happens in it. Stays true until a snapshot or a failure."""
        self.cost.stepped(now_s)
        self._steps, self._units = self._steps + 1, units_done
        if self.rule.kind is Kind.STEPS:
            return self._steps >= self.rule.amount
        if self.rule.kind is Kind.UNITS:
            return self._multiple(units_done) > self._multiple(self._last_units)
        return now_s - self._last_s >= self.choice(now_s).interval_s

    def ahead(self, now_s: float, stall_s: float) -> None:
        """Tables of the save that is due are being copied ahead; to begin that held training up for `stall_s`."""
        self.cost.ahead(now_s, stall_s)

    def snapshot(self, now_s: float, stall_s: float) -> None:
        """A save, asked for by whomever, has its snapshot and training goes on. stall_s: for how long it held training up."""
        self.cost.snapshot(now_s, stall_s)
        self._count_from(now_s)

    def saved(self, now_s: float, save_s: float, made: object = None) -> None:  # noqa: ARG002 - what every listener hears
        """The save in flight is durable, `save_s` after it began."""
        self.cost.saved(save_s)

    def failed(self, now_s: float) -> None:
        """It failed; the next one is due after a whole interval."""
        self.cost.failed()
        self._count_from(now_s)

    def choice(self, now_s: float) -> Choice:
        """The interval in force, in seconds. For steps and units: inf, they do not look at the clock."""
        if self.rule.kind is Kind.TIME:
            return Choice(self.rule.amount)
        if self.rule.kind is not Kind.AUTO:
            return Choice(math.inf)
        chosen = choose(self.cost.cost_s, self.cost.save_s, self._mean_s(now_s), self._longest_s)
        first_s = self._longest_s * FIRST_OF_LONGEST
        return chosen if self.cost.known or chosen.interval_s <= first_s else Choice(first_s, "to measure a first save")

    def news(self, now_s: float) -> str | None:
        """The reasoning of "auto", once a save was measured, and when the interval has changed by more than a quarter since."""
        if self.rule.kind is not Kind.AUTO or not self.cost.known:
            return None
        interval_s = self.choice(now_s).interval_s
        if self._told_s is not None and self._told_s / NEWS_RATIO <= interval_s <= self._told_s * NEWS_RATIO:
            return None
        self._told_s = interval_s
        return self.explain(now_s)

    def explain(self, now_s: float) -> str:
        """The interval and its reasons in one line."""
        if self.rule.kind is not Kind.AUTO:
            return f"a checkpoint every {self.rule.text}"
        choice, cost = self.choice(now_s), self.cost
        measured = f"a save costs {_parted(cost)} and is durable after {short(cost.save_s)}"
        bound = f" ({choice.bound})" if choice.bound else ""
        return (
            f"auto interval: {short(choice.interval_s)}{bound}: {measured if cost.known else 'no save was measured yet'}; "
            f"{self._hazard_in_words(now_s)}; at worst {short(choice.interval_s + cost.save_s)} of work are lost"
        )

    def _hazard_in_words(self, now_s: float) -> str:
        mean_s = self._mean_s(now_s)
        if mean_s == math.inf:
            return "no interruption is expected"
        return f"an interruption comes every {short(mean_s)}, {self._hazard.source}"

    def _mean_s(self, now_s: float) -> float:
        return self._hazard.mean_s(max(0.0, now_s - self._began_s))

    def _multiple(self, units: float) -> int:
        return math.floor(units / self.rule.amount * (1 + ROUNDING))

    def _count_from(self, now_s: float) -> None:
        self._last_s, self._steps, self._last_units = now_s, 0, self._units


def _parted(cost: SaveCost) -> str:
    """In words, and how much of it is no standstill, where that is worth telling."""
    whole = f"{short(cost.cost_s)} of training"
    if cost.slower_s < WORTH_TELLING * cost.cost_s or not cost.slower_s:
        return whole
    return f"{whole} ({short(cost.cost_s - cost.slower_s)} at a standstill, {short(cost.slower_s)} by slower steps beside it)"


def short(seconds: float) -> str:
    """A measured time for people: "0.042s", "3.4s", "2min10s", "3h"."""
    return f"{round(seconds, 4):.2g}s" if seconds < 10 else about(seconds)
