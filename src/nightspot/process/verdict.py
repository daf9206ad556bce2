"""From how a training process ended to what is to be made of it. docs/training-protocol.md has the exit codes."""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping

START_AGAIN, CONFIG = 75, 78
TAIL_BYTES, TAIL_LINES, TAIL_CHARACTERS = 8192, 3, 400


@dataclass(frozen=True, slots=True)
class Done:
    """The process's own word that all work is done."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def broken(self) -> list[str]:
        """Metrics that are not finite."""
        return [f"{name} = {value}" for name, value in self.metrics.items() if not math.isfinite(value)]


@dataclass(frozen=True, slots=True)
class Past:
    """How it went. `exit_code`: None where the command never ran. `told`: the reason it was given to end, or killed for.

    `fault`: why it could not be started.
    """

    exit_code: int | None
    told: str | None = None
    done: Done | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The beginning of exit.json. `kind` is one of the loop's EndKinds, `how` says the same from here."""

    kind: str
    how: str
    detail: str = ""
    final: bool = False

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return {"kind": self.kind, "how": self.how, "detail": self.detail, "final": self.final}


ENDED_BY = {
    "interruption": Verdict("taken", "taken"),
    "stop": Verdict("stopped", "stopped"),
    "limit": Verdict("stopped", "limit", "it reached the time after which it must not run"),
}


def judge(past: Past, output: str = "") -> Verdict:
    """What became of it, before its artefact has been looked at. `output`: the last lines it printed."""
    if past.fault is not None:
        return Verdict("failed", "exited", past.fault, final=True)
    if past.exit_code == 0 and (past.told is None or past.done is not None):
        return _finished(past.done)
    if past.exit_code == CONFIG:
        return Verdict("failed", "exited", _with("exit code 78: starting it again will not help", output), final=True)
    if past.told is not None:
        return ENDED_BY[past.told]
    if past.exit_code == START_AGAIN:
        detail = "exit code 75: it asks to be started again, though it was not told to end"
        return Verdict("failed", "exited", _with(detail, output))
    return Verdict("failed", "exited", _with(described(past.exit_code), output))


def _finished(done: Done | None) -> Verdict:
    if done is not None and done.broken:
        return Verdict("failed", "exited", f"{', '.join(done.broken)}: such a model is not published", final=True)
    return Verdict("succeeded", "exited")


def described(exit_code: int | None) -> str:
    """An exit code in words."""
    if exit_code is None:
        return "it never ran"
    if exit_code <= 128:
        return f"exit code {exit_code}"
    try:
        name = signal.Signals(exit_code - 128).name
    except ValueError:
        return f"exit code {exit_code}"
    return f"killed by {name}, from outside or by itself"


def _with(detail: str, output: str) -> str:
    return f"{detail}; it said: {output}" if output else detail


def last_words(path: Path) -> str:
    """The last lines of what it printed, shortened."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            text = file.read(TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = " | ".join(lines[-TAIL_LINES:])
    return said if len(said) <= TAIL_CHARACTERS else "..." + said[-TAIL_CHARACTERS + 3 :]
