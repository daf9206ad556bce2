"""What this home remembers of an Attempt on SageMaker: HOME/sagemaker/TOKEN/. All else is asked of AWS, and can be asked again.

intent.json   what was asked for, and when; on the disk before the first call
given-up.json it was not launched, and never will be; with the reason
arn.json      AWS has it
news.jsonl    what was seen, in the order in which it was seen: a line's number is the cursor
gone.json     a PROBE was told `go`, and when
units.json    the most units that were ever reported
exit.json     how it ended; written once
lock          held by who launches, gives up, or looks
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from pydantic import TypeAdapter

from nightspot.errors import Unsure
from nightspot.model.events import RefusalReason
from nightspot.night.ports import LaunchSpec, Refused
from nightspot.process.files import read_json, write_first, write_soon

Line = Mapping[str, Any]
# Real seconds: who looks is done within its calls' budgets.
LOCK_S = 5.0
ABSENT = Refused(RefusalReason.ABSENT, "it was not there when it was looked for, and was given up")
_SPEC = TypeAdapter(LaunchSpec)


@dataclass(frozen=True, slots=True)
class Intent:
    """What was asked for. `asked_utc`: market time."""

    spec: LaunchSpec
    asked_utc: float


class Note:
    """One Attempt's folder. Every method may raise OSError."""

    def __init__(self, home: Path, token: str) -> None:
        self.token, self.folder = token, home / "sagemaker" / token
        self.log = Log(self.folder / "news.jsonl")
        self._intent: Intent | None = None

    @property
    def intent(self) -> Intent | None:
        """None where this home never meant to launch it. Unsure where there is one and it cannot be read."""
        if self._intent is None:
            told = read_json(self.folder / "intent.json")
            if told is None:
                self._none_or_unsure()
                return None
            self._intent = Intent(_SPEC.validate_python(told["spec"]), float(told["asked_utc"]))
        return self._intent

    def _none_or_unsure(self) -> None:
        if (self.folder / "intent.json").exists():
            raise Unsure(f"{self.folder / 'intent.json'} cannot be read")

    def intend(self, spec: LaunchSpec, now_utc: float) -> None:
        """On the disk, unless it is there already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_first(self.folder / "intent.json", {"spec": plain(spec), "asked_utc": now_utc})

    @property
    def refused(self) -> Refused | None:
        """As it was refused, or given up."""
        told = read_json(self.folder / "given-up.json")
        if told is None:
            return ABSENT if (self.folder / "given-up.json").exists() else None
        try:
            return Refused(RefusalReason(told["reason"]), str(told["message"]))
        except (KeyError, TypeError, ValueError):
            return ABSENT

    def give_up(self, refused: Refused) -> Refused:
        """From now on it is never launched from this home. What was said first counts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_first(self.folder / "given-up.json", {"reason": refused.reason.value, "message": refused.message})
        return self.refused or refused

    @property
    def known(self) -> bool:
        """Whether AWS is known to have had it."""
        return (self.folder / "arn.json").exists()

    def acknowledge(self, arn: str) -> None:
        """AWS has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_first(self.folder / "arn.json", {"arn": arn})

    def go(self, now_utc: float) -> None:
        """It is told `go` from now on. The first time counts."""
        write_first(self.folder / "gone.json", {"at_utc": now_utc})

    @property
    def gone_utc(self) -> float | None:
        """When it was first told `go`; None where it never was."""
        told = read_json(self.folder / "gone.json")
        return float(told["at_utc"]) if isinstance(told, dict) else None

    @property
    def units(self) -> float:
        """The most that was ever reported; 0 where nothing was."""
        told = read_json(self.folder / "units.json")
        return float(told["units_done"]) if isinstance(told, dict) else 0.0

    def remember_units(self, units_done: float) -> None:
        """Worth little: what is durable stands in the news."""
        write_soon(self.folder / "units.json", {"units_done": units_done})

    @property
    def exit(self) -> Line | None:
        """How it ended."""
        told = read_json(self.folder / "exit.json")
        return told if isinstance(told, dict) else None

    def end(self, told: Line) -> None:
        """How it ended, for good: what was said first counts."""
        write_first(self.folder / "exit.json", told)

    @contextmanager
    def locked(self, patience_s: float = LOCK_S) -> Iterator[None]:
        """Alone with it, in this home. Unsure where somebody else is at it for too long."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            until_s = time.monotonic() + patience_s
            while not _taken(descriptor):
                if time.monotonic() > until_s:
                    raise Unsure(f"another controller is at {self.token} just now")
                time.sleep(0.02)
            yield
        finally:
            os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def run_keys(home: Path) -> set[str]:
    """The nights that this home launched something of, as the beginnings of their tokens."""
    try:
        return {folder.name.rpartition("-")[0] for folder in (home / "sagemaker").iterdir()}
    except FileNotFoundError:
        return set()


class Log:
    """news.jsonl. Only ever appended to, whole lines, by whoever holds the lock; a torn last line was never told to anybody."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lines(self) -> list[Line]:
        """All of them. A damaged one keeps its number, and says nothing."""
        return [_parsed(line) for line in self._whole().split(b"\n")[:-1]]

    def append(self, lines: Sequence[Line]) -> None:
        """On the disk when this returns."""
        if not lines:
            return
        text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            file.truncate(len(self._whole()))
            file.seek(0, os.SEEK_END)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def _whole(self) -> bytes:
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return b""
        return text[: text.rfind(b"\n") + 1]


def _parsed(line: bytes) -> Line:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def plain(value: Any) -> Any:
    """Dataclasses, enums and mappings as JSON has them."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (tuple, list)) else value
