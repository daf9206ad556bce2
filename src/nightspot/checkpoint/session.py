"""A plain training loop becomes one that may be taken away at any moment: see docs/checkpoint.md."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, final

from nightspot.checkpoint import restore, resumed, settings, store_restore, versions
from nightspot.checkpoint.ahead.ahead import Ahead, ahead_of
from nightspot.checkpoint.background import Background
from nightspot.checkpoint.capture import capture, check_states
from nightspot.checkpoint.errors import EXIT_CONFIG, EXIT_START_AGAIN, ConfigError, SaveError
from nightspot.checkpoint.grace import Action, decide
from nightspot.checkpoint.hand import Hand
from nightspot.checkpoint.inline import Inline
from nightspot.checkpoint.interval import Kind, Rule
from nightspot.checkpoint.manifest import Head
from nightspot.checkpoint.many import ranks, reading
from nightspot.checkpoint.many.opening import open_together
from nightspot.checkpoint.notice import Notice, SaveRequest
from nightspot.checkpoint.opening import Opened
from nightspot.checkpoint.progress import Progress, not_finite
from nightspot.checkpoint.saving import MOST_FAILED_SAVES, Keeping, Saver
from nightspot.checkpoint.schedule import Schedule
from nightspot.checkpoint.store import Retained
from nightspot.checkpoint.store_uploads import Uploads, uploads_of
from nightspot.checkpoint.voice import Voice

PROGRESS_INTERVAL_S = 0.5
KEEP_COPIED = 2
RESIZES = ("refuse", "reshard")


@dataclass(frozen=True, slots=True)
class Restored:
    """What training goes on from: the checkpoint's name, its units done, and the Attempt that wrote it."""

    name: str
    units_done: float
    attempt: int


