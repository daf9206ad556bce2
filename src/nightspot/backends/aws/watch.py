"""Looking into the bucket: what is durable, how far the training says it is, and whether anything still arrives there."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from typing import Mapping, Sequence

from nightspot.backends.aws import said, wrapped
from nightspot.backends.aws.calls import Rejected
from nightspot.backends.aws.checkpoints import Durable, Manifests
from nightspot.backends.aws.notes import Line
from nightspot.backends.aws.ownfiles import Files, aside_name, life, words_of
from nightspot.backends.aws.request import checkpoint_uri, control_uri, quarantine_uri
from nightspot.backends.aws.standing import End, Stand
from nightspot.backends.aws.store import Object, Store
from nightspot.backends.aws.wrapped import NOTHING, Progress
from nightspot.errors import Unsure
from nightspot.model.attempt import Phase, Role
from nightspot.model.capacity import Market
from nightspot.night.ports import EndKind, LaunchSpec

# A list is asked for a few times in each checkpoint interval: seldom enough to cost nothing, often enough to be worth it (market seconds).
LOOKS_IN_INTERVAL, LOOK_MIN_S, LOOK_MAX_S = 4.0, 15.0, 60.0
LOOK_REAL_MIN_S = 0.3
# Nothing new for so many intervals, and so many seconds more, is not just a slow upload.
SILENT_INTERVALS, SILENT_S = 2.0, 300.0
# A program that has said nothing for so much of the start-up it was given is one that never speaks: it trains.
SILENT_AFTER_LEAD, LEAD_S = 0.9, 600.0


@dataclass(slots=True)
class Watch:
    """One Attempt's part of the bucket. What it remembers sets its pace, and shows what must be seen twice; no more depends on it.

    `gone_utc`: when a PROBE was told `go`. Before that it waits, and what is in the bucket is another's.
    """

    spec: LaunchSpec
    store: Store
    time_scale: float = 1.0
    progress: Progress = NOTHING
    gone_utc: float | None = None
    _next_s: float = 0.0
    _listen_s: float = 0.0
    _manifests: Manifests = field(init=False)
    _files: Files = field(init=False)
    _phase: Line | None = None

    def __post_init__(self) -> None:
        self._manifests = Manifests(partial(_get, self.store, self.uri or ""))
        part = partial(_part, self.store, self.uri or "")
        self._files = Files(self.spec.job.checkpoint.pattern or "", self.spec.job.work.units, part, self.time_scale)

    @property
    def waits(self) -> bool:
        """Whether it is a PROBE that was not told `go`, as far as is known."""
        return self.spec.role is Role.PROBE and self.gone_utc is None

    @property
    def uri(self) -> str | None:
        """Where the Run's checkpoints lie."""
        return checkpoint_uri(self.spec.pool, self.spec.run_id)

    @property
    def control(self) -> str | None:
        """Where words lie; None where nobody would read them."""
        wrapper = self.spec.pool.options.get("wrapper")
        return control_uri(self.spec.pool, self.spec.run_id, self.spec.token) if wrapper else None

    def listen(self, *, last: bool) -> None:
        """Hear what the wrapper tells, if it is time to. `last`: it has ended; then at any pace, and Unsure where that cannot be had."""
        if self.control is None or (not last and time.monotonic() < self._listen_s):
            return
        self._listen_s = time.monotonic() + self._real_s(LOOK_MIN_S)
        try:
            raw = self.store.read(f"{self.control}{wrapped.NAME}", wrapped.BYTES_MAX)
        except Rejected:
            return  # the look below says so
        except Unsure:
            if last:
                raise
            return
        self.progress = wrapped.progress_of(raw or b"") or self.progress

    def look(self, lines: Sequence[Line], now_utc: float, *, last: bool, end: End | None = None) -> list[Line]:
        """What is new, as lines. `last`: it has ended; then there is a look whatever the pace, and Unsure where it cannot be had.

        `end`: how it did. Files that were left torn are set aside before anybody can start from them.
        """
        phase, before = said.phase_now(lines), self._phase
        if not last and phase == before and time.monotonic() < self._next_s:
            return []
        self._next_s, self._phase = time.monotonic() + self._pace_s(lines), phase
        try:
            looks = self.uri and self._source in ("manifests", "files") and not self.waits
            listing = self.store.listing(self.uri) if self.uri and looks else {}
            return self._news(lines, listing, now_utc, last=last, end=end)
        except Rejected as error:
            return self._once(lines, "bucket", f"checkpoints cannot be seen: {error}", now_utc)
        except Unsure:
            if last:
                raise
            return []

    def stands(self, lines: Sequence[Line], stands: Sequence[Stand], now_utc: float) -> list[Stand]:
        """The same, but that training begins when the program says so: a container that runs is not yet at work.

        One that never speaks counts as training once it was silent for most of the time that its start-up may take. On-demand that time
        begins with the request, as for the guard: it would give up as overdue what has long been at work.
        """
        if self.waits:
            return self._waiting(lines, stands, now_utc)
        *before, stand = stands
        known = said.phase_now(lines)
        told = known is not None and (known["incarnation"], known["phase"]) == (stand.incarnation, stand.phase.value)
        if stand.phase is not Phase.TRAINING or told or self.control is None:
            return list(stands)
        new = not said.heard(lines, self.progress.incarnation)
        stand = replace(stand, at_utc=max(stand.at_utc, self.gone_utc or stand.at_utc))
        if self._source != "manifests":
            return [*before, stand]
        if self.progress.trains and new:
            return [*before, replace(stand, at_utc=now_utc, units_done=self.progress.units_done)]
        silent = now_utc - self._starts_utc(stands, stand) >= SILENT_AFTER_LEAD * self._lead_s()
        return [*before, stand] if silent else before

    def _waiting(self, lines: Sequence[Line], stands: Sequence[Stand], now_utc: float) -> list[Stand]:
        """A container that runs has the place, and waits: ready once it says so, and no training."""
        kept = [one for one in stands if one.phase is not Phase.TRAINING]
        last = stands[-1]
        says = self.progress.waits and not said.heard(lines, self.progress.incarnation)
        runs = last.phase is Phase.TRAINING and says
        return [*kept, replace(last, phase=Phase.READY, at_utc=now_utc)] if runs else kept

    def _lead_s(self) -> float:
        return self.spec.pool.bounds.lead_s if self.spec.pool.bounds is not None else LEAD_S

    def _starts_utc(self, stands: Sequence[Stand], stand: Stand) -> float:
        """From when on its start-up may take so long."""
        if self.spec.pool.market is not Market.ON_DEMAND or self.spec.role is Role.PROBE:
            return stand.at_utc
        return min(one.at_utc for one in stands if one is stands[-1] or one.incarnation == stand.incarnation)

    @property
    def _source(self) -> str:
        return str(self.spec.pool.options.get("progress") or "none")

    def _pace_s(self, lines: Sequence[Line]) -> float:
        """Sooner where something is known to be on its way."""
        coming = self.progress.saved_units > said.durable_units(lines, self.spec.units_start)
        wish_s = 0.0 if coming else self.spec.job.checkpoint.interval_s / LOOKS_IN_INTERVAL
        return self._real_s(min(LOOK_MAX_S, max(LOOK_MIN_S, wish_s)))

    def _real_s(self, market_s: float) -> float:
        return max(LOOK_REAL_MIN_S, market_s / self.time_scale)

    def _news(
        self, lines: Sequence[Line], listing: Mapping[str, Object], now_utc: float, *, last: bool, end: End | None
    ) -> list[Line]:
        new: list[Line] = []
        at_utc = said.clamped(lines, now_utc, now_utc)
        found, torn = self._newest(lines, listing, now_utc, (end.at_utc if end else now_utc) if last else None)
        if found is not None and found.units_done > said.durable_units(lines, self.spec.units_start):
            save_s = self.progress.save_s * self.time_scale if self.progress.saved == found.name else 0.0
            new.append(said.checkpoint_line(found, at_utc, save_s))
        for name, what in self._manifests.damaged.items():
            message = f"checkpoint {name} of {self.uri} is damaged, and passed over: {what}"
            new += self._once([*lines, *new], f"damaged {name}", message, now_utc)
        for topic, message in self.progress.warnings.items():
            new += self._once([*lines, *new], topic, message, now_utc)
        if torn and self._nobody_starts(lines, last=last, end=end):
            new += self._aside([*lines, *new], torn, now_utc)
        return new + self._silence([*lines, *new], now_utc)

    def _newest(
        self, lines: Sequence[Line], listing: Mapping[str, Object], now_utc: float, end_utc: float | None
    ) -> tuple[Durable | None, list[Object]]:
        if self._source == "files":
            return self._files.look(listing, life(lines, now_utc, end_utc), now_utc)
        return (self._manifests.newest(listing, now_utc) if self._source == "manifests" else None), []

    def _nobody_starts(self, lines: Sequence[Line], *, last: bool, end: End | None) -> bool:
        """Whether no instance writes here, or fetches what is here. A PROBE may queue while another Attempt trains."""
        if self.waits:
            return False
        if last:
            return end is None or end.kind is not EndKind.SUCCEEDED
        phase = said.phase_now(lines)
        return phase is not None and phase["phase"] == Phase.QUEUED.value and phase["incarnation"] > 1

    def _aside(self, lines: Sequence[Line], torn: Sequence[Object], now_utc: float) -> list[Line]:
        """Out of what the next instance gets: it would start from half a file, and fail."""
        new: list[Line] = []
        where = quarantine_uri(self.spec.pool, self.spec.run_id)
        for one in torn:
            try:
                if not self.store.set_aside(f"{self.uri}{one.name}", one.etag, f"{where}{aside_name(one)}"):
                    continue
                words = words_of(one, where)
            except Rejected as error:
                words = words_of(one, where, error)
            new += self._once([*lines, *new], f"torn {one.name} {one.etag}", words, now_utc)
        return new

    def _once(self, lines: Sequence[Line], topic: str, message: str, now_utc: float) -> list[Line]:
        if said.warned(lines, topic):
            return []
        return [said.warning_line(topic, message, said.clamped(lines, now_utc, now_utc))]

    def _silence(self, lines: Sequence[Line], now_utc: float) -> list[Line]:
        """Training goes on and nothing newer is in the bucket: said once, until there is something newer."""
        since_utc = self._quiet_since_utc(lines)
        interval_s = self.spec.job.checkpoint.interval_s
        if since_utc is None or interval_s <= 0 or now_utc - since_utc < SILENT_INTERVALS * interval_s + SILENT_S:
            return []
        return self._once(lines, f"silent since {since_utc}", _silence_message(self.uri, since_utc, now_utc), now_utc)

    def _quiet_since_utc(self, lines: Sequence[Line]) -> float | None:
        """Since when nothing newer has arrived while it trained; None while it does not."""
        last = said.phase_now(lines)
        if last is None or last["phase"] != Phase.TRAINING.value or self._source not in ("manifests", "files"):
            return None
        return max(float(line["at_utc"]) for line in lines if line is last or line.get("kind") == "checkpoint")


def _part(store: Store, uri: str, one: Object, start: int, count: int) -> bytes | None:
    return store.part(uri + one.name, one.etag, start, count)


def _get(store: Store, uri: str, name: str, most_bytes: int) -> bytes | None:
    return store.read(uri + name, most_bytes)


def _silence_message(uri: str | None, since_utc: float, now_utc: float) -> str:
    clock = datetime.fromtimestamp(since_utc, timezone.utc).strftime("%H:%M UTC")
    minutes = (now_utc - since_utc) / 60
    return (
        f"training goes on, but nothing new has come to {uri} since {clock}: {minutes:.0f} min of work would be lost "
        f"if capacity went now. Does it write to the checkpoint folder, and may its role write to the bucket?"
    )
