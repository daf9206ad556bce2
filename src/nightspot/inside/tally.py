"""What the script has said so far, in one small document: the wrapper's share of CONTROL/progress.json."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Mapping

READ_BYTES_MAX = 4 << 20
LINE_BYTES_MAX = 1 << 20
WARNINGS_KEPT, WARNINGS_MAX, TEXT_CHARACTERS = 20, 200, 500
CHECKPOINT_FIELDS = ("name", "digest", "save_s", "size_bytes")
URGENT = ("training", "done")


class Tail:
    """The whole lines of a growing file, each once; one too long to be meant is dropped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset_bytes, self._piece = 0, b""

    def lines(self) -> list[bytes]:
        """What has been completed since the last call. A file that cannot be read has none."""
        *whole, self._piece = (self._piece + self._more()).split(b"\n")
        if len(self._piece) > LINE_BYTES_MAX:
            self._piece = self._piece[:1]  # what follows it is no JSON, and is passed over
        return [line for line in whole if line.strip() and len(line) <= LINE_BYTES_MAX]

    def _more(self) -> bytes:
        try:
            size_bytes = self._path.stat().st_size
            if size_bytes < self._offset_bytes:  # begun anew by a program that does not append
                self._offset_bytes, self._piece = 0, b""
            if size_bytes == self._offset_bytes:
                return b""
            with self._path.open("rb") as file:
                file.seek(self._offset_bytes)
                found = file.read(READ_BYTES_MAX)
        except OSError:
            return b""
        self._offset_bytes += len(found)
        return found


class Tally:
    """Sums up progress lines. `changes` grows with each one that counts; `urgent` with those that must be told at once."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self.changes = self.urgent = 0
        self._said: dict[str, Any] = {
            "kind": None,
            "units_done": None,
            "trains": False,
            "checkpoint": None,
            "metrics": {},
            "warnings": [],
            "done": None,
        }
        self._warnings = 0

    def listen(self) -> None:
        """Take in what has been said since the last call."""
        while lines := self._tail.lines():
            for line in lines:
                self._hear(line)

    def document(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return dict(self._said)

    def warn(self, message: str) -> None:
        """Something the user should hear, numbered from 1; the last few are kept. A script that warns without end is cut short."""
        if self._warnings >= WARNINGS_MAX:
            return
        self._warnings += 1
        self.changes += 1
        kept = self._said["warnings"][-(WARNINGS_KEPT - 1) :]
        self._said["warnings"] = [*kept, {"number": self._warnings, "message": message[:TEXT_CHARACTERS]}]

    def _hear(self, line: bytes) -> None:
        said = _parsed(line)
        if said is None:
            return
        kind, units = said["kind"], _units(said.get("units_done"))
        self._said["kind"] = kind
        self.changes += 1
        self.urgent += kind in URGENT
        if units is not None:
            self._said["units_done"] = max(units, self._said["units_done"] or 0.0)
            self._said["trains"] = self._said["trains"] or kind in ("training", "progress", "checkpoint")
        self._note(kind, units, said)

    def _note(self, kind: str, units: float | None, said: Mapping[str, Any]) -> None:
        if kind == "warning":
            self.warn(str(said.get("message", "")))
        elif kind == "checkpoint" and units is not None:
            told = {field: said[field] for field in CHECKPOINT_FIELDS if field in said}
            self._said["checkpoint"] = {"units_done": units, **told}
        elif kind == "done":
            self._said["done"] = {"units_done": units, "metrics": _numbers(said), "facts": _texts(said)}
        elif kind == "progress":
            self._said["metrics"] = _numbers(said)


def _parsed(line: bytes) -> Mapping[str, Any] | None:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and isinstance(said.get("kind"), str) else None


def _units(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and math.isfinite(number) and number >= 0 else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _numbers(said: Mapping[str, Any]) -> dict[str, float]:
    given = said.get("metrics")
    pairs = given.items() if isinstance(given, dict) else ()
    return {str(name): number for name, value in pairs if (number := _number(value)) is not None}


def _texts(said: Mapping[str, Any]) -> dict[str, str]:
    given = said.get("facts")
    return {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {}
