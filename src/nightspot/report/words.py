"""Numbers as people read them: spans, money, moments of a night. One way of saying each, for every report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from nightspot.jobfile import format_duration
from nightspot.model.facts import RunFacts

STAMP = "%a %d %b %Y %H:%M"


def span(seconds: float) -> str:
    """How long: to the second below ten minutes, to the minute above."""
    step_s = 60 if abs(seconds) >= 600 else 1
    return format_duration(round(seconds / step_s) * step_s)


def money(usd: float) -> str:
    """Dollars and cents; a tenth of a cent where it is less than ten cents."""
    digits = 3 if 0 < abs(usd) < 0.1 else 2
    return f"-${-usd:.{digits}f}" if usd < 0 else f"${usd:.{digits}f}"


def count(number: float) -> str:
    """A number of units: whole where it is whole, else to a hundredth."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def shortened(text: str, most: int = 240) -> str:
    """A sentence of somebody else's, where it would fill the screen."""
    return text if len(text) <= most else f"{text[: most - 3].rstrip()}..."


def plural(number: int, word: str) -> str:
    """ "1 attempt", "2 attempts"."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def units(number: float, unit: str) -> str:
    """ "1 epoch", "2.5 epochs"."""
    return f"{count(number)} {unit}" if number == 1 or unit.endswith("s") else f"{count(number)} {unit}s"


@dataclass(frozen=True, slots=True)
class Moments:
    """Instants as the clocks on the job's wall show them."""

    timezone: str = "UTC"

    def clock(self, at_utc: float) -> str:
        """The time of day, to the second."""
        return self._local(at_utc).strftime("%H:%M:%S")

    def minute(self, at_utc: float) -> str:
        """The time of day, to the minute."""
        return self._local(at_utc).strftime("%H:%M")

    def full(self, at_utc: float) -> str:
        """Day and time, in the job's zone and in UTC."""
        local = f"{self._local(at_utc).strftime(STAMP)} {self.timezone}"
        if self.timezone == "UTC":
            return local
        return f"{local} ({datetime.fromtimestamp(at_utc, timezone.utc).strftime('%H:%M')} UTC)"

    def night(self, at_utc: float) -> str:
        """The date."""
        return self._local(at_utc).strftime("%Y-%m-%d")

    def _local(self, at_utc: float) -> datetime:
        return datetime.fromtimestamp(at_utc, ZoneInfo(self.timezone))


def verdict(facts: RunFacts) -> str:
    """How it ended, in a few words."""
    if facts.outcome is None:
        return "still open"
    margin_s = facts.deadline_utc - (facts.finished_utc or facts.deadline_utc)
    if facts.outcome != "completed":
        return facts.outcome.replace("-", " ") + (f": {facts.why}" if facts.why else "")
    if facts.late:
        return f"completed LATE, {span(-margin_s)} after the deadline"
    return f"completed in time, {span(margin_s)} before the deadline"


def compressed(time_scale: float) -> str:
    """What must be said where market time is not the time on the wall; nothing where it is."""
    if time_scale == 1:
        return ""
    return f"All times are market time, which passes {count(time_scale)} times as fast as real time."
