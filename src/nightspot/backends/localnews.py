"""From an Attempt's files to what the port says. What a line means that this version does not know is passed over."""

from __future__ import annotations

from typing import Any, Callable, Mapping

from nightspot.model.attempt import Phase
from nightspot.night.ports import Ended, EndKind, News, NoticeSeen, PhaseSeen, SavedCheckpoint, WarningSeen

Line = Mapping[str, Any]


def news_of(line: Line) -> News | None:
    """One line of news.jsonl."""
    read = _KINDS.get(line.get("kind", ""))
    return read(line) if read is not None else None


def ended_of(document: Line) -> Ended:
    """exit.json."""
    return Ended(
        EndKind(document["kind"]),
        float(document["at_utc"]),
        document.get("exit_code"),
        document.get("artifact_sha256"),
        document.get("metrics") or {},
        document.get("facts") or {},
        document.get("detail") or "",
        bool(document.get("final")),
    )


def _phase(line: Line) -> News:
    return PhaseSeen(line["at_utc"], Phase(line["phase"]), 1, line["units_done"])


def _checkpoint(line: Line) -> News:
    told = (line.get("name", ""), line.get("digest", ""), line.get("save_s", 0.0), line["verified"])
    return SavedCheckpoint(line["at_utc"], line["units_done"], *told)


def _notice(line: Line) -> News:
    return NoticeSeen(line["at_utc"], line["kill_utc"])


def _warning(line: Line) -> News:
    return WarningSeen(line["at_utc"], line["message"])


_KINDS: Mapping[str, Callable[[Line], News]] = {
    "phase": _phase,
    "checkpoint": _checkpoint,
    "notice": _notice,
    "warning": _warning,
}
