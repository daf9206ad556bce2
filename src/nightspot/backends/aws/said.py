"""Lines of news.jsonl and exit.json, and what the port says. What a line means that this version does not know is passed over."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Callable, Mapping, Sequence

from nightspot.backends.aws.checkpoints import Durable
from nightspot.backends.aws.notes import Line, plain
from nightspot.backends.aws.standing import Stand
from nightspot.model.attempt import Phase
from nightspot.night.ports import Ended, EndKind, News, PhaseSeen, SavedCheckpoint, WarningSeen


def clamped(lines: Sequence[Line], at_utc: float, now_utc: float) -> float:
    """A time of the API's, as news: never in the future, and never before what was told already."""
    told = [float(line["at_utc"]) for line in lines[-1:] if "at_utc" in line]
    return max([min(at_utc, now_utc), *told])


def new_stands(
    lines: Sequence[Line], stands: Sequence[Stand], units_done: float, now_utc: float, speaker: str = ""
) -> list[Line]:
    """What the Attempt went through that has not been told yet. `units_done` is durable: an incarnation begins with it.

    `speaker` is the wrapper that was heard last: when an incarnation begins, that is still the one before.
    """
    last = [line for line in lines if line.get("kind") == "phase"][-1:]
    after = (last[0]["incarnation"], ORDER[Phase(last[0]["phase"])]) if last else (0, 0)
    said: list[Line] = []
    for stand in stands:
        if (stand.incarnation, ORDER[stand.phase]) > after:
            at_utc = clamped([*lines, *said], stand.at_utc, now_utc)
            units = units_done if stand.units_done is None else max(units_done, stand.units_done)
            told = {"phase": stand.phase.value, "incarnation": stand.incarnation, "units_done": units}
            by = {"heard": speaker} if stand.phase in (Phase.QUEUED, Phase.TRAINING) else {}
            said.append({"kind": "phase", "at_utc": at_utc, **told, **by})
    return said


ORDER = {phase: place for place, phase in enumerate(Phase)}


def heard(lines: Sequence[Line], speaker: str) -> bool:
    """Whether that wrapper belongs to an incarnation before."""
    return any(line.get("heard") == speaker for line in lines)


def checkpoint_line(durable: Durable, at_utc: float, save_s: float) -> Line:
    """A Checkpoint, seen now for the first time."""
    return {"kind": "checkpoint", "at_utc": at_utc, "save_s": save_s, **asdict(durable)}


def warning_line(topic: str, message: str, at_utc: float) -> Line:
    """`topic` is what it is about: it tells whether it was said before."""
    return {"kind": "warning", "at_utc": at_utc, "topic": topic, "message": message}


def durable_units(lines: Sequence[Line], units_start: float) -> float:
    """What would survive anything now."""
    return max([units_start, *[float(line["units_done"]) for line in lines if line.get("kind") == "checkpoint"]])


def phase_now(lines: Sequence[Line]) -> Line | None:
    """The last phase that was told."""
    return next((line for line in reversed(lines) if line.get("kind") == "phase"), None)


def warned(lines: Sequence[Line], topic: str) -> bool:
    """Whether that was said before."""
    return any(line.get("topic") == topic for line in lines)


def news_of(line: Line) -> News | None:
    """One line of news.jsonl."""
    read = _KINDS.get(str(line.get("kind", "")))
    return read(line) if read is not None else None


def ended_of(told: Line) -> Ended:
    """exit.json."""
    return Ended(
        EndKind(told["kind"]),
        float(told["at_utc"]),
        told.get("exit_code"),
        told.get("artifact_sha256"),
        told.get("metrics") or {},
        told.get("facts") or {},
        told.get("detail") or "",
        bool(told.get("final")),
    )


def exit_line(ended: Ended) -> dict[str, Any]:
    """What goes into exit.json."""
    line: dict[str, Any] = plain(ended)
    return line


def _phase(line: Line) -> News:
    return PhaseSeen(line["at_utc"], Phase(line["phase"]), line["incarnation"], line["units_done"])


def _checkpoint(line: Line) -> News:
    told = (line["name"], line["digest"], line["save_s"], line["verified"])
    return SavedCheckpoint(line["at_utc"], line["units_done"], *told)


def _warning(line: Line) -> News:
    return WarningSeen(line["at_utc"], line["message"])


_KINDS: Mapping[str, Callable[[Line], News]] = {
    "phase": _phase,
    "checkpoint": _checkpoint,
    "warning": _warning,
}