@final
class Session:
    """Saves and restores `states` around a loop, and ends the process when its capacity is taken away.

    states: by name; anything with state_dict and load_state_dict, plain dicts (restored in place), generators
        of `random`, numpy and torch. Python's, numpy's and torch's global random states come by themselves.
    folder: for checkpoints; None: none are written. store: s3://bucket/prefix where they are uploaded to in the background;
        with one, only what is in it counts as durable, and a machine with an empty folder goes on from there.
    interval: how often, "auto" unless given; interval_s: the same in
        seconds (0: after every step, which then waits for it).
    keep: how many checkpoints stay; keep_every: those whose number is a multiple of it stay for good.
    fingerprint: what the job is; a checkpoint of another job is refused.
    background: False: each save holds training up until it is durable, and no writer process is started.
    copy_ahead: keys of sparse embeddings (`model/users.weight`), or True for all: copied while training goes on, which
        stops only for the rows touched since (see docs/checkpoint.md).
    resize: "reshard" to go on from a checkpoint that another number of ranks wrote; else it is refused.
    nightspot's environment overrides folder, store, interval, fingerprint and background.

    Raises ValueError or StateError at once for a name or an object that cannot be a state.
    """

    def __init__(
        self,
        states: Mapping[str, object],
        *,
        folder: str | Path | None = None,
        store: str | None = None,
        interval: str | float | None = None,
        interval_s: float | None = None,
        keep: int = 2,
        keep_every: int | None = None,
        fingerprint: str | None = None,
        background: bool = True,
        copy_ahead: Sequence[str] | bool = (),
        resize: str = "refuse",
    ) -> None:
        check_states(states)
        if resize not in RESIZES:
            raise ValueError(f"resize = {resize!r}: expected {' or '.join(map(repr, RESIZES))}")
        self._resize = resize
        _check_keeping(keep, keep_every)
        self._states, self._keep, self._keep_every = dict(states), keep, keep_every
        wished = interval if interval is not None else interval_s
        self._wishes = settings.Wishes(None if folder is None else Path(folder), wished, fingerprint, store)
        self._background, self._copy_ahead = background, copy_ahead
        self._voice = Voice(Progress(None))
        self._opened: Opened | None = None
        self._saver: Saver | None = None
        self._ahead: Ahead | None = None
        self._random: Any = None
        self._ready = self._asked = False
        self._ranks: ranks.Ranks = ranks.Alone()
        self._reported_s = -math.inf

    def __enter__(self) -> Session:
        """Read the environment and listen for SIGTERM. Raises SystemExit(78) if the environment is wrong."""
        self._owner = os.getpid()
        try:
            self._settings = settings.read(os.environ, self._wishes)
        except ConfigError as error:
            raise self._refusal(error) from error
        self._voice = Voice(Progress(self._settings.progress))
        self._schedule = Schedule(self._settings.rule, self._settings.hazard, self._settings.longest_s)
        self._notice = Notice(self._settings.notice)
        self._request = SaveRequest(self._settings.save_request)
        if self._settings.folder is not None:  # else nothing could be saved: SIGTERM shall end us as ever
            self._notice.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the save in flight and let go of everything. A ConfigError becomes SystemExit(78)."""
        if self._owner != os.getpid():  # a forked child leaves the block: it must not take the writer's answers
            return
        refusal = self._refusal(error) if isinstance(error, ConfigError) else None
        try:
            if self._saver is not None:
                if kind is not None:
                    self._saver.hurry()
                self._saver.close()
        finally:
            self._notice.remove()
            self._voice.progress.close()
            if self._opened is not None:
                self._opened.close()
        if refusal is not None:
            raise refusal from error

    def restore(self) -> Restored | None:
        """Go on from the newest whole checkpoint; None: this is the beginning. Call it once, first.

        Raises ConfigError (exit code 78): another job's checkpoint, other states, another world size.
        Raises StateError for a state that could not be saved later, LoadError, FolderInUseError, OSError.
        """
        self._join()
        # What cannot be saved is better said now than at the first save.
        ranks.together(self._ranks, lambda: capture(self._states, None))
        self._ahead = ahead_of(self._states, self._copy_ahead, self._voice, self._ranks.size)
        found = self._restore()
        self._ready = True
        units_done = 0.0 if found is None else found.units_done
        self._schedule.begin(time.monotonic(), units_done)
        self._voice.report("training", units_done=units_done)
        return found

    def restore_random(self) -> None:
        """After `iter(loader)` of a loader that draws from the global random state: set it once more.

        Does nothing unless a checkpoint was restored, and nothing the second time.
        """
        if self._random is not None:
            restore.set_random(self._random, self._voice.warn)
        self._random = None

    def step(self, units_done: float, metrics: Mapping[str, float] | None = None) -> None:
        """After each step, where all states agree: reports, and saves if due, asked for, or on notice.

        units_done: work done since the very beginning, in the job file's unit (`12.25` epochs).
        Raises SystemExit(75) once this process was told that it is about to end, and one more checkpoint is
        durable; SaveError after 3 failed saves in a row; ValueError for `units_done` not finite or negative.
        """
        if not self._ready:
            raise RuntimeError("call restore() before the first step(), or earlier work would be lost")
        _check_units(units_done)
        self._report_progress(units_done, metrics or {})
        if self._saver is None:
            return
        due = self._schedule.due(time.monotonic(), units_done)
        self._asked = self._request.wanted() or self._asked
        self._saver.collect()
        self._say_news()
        self._refuse_to_pretend(self._saver)
        wants = ranks.Wants(self._notice.given(), self._asked, due, self._saver.busy, always=self._every_step)
        agreed = self._ranks.exchange(wants, units_done)
        if agreed.notice:
            self._save_and_leave(self._saver, units_done)
        elif agreed.save and (self._waits or self._saver.ready()):
            self._save_and_go_on(self._saver, units_done)
        else:
            self._saver.prepare()

    def done(
        self,
        units_done: float,
        metrics: Mapping[str, float] | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> None:
        """All work is done and the artefact is written. A notice from here on changes nothing.

        facts: what the lineage of the model should tell. Raises ValueError for a metric that is not finite.
        """
        _check_units(units_done)
        numbers = {name: float(value) for name, value in (metrics or {}).items()}
        if broken := not_finite(numbers):
            found = ", ".join(f"{name} = {numbers[name]}" for name in broken)
            raise ValueError(f"{found}: expected finite numbers; such a model must not be published")
        if self._saver is not None:
            self._saver.wait()
        self._voice.report("done", units_done=float(units_done), metrics=numbers, facts=dict(facts or {}))

    def _restore(self) -> Restored | None:
        folder = self._settings.folder
        if folder is None:
            self._voice.say("no checkpoint folder was given: nothing is saved, an interruption loses all work")
            return None
        self._opened = opened = open_together(self._ranks, folder, self._settings.staging)
        search = restore.Search(opened.folder, self._head(0), self._voice.warn, staging=opened.markers)
        search.read = partial(reading.read, live=self._states, among=self._ranks)
        search.ranks, search.resize, self._notice.told = self._ranks, self._resize, search.excuse
        kept = Retained(self._kept, self._keep_every)
        uploads = uploads_of(self._settings, opened.folder, kept, self._voice) if self._ranks.rank == 0 else None
        newest = search.newest() if self._settings.store is None else store_restore.newest(search, opened, uploads)
        self._saver = self._new_saver(opened, tuple(search.bad), uploads)
        if uploads is not None:
            uploads.begin(None if newest is None else newest.manifest)
        if newest is None:
            return None
        made = newest.manifest
        self._random = search.load(newest, self._states)
        restore.set_random(self._random, self._voice.warn)
        self._saver.durable = made.name if uploads is None else self._saver.durable
        if self._ranks.rank == 0:
            self._voice.say(resumed.sentence(made))
        return Restored(made.name, made.head.units_done, made.head.attempt)

    def _new_saver(self, opened: Opened, bad: tuple[str, ...], uploads: Uploads | None) -> Saver:
        keeping, hand = Keeping(self._kept, self._keep_every, bad), self._hand(opened)
        saver = Saver(self._states, opened, keeping, self._head, self._voice, hand, ranks=self._ranks, uploads=uploads)
        saver.ahead = self._ahead
        saver.listeners.append(self._schedule)
        return saver

    def _hand(self, opened: Opened) -> Hand:
        wanted = self._background if self._settings.background is None else self._settings.background
        return Background(opened.folder) if wanted else Inline()

    def _save_and_go_on(self, saver: Saver, units_done: float) -> None:
        self._request.look_again()
        self._request.wanted()  # another rank may have seen it first: this save fulfils it
        self._asked = False
        saver.begin(units_done)
        self._request.look_again()
        # It came meanwhile: the state just copied is that of now. Of several ranks, one alone must not leave.
        told = self._ranks.size == 1 and self._notice.given()
        saved = saver.wait() if told or self._waits else False
        if self._settings.waits:
            ranks.first(self._ranks, partial(saver.settle, None))
        if told and saved:
            self._leave(saver)
        self._refuse_to_pretend(saver)

    def _save_and_leave(self, saver: Saver, units_done: float) -> None:
        """As much as there is time for: see `grace`. Of several ranks, the first decides."""
        self._notice.heed()
        now = saver.standing(self._schedule.cost.saves_s)
        verdict = decide(self._notice.grace(), now)
        action, why = ranks.first(self._ranks, lambda: (verdict.action.value, verdict.why))
        saves = action == Action.SAVE.value
        (self._voice.say if saves else self._voice.warn)(f"asked to end: {why}")
        if saves:
            saver.begin(units_done)
        saver.wait()
        self._leave(saver)

    @property
    def _waits(self) -> bool:
        return self._settings.waits or self._every_step

    @property
    def _every_step(self) -> bool:
        return self._settings.rule in (Rule(Kind.TIME, 0.0), Rule(Kind.STEPS, 1.0))

    def _refuse_to_pretend(self, saver: Saver) -> None:
        if saver.failed_saves >= MOST_FAILED_SAVES:
            raise SaveError(f"{MOST_FAILED_SAVES} saves in a row failed; the newest checkpoint is {saver.durable}")

    @property
    def _kept(self) -> int:
        """Where the folder is copied away while we write, the newest may not be there yet when the machine goes: one more stays."""
        return self._keep if self._settings.staging is None else max(self._keep, KEEP_COPIED)

    def _leave(self, saver: Saver) -> None:
        """On notice. Code 75 promises a durable checkpoint; an older one keeps that promise too. Of several ranks, the first knows."""
        durable = ranks.first(self._ranks, partial(saver.settle, self._notice.grace()))
        if durable is None:
            raise SaveError("asked to end, and no checkpoint could be saved")
        self._voice.say(f"asked to end: {durable} is durable, exit code {EXIT_START_AGAIN}")
        raise SystemExit(EXIT_START_AGAIN)

    def _say_news(self) -> None:
        if (news := self._schedule.news(time.monotonic())) is not None:
            self._voice.say(news)

    def _report_progress(self, units_done: float, metrics: Mapping[str, float]) -> None:
        now_s = time.monotonic()
        if now_s - self._reported_s < PROGRESS_INTERVAL_S:
            return
        self._reported_s = now_s
        numbers = {name: float(value) for name, value in metrics.items()}
        for name in not_finite(numbers):
            self._voice.warn(f"{name} = {numbers.pop(name)} at {units_done} units")
        self._voice.report("progress", units_done=float(units_done), metrics=numbers)

    def _head(self, units_done: float) -> Head:
        here, libraries = self._settings, versions.here(self._states)
        return Head(
            float(units_done), here.attempt, self._ranks.size, here.fingerprint, libraries, round(time.time(), 3)
        )

    def _join(self) -> None:
        """Where nothing is saved, the ranks need not agree on anything."""
        if self._settings.folder is None:
            return
        self._ranks = ranks.join(self._settings.world_size)
        if self._ranks.rank > 0:
            self._voice = Voice(Progress(None), f"rank {self._ranks.rank}")
        ranks.same(self._ranks, "states", sorted(self._states), "expected the same names on all ranks")
        rule = self._settings.rule.text
        ranks.same(self._ranks, "checkpoint interval", rule, "expected the same on all ranks")

    def _refusal(self, error: ConfigError) -> SystemExit:
        self._voice.warn(f"{error} (exit code {EXIT_CONFIG}: starting again will not help)")
        return SystemExit(EXIT_CONFIG)


def _check_keeping(keep: int, keep_every: int | None) -> None:
    if keep < 1:
        raise ValueError(f"keep = {keep}: expected 1 or more")
    if keep_every is not None and keep_every < 1:
        raise ValueError(f"keep_every = {keep_every}: expected 1 or more, or None")


def _check_units(units_done: float) -> None:
    if not (math.isfinite(units_done) and units_done >= 0):
        raise ValueError(f"units_done = {units_done}: expected a finite number, 0 or more")
