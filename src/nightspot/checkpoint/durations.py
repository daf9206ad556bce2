"""Durations in words: "12min", "1h30m", "1 day 2 hours", "1.5h". A bare number has no unit, and is refused."""

from __future__ import annotations

import math
import re
from decimal import Decimal

SECONDS = {"ms": "0.001", "s": "1", "min": "60", "h": "3600", "d": "86400", "w": "604800"}
SPELLINGS = {
    "ms": ("ms", "millisecond", "milliseconds"),
    "s": ("s", "sec", "secs", "second", "seconds"),
    "min": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "d": ("d", "day", "days"),
    "w": ("w", "week", "weeks"),
}
UNIT_S = {spelling: Decimal(SECONDS[unit]) for unit, names in SPELLINGS.items() for spelling in names}
# For editors: what `parse_duration` takes, but for the order of the units.
PATTERN = r"^\s*([0-9]+(\.[0-9]+)?\s*[A-Za-z]+\s*)+$"
PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*", re.ASCII)
LONGEST_S = 366 * 86400.0
LONGEST_TEXT = 100


def parse_duration(text: str) -> float:
    """Seconds. ValueError, with a sentence, for anything that is not one or more of a number with a unit, the longest unit first."""
    if len(text) > LONGEST_TEXT:
        raise ValueError("that is far too long a text for one")
    total, unit_before, position = Decimal(0), Decimal("Infinity"), 0
    while position < len(text) or not position:
        part = PART.match(text, position)
        if part is None:
            raise ValueError(_not_understood(text, position))
        unit = UNIT_S.get(part[2].lower())
        if unit is None:
            raise ValueError(f"{part[2]!r} is no unit of time")
        if unit >= unit_before:
            raise ValueError("each unit stands once, the longest first")
        total, unit_before, position = total + Decimal(part[1]) * unit, unit, part.end()
    if total > LONGEST_S:
        raise ValueError("that is more than a year")
    return float(total)


def _not_understood(text: str, position: int) -> str:
    rest = text[position:].strip()
    if re.fullmatch(r"[0-9.]+", rest):
        return f"{rest} has no unit"
    if rest.startswith("-"):
        return "it cannot be negative"
    return f"{rest!r} is no number with a unit" if rest else "it is empty"


def format_duration(seconds: float) -> str:
    """In words, to the millisecond: "1h30min", "2d", "0.25s", "-5min"; "forever" for inf."""
    if not math.isfinite(seconds):
        return "forever" if seconds > 0 else "unknown"
    left_ms = round(abs(seconds) * 1000)
    words = "-" if seconds < 0 and left_ms else ""
    for unit, size_ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        count, left_ms = divmod(left_ms, size_ms)
        words += f"{count}{unit}" if count else ""
    if left_ms or words in ("", "-"):
        words += f"{left_ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return words


def about(seconds: float) -> str:
    """In words for a sentence: to the second below an hour, to the minute above."""
    step_s = 60 if abs(seconds) >= 3600 else 1
    return format_duration(round(seconds / step_s) * step_s) if math.isfinite(seconds) else format_duration(seconds)
