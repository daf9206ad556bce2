"""Interruptions on order: a file in the state folder says which job is to lose its instance now, and how.

`STATE/orders/ANY.json` holds {"job": NAME, "how": "notice" or "kill"}. It waits until that job trains, and is removed once it is carried
out: the signal of a notice has been sent then. No name in a request becomes part of a path here either.
"""

from __future__ import annotations

import json
import secrets
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nightspot.process.files import write_whole

NOTICE, KILL = "notice", "kill"
LARGEST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Order:
    """One that was found. signals: SIGTERM and grace come first."""

    file: Path
    signals: bool

    def done(self) -> None:
        """It is carried out: whoever gave it sees that by the file, which is gone."""
        self.file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Orders:
    """The folder, which need not exist."""

    folder: Path

    def give(self, job: str, how: str) -> Path:
        """Order it. OSError where the folder cannot be written to. The file is gone when it is carried out."""
        self.folder.mkdir(exist_ok=True)
        file = self.folder / f"{secrets.token_hex(6)}.json"
        write_whole(file, {"job": job, "how": how})
        return file

    def of(self, job: str) -> Order | None:
        """The one for that job. What makes no sense is told on standard error, and removed."""
        for file in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else ():
            try:
                said = _read(file)
            except FileNotFoundError:
                continue  # carried out meanwhile
            except (OSError, ValueError, RecursionError) as error:
                _refuse(file, str(error))
                continue
            if said["job"] == job:
                return Order(file, signals=said["how"] == NOTICE)
        return None


def _read(file: Path) -> dict[str, str]:
    if file.stat().st_size > LARGEST_BYTES:
        raise ValueError("it is too long")
    said = json.loads(file.read_text("utf-8"))
    if not isinstance(said, dict) or not isinstance(said.get("job"), str) or said.get("how") not in (NOTICE, KILL):
        raise ValueError('expected {"job": NAME, "how": "notice" or "kill"}')
    return said


def _refuse(file: Path, why: str) -> None:
    print(f"emulator: the order {file.name} makes no sense, and is removed: {why}", file=sys.stderr)  # noqa: T201
    with suppress(OSError):
        file.unlink()
