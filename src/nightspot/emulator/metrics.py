"""MetricDefinitions: regular expressions that find numbers in a program's output."""

from __future__ import annotations

import math
import re
import threading
from typing import Any, Iterable, Mapping

from nightspot.emulator.instance import DataError

# A pattern of the user's must not take for ever on a line without end.
LONGEST_LINE = 4096


class MetricScan:
    """Hears every line; keeps the last finite number of each metric. Any thread may use it."""

    def __init__(self, definitions: Iterable[Mapping[str, Any]]) -> None:
        """`definitions`: Name and Regex of each. DataError for one that is no regular expression."""
        self._patterns = [(str(one["Name"]), _compiled(one)) for one in definitions]
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()

    def hear(self, line: str) -> None:
        """One line of output."""
        for name, pattern in self._patterns:
            for match in pattern.finditer(line[:LONGEST_LINE]):
                value = _number(match)
                if value is not None:
                    with self._lock:
                        self._last[name] = value

    def last(self) -> list[dict[str, Any]]:
        """FinalMetricDataList without its times; a metric that was never seen is not in it."""
        with self._lock:
            return [{"MetricName": name, "Value": value} for name, value in self._last.items()]


def _compiled(definition: Mapping[str, Any]) -> re.Pattern[str]:
    try:
        return re.compile(str(definition["Regex"]))
    except re.error as error:
        name, regex = definition["Name"], definition["Regex"]
        raise DataError(f"MetricDefinitions {name}: {regex!r} is no regular expression: {error}") from None


def _number(match: re.Match[str]) -> float | None:
    """The first group, or all of it where there is none."""
    try:
        value = float(match.group(1 if match.re.groups else 0))
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
