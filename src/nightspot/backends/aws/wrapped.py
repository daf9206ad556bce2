"""What the wrapper inside the training image tells: CONTROL/progress.json. Nothing of it is durable. See nightspot/inside/channel.py."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Mapping

from nightspot.process.progress import facts_of, message_of, metrics_of, number, units_of

NAME = "progress.json"
BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Progress:
    """One document. `incarnation` is the wrapper's own name for itself; `waits`: for its `go`; `trains`: the program has begun its
    first unit of work.

    `done`: the program says that all is done. `noticed`: it was told to end; `limited`: because its time was over.
    `saved`: the checkpoint it last made, and how long that took.
    `warnings`: a name for each that stays the same, and its text.
    """

    incarnation: str = ""
    units_done: float | None = None
    trains: bool = False
    done: bool = False
    noticed: bool = False
    limited: bool = False
    saved: str = ""
    saved_units: float = 0.0
    save_s: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)
    exit_code: int | None = None
    waits: bool = False


NOTHING = Progress()


def progress_of(raw: bytes) -> Progress | None:
    """What the wrapper's object says; None where it makes no sense."""
    try:
        told: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    notice = told.get("notice")
    code, done, saved = told.get("exit_code"), told.get("done"), told.get("checkpoint")
    source, saved = done if isinstance(done, dict) else told, saved if isinstance(saved, dict) else {}
    return Progress(
        incarnation=str(told.get("incarnation") or ""),
        waits=told.get("stage") == "waiting",
        units_done=units_of(told),
        trains=told.get("trains") is True,
        done=isinstance(done, dict),
        noticed=notice is not None,
        limited=isinstance(notice, dict) and notice.get("reason") == "limit",
        saved=str(saved.get("name") or ""),
        saved_units=units_of(saved) or 0.0,
        save_s=max(0.0, number(saved.get("save_s")) or 0.0),
        metrics=metrics_of(source),
        facts=facts_of(source),
        warnings=_warnings(told),
        exit_code=code if isinstance(code, int) and not isinstance(code, bool) else None,
    )


def _warnings(told: Mapping[str, Any]) -> dict[str, str]:
    """By incarnation and number: the wrapper counts them, and keeps the last few."""
    given = told.get("warnings")
    found = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    return {f"{told.get('incarnation')} {one.get('number')}": message_of(one) for one in found}
