"""What a Life says while it is played: the probe's lines, the protocol's progress, losses. Read as they are written."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Optional

from nightspot.drill.record import Logged
from nightspot.process.progress import Tail, number, parse, units_of

MOST_LOSS_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Told:
    """A `checkpoint` line of the protocol. index: steps done when it was read."""

    name: str
    digest: str
    units_done: Optional[float]
    index: int


@dataclass(slots=True)
class Ears:
    """Reads what grew since the last look. steps: by the probe; lines: losses told so far; done_units: of the `done` line."""

    probe: Tail
    progress: Tail
    losses: Optional[Tail]
    pattern: Optional[re.Pattern[str]]
    steps: int = 0
    lines: int = 0
    held: Optional[int] = None
    told: list[Told] = field(default_factory=list)
    began_units: Optional[float] = None
    done_units: Optional[float] = None

    @classmethod
    def of(cls, probe: Path, progress: Path, losses: Optional[Path], pattern: Optional[str]) -> Ears:
        """losses: the file that they stand in, which may be the output; pattern: None for JSON lines."""
        expression = None if pattern is None else re.compile(pattern)
        return cls(Tail(probe), Tail(progress), None if losses is None else Tail(losses), expression)

    def listen(self) -> None:
        """Everything that is there, the probe first: what it counted is older than what follows from it."""
        for line in self.probe.lines():
            self._probe(line)
        for line in self.progress.lines():
            self._progress(line)
        for line in self.losses.lines() if self.losses is not None else ():
            self.lines += logged(line, self.pattern) is not None

    def _probe(self, line: bytes) -> None:
        said = parse(line)
        if said is None:
            return
        self.steps += said["kind"] == "step"
        if said["kind"] == "held":
            self.held = self.steps

    def _progress(self, line: bytes) -> None:
        said = parse(line)
        if said is None:
            return
        if said["kind"] == "checkpoint" and isinstance(said.get("name"), str):
            self.told.append(Told(said["name"], str(said.get("digest", "")), units_of(said), self.steps))
        elif said["kind"] == "training":
            self.began_units = units_of(said)
        elif said["kind"] == "done":
            self.done_units = units_of(said)


def logged(line: bytes, pattern: Optional[re.Pattern[str]]) -> Optional[Logged]:
    """The loss that a line tells; None where it tells none."""
    if pattern is None:
        return _of_json(line)
    found = pattern.search(line.decode("utf-8", "replace"))
    if found is None:
        return None
    step = found.groupdict().get("step")
    return Logged(_float(step), found["loss"])


def _of_json(line: bytes) -> Optional[Logged]:
    try:
        said: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    loss = number(said.get("loss")) if isinstance(said, Mapping) else None
    return None if loss is None else Logged(number(said.get("step")), repr(loss))


def _float(text: Optional[str]) -> Optional[float]:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def losses_in(text: bytes, before: bytes, pattern: Optional[str]) -> tuple[Logged, ...]:
    """Of a file as it is, those that were not in it before: a program that goes on may first cut off what it will do again."""
    expression = None if pattern is None else re.compile(pattern)
    lines, old = text.splitlines(), before.splitlines()
    same = next((n for n, (a, b) in enumerate(zip(lines, old, strict=False)) if a != b), min(len(lines), len(old)))
    found = [logged(line, expression) for line in lines[same:]]
    return tuple([one for one in found if one is not None])


def content(path: Optional[Path]) -> bytes:
    """Of a file of losses; nothing where there is none."""
    try:
        if path is None:
            return b""
        with path.open("rb") as file:
            return file.read(MOST_LOSS_BYTES)
    except OSError:
        return b""
