"""A plain training loop becomes one that may be taken away at any moment: see docs/checkpoint.md."""

from __future__ import annotations

import math
import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, final

from nightspot.checkpoint import _numpy, _torch, random_state, restore, settings
from nightspot.checkpoint.capture import capture, check_states
from nightspot.checkpoint.commit import commit
from nightspot.checkpoint.errors import EXIT_CONFIG, EXIT_START_AGAIN, ConfigError, SaveError
from nightspot.checkpoint.lock import FolderLock
from nightspot.checkpoint.manifest import Head, Manifest
from nightspot.checkpoint.notice import Notice, SaveRequest
from nightspot.checkpoint.progress import Progress, not_finite
from nightspot.checkpoint.retention import retain, staging_for, sweep

MOST_FAILED_SAVES = 3
PROGRESS_INTERVAL_S = 0.5
KEEP_COPIED = 2


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
    folder: for checkpoints; None: none are written. interval_s: seconds between two of them (default 600).
    fingerprint: what the job is; a checkpoint of another job is refused. keep: how many checkpoints stay.
    nightspot's environment overrides folder, interval and fingerprint.

    Raises ValueError or StateError at once for a name or an object that cannot be a state.
    """

    def __init__(
        self,
        states: Mapping[str, object],
        *,
        folder: str | Path | None = None,
        interval_s: float | None = None,
        keep: int = 2,
        fingerprint: str | None = None,
    ) -> None:
        check_states(states)
        if keep < 1:
            raise ValueError(f"keep = {keep}: expected 1 or more")
        self._states, self._keep = dict(states), keep
        self._wishes = settings.Wishes(None if folder is None else Path(folder), interval_s, fingerprint)
        self._progress = Progress(None)
        self._lock: FolderLock | None = None
        self._staging: Path | None = None  # where to write and to drop, once the folder is open
        self._markers: Path | None = (
            None  # where loads are noted: nothing is renamed from there, any file system will do
        )
        self._bad: set[str] = set()
        self._durable: str | None = None  # the newest checkpoint known to be whole
        self._random: Any = None
        self._failed_saves = 0
        self._ready = False
        self._saved_s = self._reported_s = -math.inf

    def __enter__(self) -> Session:
        """Read the environment and listen for SIGTERM. Raises SystemExit(78) if the environment is wrong."""
        try:
            self._settings = settings.read(os.environ, self._wishes)
        except ConfigError as error:
            raise self._refusal(error) from error
        self._progress = Progress(self._settings.progress)
        self._notice = Notice(self._settings.notice)
        self._request = SaveRequest(self._settings.save_request)
        if self._settings.folder is not None:  # else nothing could be saved: SIGTERM shall end us as ever
            self._notice.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of everything. A ConfigError becomes SystemExit(78): starting again will not help."""
        refusal = self._refusal(error) if isinstance(error, ConfigError) else None
        self._notice.remove()
        self._progress.close()
        if self._lock is not None:
            self._lock.release()
        if refusal is not None:
            raise refusal from error

    def restore(self) -> Restored | None:
        """Go on from the newest whole checkpoint; None: this is the beginning. Call it once, first.

        Raises ConfigError (exit code 78): another job's checkpoint, other states, another world size.
        Raises StateError for a state that could not be saved later, LoadError, FolderInUseError, OSError.
        """
        self._refuse_many_processes()
        capture(self._states, None)  # what cannot be saved is better said now than at the first save
        found = self._restore()
        self._ready, self._saved_s = True, time.monotonic()
        self._progress.report("training", units_done=0.0 if found is None else found.units_done)
        return found

    def restore_random(self) -> None:
        """After `iter(loader)` of a loader that draws from the global random state: set it once more.

        Does nothing unless a checkpoint was restored, and nothing the second time.
        """
        if self._random is not None:
            restore.set_random(self._random, self._warn)
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
        if self._settings.folder is None:
            return
        if self._notice.given():
            self._save(units_done)
            self._leave()
        asked = self._request.wanted()
        if asked or time.monotonic() - self._saved_s >= self._settings.interval_s:
            self._save_and_go_on(units_done)

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
        self._progress.report("done", units_done=float(units_done), metrics=numbers, facts=dict(facts or {}))

    def _restore(self) -> Restored | None:
        folder = self._settings.folder
        if folder is None:
            self._say("no checkpoint folder was given: nothing is saved, an interruption loses all work")
            return None
        self._open(folder)
        search = restore.Search(folder, self._head(0), self._warn, staging=self._markers)
        newest = search.newest()
        self._bad = search.bad
        if newest is None:
            return None
        self._random = restore.load(folder / newest.name, newest.files, self._states, self._markers)
        restore.set_random(self._random, self._warn)
        self._durable = newest.name
        return Restored(newest.name, newest.head.units_done, newest.head.attempt)

    def _open(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(folder)
        alone = self._lock.acquire()  # else an unfinished folder may be a living process's
        wished = self._settings.staging
        self._staging = staging_for(folder, wished)
        self._markers = wished if wished is not None and wished.is_dir() else folder
        for place in {folder, self._staging} if alone else ():
            sweep(place)

    def _save_and_go_on(self, units_done: float) -> None:
        saved = self._save(units_done)
        if saved and self._notice.given():  # it came meanwhile: this very state is durable already
            self._leave()
        if self._failed_saves >= MOST_FAILED_SAVES:
            raise SaveError(f"{MOST_FAILED_SAVES} saves in a row failed; the newest checkpoint is {self._durable}")

    def _save(self, units_done: float) -> bool:
        began_s = time.monotonic()
        try:
            made = self._commit(units_done)
        except OSError as error:
            self._failed_saves += 1
            self._warn(f"a checkpoint could not be saved, the newest is {self._durable}: {error}")
            return False
        finally:
            self._saved_s = time.monotonic()
            self._request.look_again()
        self._failed_saves, self._durable = 0, made.name
        self._report_checkpoint(made, self._saved_s - began_s)
        return True

    def _commit(self, units_done: float) -> Manifest:
        assert self._settings.folder is not None  # noqa: S101
        blobs = capture(self._states, random_state.capture())
        return commit(self._settings.folder, blobs, self._head(units_done), self._staging)

    @property
    def _kept(self) -> int:
        """Where the folder is copied away while we write, the newest may not be there yet when the machine goes: one more stays."""
        return self._keep if self._settings.staging is None else max(self._keep, KEEP_COPIED)

    def _report_checkpoint(self, made: Manifest, save_s: float) -> None:
        told = {"name": made.name, "digest": made.digest, "size_bytes": made.size_bytes}
        self._progress.report("checkpoint", units_done=made.head.units_done, save_s=round(save_s, 6), **told)
        try:
            retain(self._settings.folder or Path(), self._kept, self._bad, self._staging)
        except OSError as error:
            self._warn(f"an old checkpoint could not be removed: {error}")

    def _leave(self) -> None:
        """On notice. Code 75 promises a durable checkpoint; an older one keeps that promise too."""
        if self._durable is None:
            raise SaveError("asked to end, and no checkpoint could be saved")
        self._say(f"asked to end: {self._durable} is durable, exit code {EXIT_START_AGAIN}")
        raise SystemExit(EXIT_START_AGAIN)

    def _report_progress(self, units_done: float, metrics: Mapping[str, float]) -> None:
        now_s = time.monotonic()
        if now_s - self._reported_s < PROGRESS_INTERVAL_S:
            return
        self._reported_s = now_s
        numbers = {name: float(value) for name, value in metrics.items()}
        for name in not_finite(numbers):
            self._warn(f"{name} = {numbers.pop(name)} at {units_done} units")
        self._progress.report("progress", units_done=float(units_done), metrics=numbers)

    def _head(self, units_done: float) -> Head:
        here = self._settings
        return Head(float(units_done), here.attempt, here.world_size, here.fingerprint, _versions())

    def _refuse_many_processes(self) -> None:
        if self._settings.world_size > 1 and self._settings.folder is not None:
            raise ConfigError(f"$WORLD_SIZE = {self._settings.world_size}: this version checkpoints one process only")

    def _refusal(self, error: ConfigError) -> SystemExit:
        self._warn(f"{error} (exit code {EXIT_CONFIG}: starting again will not help)")
        return SystemExit(EXIT_CONFIG)

    def _warn(self, message: str) -> None:
        self._say(f"warning: {message}")
        self._progress.report("warning", message=message)

    def _say(self, message: str) -> None:
        print(f"nightspot: {message}", file=sys.stderr, flush=True)  # noqa: T201 - the user's terminal or log


def _check_units(units_done: float) -> None:
    if not (math.isfinite(units_done) and units_done >= 0):
        raise ValueError(f"units_done = {units_done}: expected a finite number, 0 or more")


def _versions() -> dict[str, str]:
    numpy = _numpy.version()
    found = {"python": platform.python_version()} | ({} if numpy is None else {"numpy": numpy})
    return found | _torch.versions()
