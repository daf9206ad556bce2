"""What a training process says in progress.jsonl, read as it is written. Whatever it writes, nothing here fails."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Mapping

READ_BYTES_MAX = 4 << 20
LINE_BYTES_MAX = 1 << 20
MESSAGE_CHARACTERS = 500


class Tail:
    """The whole lines of a growing file, each once. A line may come in pieces; one too long to be meant is dropped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset_bytes, self._piece = 0, b""

    def lines(self) -> list[bytes]:
        """What has been completed since the last call."""
        text = self._piece + self._more()
        *whole, self._piece = text.split(b"\n")
        if len(self._piece) > LINE_BYTES_MAX:
            self._piece = self._piece[:1]  # what follows it is no JSON, and is passed over
        return [line for line in whole if line.strip() and len(line) <= LINE_BYTES_MAX]

    def behind(self) -> bool:
        """Whether there is more than has been read."""
        try:
            return self._path.stat().st_size > self._offset_bytes
        except OSError:
            return False

    def _more(self) -> bytes:
        try:
            size_bytes = self._path.stat().st_size
            if size_bytes == self._offset_bytes:
                return b""
            if size_bytes < self._offset_bytes:  # begun anew by a program that does not append
                self._offset_bytes, self._piece = 0, b""
            with self._path.open("rb") as file:
                file.seek(self._offset_bytes)
                found = file.read(READ_BYTES_MAX)
        except OSError:
            return b""
        self._offset_bytes += len(found)
        return found


def parse(line: bytes) -> Mapping[str, Any] | None:
    """One line as the protocol means it; None for what is not."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and isinstance(said.get("kind"), str) else None


def units_of(said: Mapping[str, Any]) -> float | None:
    """`units_done`, where it is a count of units."""
    units = number(said.get("units_done"))
    return units if units is not None and math.isfinite(units) and units >= 0 else None


def number(value: object) -> float | None:
    """A JSON number as a float; None for anything else."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def metrics_of(said: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among the metrics, not all of them finite."""
    given = said.get("metrics")
    pairs = given.items() if isinstance(given, dict) else ()
    return {str(name): value for name, raw in pairs if (value := number(raw)) is not None}


def facts_of(said: Mapping[str, Any]) -> dict[str, str]:
    """The facts, as texts."""
    given = said.get("facts")
    return {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {}


def message_of(said: Mapping[str, Any]) -> str:
    """A warning's text, shortened."""
    return str(said.get("message", ""))[:MESSAGE_CHARACTERS]
