"""The probe from outside: how to start it, and its lines as Steps and Touches. Pure but for the folder's place.

The lines themselves are described in `src/nightspot/probe/onpath/nightspot_probe/__init__.py`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

import nightspot
from nightspot.drill.record import Step, Touch

FOLDER = Path(nightspot.__file__).parent / "probe" / "onpath"


@dataclass(frozen=True, slots=True)
class Probed:
    """What the probe of one Life has told so far.

    torch: the training imported torch; held: it waits, so many steps being done; faults: why the probe stopped looking.
    """

    torch: bool
    steps: tuple[Step, ...]
    touches: tuple[Touch, ...]
    held: Optional[int]
    faults: tuple[str, ...]


def environment(
    lines: Path,
    *,
    inherited: str = "",
    hold: Optional[int] = None,
    release: Optional[Path] = None,
    paths: Sequence[Path] = (),
) -> dict[str, str]:
    """Variables for the training process.

    lines: file for the probe's lines; inherited: the PYTHONPATH it would have had; hold: wait after so many optimizer steps of
    this Life, from 1; release: the path that ends the waiting; paths: folders whose files are watched.
    """
    found = {"NIGHTSPOT_PROBE": str(lines), "PYTHONPATH": os.pathsep.join(filter(None, (str(FOLDER), inherited)))}
    if hold is not None:
        found["NIGHTSPOT_PROBE_HOLD"] = str(hold)
    if release is not None:
        found["NIGHTSPOT_PROBE_RELEASE"] = str(release)
    if paths:
        found["NIGHTSPOT_PROBE_PATHS"] = os.pathsep.join(str(path) for path in paths)
    return found


def parse(text: str) -> Probed:
    """Of all lines so far; a torn last one does not count. Several processes may have written: steps count in their order."""
    rows = [row for row in map(_row, text.splitlines()) if row is not None]
    kinds: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rows:
        kinds.setdefault(row.get("kind"), []).append(row)
    held = kinds.get("held", [])
    waits = len(held) > len(kinds.get("released", []))
    return Probed(
        torch="torch" in kinds,
        steps=tuple(_step(row) for row in kinds.get("step", [])),
        touches=tuple(_touch(row) for row in kinds.get("touch", [])),
        held=held[-1]["index"] if waits else None,
        faults=tuple(str(row.get("detail")) for row in kinds.get("fault", [])),
    )


def _row(line: str) -> Optional[Mapping[str, Any]]:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _step(row: Mapping[str, Any]) -> Step:
    names = ("loss", "batch", "before", "after", "optimizer", "random")
    return Step(index=row["index"], lrs=tuple(row["lrs"]), **{name: row.get(name) for name in names})


def _touch(row: Mapping[str, Any]) -> Touch:
    return Touch(row["what"], row["index"], row.get("path"), row.get("where"), row.get("detail"))
