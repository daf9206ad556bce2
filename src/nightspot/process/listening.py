"""What the supervisor hears of the training process: reports, or files of its own, become lines of news and a count of units."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Callable, Mapping

from nightspot.process.folder import AttemptFolder
from nightspot.process.news import NewsWriter
from nightspot.process.pattern import Saved, Watch, saved
from nightspot.process.progress import Tail, facts_of, message_of, metrics_of, number, parse, units_of
from nightspot.process.spec import AttemptSpec
from nightspot.process.verdict import Done

SHOWS_TRAINING = ("training", "progress", "checkpoint")
WARNINGS_MAX = 200


class Ear:
    """Knows how far the work is: `units_done`, whether it `trains`, and its word that all is `done`."""

    def __init__(self, spec: AttemptSpec, folder: AttemptFolder, news: NewsWriter) -> None:
        self.units_done = spec.units_start
        self.trains = False
        self.done: Done | None = None
        self._spec, self._news, self._tail = spec, news, Tail(folder.progress)
        self._warnings = 0
        self._units_start, self._silent_utc = spec.units_start, spec.silent_utc
        self._watch: Watch | None = None

    def begin(self, started_utc: float) -> None:
        """The command starts now. What waited for `go` begins from what others have made, and has all of its start-up to come."""
        if self._spec.waits_for_go:
            self._silent_utc += started_utc - self._spec.launched_utc
            self._units_start = max([self._units_start, *_units_there(self._spec)])
            self.units_done = max(self.units_done, self._units_start)
        self._watch = _watch(self._spec, self._units_start)

    def listen(self, now_utc: float, started_utc: float) -> None:
        """All that has been said since the last time. `started_utc`: when the process began."""
        for line in self._tail.lines():
            said = parse(line)
            if said is not None:
                self._hear(said, now_utc)
        if self._watch is not None:
            self._see(self._watch.look(), now_utc)
        if not self.trains and now_utc >= self._silent_utc:
            self._train(started_utc, self._units_start)

    def listen_last(self, now_utc: float, started_utc: float, *, killed: bool) -> None:
        """Once more, when nothing of it runs any more."""
        self.listen(now_utc, started_utc)
        while self._tail.behind():  # nobody writes any more
            self.listen(now_utc, started_utc)
        if self._watch is None:
            return
        saved, moved = self._watch.last_look(killed=killed)
        self._see(saved, now_utc)
        for name in moved:
            self.warn(now_utc, f"{name} may be torn: moved to quarantine")

    def warn(self, now_utc: float, message: str) -> None:
        """Something the user should hear; a program that warns without end is cut short."""
        self._warnings += 1
        if self._warnings <= WARNINGS_MAX:
            more = " (no more warnings of this attempt are shown)" if self._warnings == WARNINGS_MAX else ""
            self._news.add("warning", now_utc, message=message + more)

    def _hear(self, said: Mapping[str, Any], now_utc: float) -> None:
        kind, units = said["kind"], units_of(said)
        if kind in SHOWS_TRAINING and units is not None and not self.trains:
            self._train(now_utc, units)
        if units is not None:
            self.units_done = max(self.units_done, units)
        heard = HEARD.get(kind)
        if heard is not None:
            heard(self, said, now_utc)

    def _train(self, at_utc: float, units: float) -> None:
        self.trains = True
        self._news.add("phase", at_utc, phase="training", units_done=units)

    def _checkpoint(self, said: Mapping[str, Any], now_utc: float) -> None:
        units = units_of(said)
        if units is None:
            return
        save_s = number(said.get("save_s")) or 0.0
        save_s = save_s * self._spec.time_scale if math.isfinite(save_s) else 0.0
        name, digest = str(said.get("name", "")), str(said.get("digest", ""))
        told: dict[str, Any] = {"name": name, "digest": digest, "save_s": save_s, "verified": True}
        self._news.add("checkpoint", now_utc, units_done=units, **told)

    def _warning(self, said: Mapping[str, Any], now_utc: float) -> None:
        self.warn(now_utc, message_of(said))

    def _done(self, said: Mapping[str, Any], _now_utc: float) -> None:
        self.done = Done(metrics_of(said), facts_of(said))

    def _see(self, saved: Saved | None, now_utc: float) -> None:
        if saved is None:
            return
        self.units_done = max(self.units_done, saved.units_done)
        self._news.add("checkpoint", now_utc, units_done=saved.units_done, name=saved.name, verified=False)


HEARD: Mapping[str, Callable[[Ear, Mapping[str, Any], float], None]] = {
    "checkpoint": Ear._checkpoint,  # noqa: SLF001 - its own
    "warning": Ear._warning,  # noqa: SLF001
    "done": Ear._done,  # noqa: SLF001
}


def _watch(spec: AttemptSpec, units_start: float) -> Watch | None:
    if spec.pattern is None:
        return None
    return Watch(Path(spec.checkpoint_dir), spec.pattern, spec.units, units_start)


def _units_there(spec: AttemptSpec) -> list[float]:
    """Of an unmodified script's files; torn ones were moved away."""
    files = saved(Path(spec.checkpoint_dir), spec.pattern, spec.units) if spec.pattern is not None else []
    return [file.units_done for file in files[:1]]
