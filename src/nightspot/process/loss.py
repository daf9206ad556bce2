"""An Attempt whose supervisor is gone without a word: end what is left of it, then call it lost. Never the other way round."""

from __future__ import annotations

import contextlib
from typing import Any, Mapping

from nightspot.process.files import read_json, write_first
from nightspot.process.folder import AttemptFolder
from nightspot.process.identity import Identity
from nightspot.process.tree import bearers, kill_until_none, session_of

BUDGET_S = 5.0


class StillAliveError(Exception):
    """Something of it cannot be killed: it is not lost, it is alive."""


def identity_in(document: object) -> Identity | None:
    """Who a file says it is; None where it says nothing sensible."""
    if not isinstance(document, Mapping):
        return None
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return Identity.from_json(document)
    return None


def settle(folder: AttemptFolder, now_utc: float) -> bool:
    """Where nobody holds the lock, kill what is left and write exit.json. False where somebody holds it: it is well.

    StillAliveError where something cannot be killed.
    """
    with folder.locked() as free:
        if not free:
            return False
        if not folder.exit.exists():
            write_first(folder.exit, lost(folder, now_utc))
    return True


def lost(folder: AttemptFolder, now_utc: float) -> dict[str, Any]:
    """Kill what is left; then what exit.json shall say. StillAliveError where something lives on."""
    if not kill_until_none(lambda: remains(folder), lambda: None, BUDGET_S):
        raise StillAliveError(f"{sorted(remains(folder))} cannot be killed")
    state = read_json(folder.state)
    units = state.get("units_done") if isinstance(state, dict) else None
    detail = (
        "its supervisor is gone; what was left of it was killed" if folder.supervisor.exists() else "it never began"
    )
    return {"kind": "lost", "how": "lost", "at_utc": now_utc, "detail": detail, "units_done": units}


def remains(folder: AttemptFolder) -> set[int]:
    """Living processes of an Attempt without its supervisor: by their environment, and by the session of the training process."""
    leader = identity_in(read_json(folder.child))
    return bearers(folder.progress) | (session_of(leader) if leader is not None else set())
