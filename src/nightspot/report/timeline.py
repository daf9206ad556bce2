"""A night as one line of characters: what was held when. It can be read without colours, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from rich.text import Text

from nightspot.model.facts import AttemptFacts, RunFacts
from nightspot.report.words import Moments

SPOT, ON_DEMAND, NOTHING, FUTURE, TAKEN, DEADLINE = "▓", "█", "·", " ", "x", "│"
STYLES = {SPOT: "green", ON_DEMAND: "blue", NOTHING: "dim", TAKEN: "bold red", DEADLINE: "bold"}
LEGEND = f"{SPOT} Spot   {ON_DEMAND} on-demand   {NOTHING} nothing held   {TAKEN} interrupted   {DEADLINE} deadline"


@dataclass(frozen=True, slots=True)
class Frame:
    """Which time a line of `width` characters shows."""

    from_utc: float
    until_utc: float
    width: int

    def place(self, at_utc: float) -> int:
        """The character in which that instant lies."""
        share = (at_utc - self.from_utc) / max(self.until_utc - self.from_utc, 1e-9)
        return min(max(int(share * self.width), 0), self.width - 1)

    def span(self, place: int) -> tuple[float, float]:
        """The instants at which that character begins and ends."""
        step_s = (self.until_utc - self.from_utc) / self.width
        return self.from_utc + place * step_s, self.from_utc + (place + 1) * step_s


def timeline(facts: RunFacts, now_utc: float, width: int = 72) -> Text:
    """From the opening to the deadline, or to the end where that is later."""
    until_utc = facts.finished_utc if facts.finished_utc is not None else now_utc
    frame = Frame(min(facts.start_utc, facts.opened_utc), max(facts.deadline_utc, until_utc), max(width, 10))
    cells = [_cell(facts, frame.span(place), until_utc) for place in range(frame.width)]
    for at_utc in [at_utc for attempt in facts.attempts for at_utc in _taken_utc(attempt)]:
        cells[frame.place(at_utc)] = TAKEN
    cells[frame.place(facts.deadline_utc)] = DEADLINE
    return _with_times(cells, frame, Moments(facts.timezone))


def _cell(facts: RunFacts, cell: tuple[float, float], until_utc: float) -> str:
    """What was held for the longest part of that character; a short Attempt is shown rather than a wait, a probe only where it is alone."""
    held = [(a.role != "probe", _overlap_s(a, cell, until_utc), a.number) for a in facts.attempts]
    _, best_s, number = max(held, key=lambda one: (one[1] > 0, *one[:2], -one[2]), default=(False, 0.0, 0))
    if best_s > 0:
        return ON_DEMAND if facts.attempts[number - 1].market == "on-demand" else SPOT
    return NOTHING if cell[0] < until_utc else FUTURE


def _overlap_s(attempt: AttemptFacts, cell: tuple[float, float], until_utc: float) -> float:
    """In a queue nothing is held."""
    ends = [(span, span.until_utc if span.until_utc is not None else until_utc) for span in attempt.held]
    return sum(max(0.0, min(end_utc, cell[1]) - max(span.from_utc, cell[0])) for span, end_utc in ends)


def _taken_utc(attempt: AttemptFacts) -> Iterator[float]:
    """When its capacity was taken: each time it was put back into a queue, and in the end."""
    for span in attempt.held if attempt.role != "probe" else ():
        last = span is attempt.held[-1] and attempt.outcome == "interrupted"
        if span.until_utc is not None and (span.taken or last):
            yield span.until_utc


def _with_times(cells: list[str], frame: Frame, moments: Moments) -> Text:
    line = Text(f"{moments.minute(frame.from_utc)} ", no_wrap=True)
    for cell in cells:
        line.append(cell, STYLES.get(cell))
    return line.append(f" {moments.minute(frame.until_utc)}")
