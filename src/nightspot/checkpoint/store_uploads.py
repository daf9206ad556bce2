"""Between the saves of a session and its store: a checkpoint counts as durable once it is in the bucket."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nightspot.checkpoint import manifest
from nightspot.checkpoint.errors import ConfigError
from nightspot.checkpoint.grace import LEAVING_S, Grace
from nightspot.checkpoint.manifest import Manifest
from nightspot.checkpoint.settings import Settings
from nightspot.checkpoint.store import Failed, Outcome, Retained, Said, Store, Stored
from nightspot.checkpoint.store_errors import StoreError
from nightspot.checkpoint.voice import Voice

UNKNOWN_GRACE_S = 30.0  # where nobody said when the kill comes: what most of those who send SIGTERM give
WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Done:
    """A save that was committed on this machine. began_s: on the monotonic clock; save_s, stall_s: how long it took, and held up."""

    name: str
    digest: str
    size_bytes: int
    units_done: float
    began_s: float
    save_s: float
    stall_s: float

    def stored(self, now_s: float) -> Done:
        """The same, durable only now."""
        own = (self.name, self.digest, self.size_bytes, self.units_done, self.began_s)
        return Done(*own, max(self.save_s, now_s - self.began_s), self.stall_s)


def uploads_of(settings: Settings, folder: Path, kept: Retained, voice: Voice) -> Uploads | None:
    """None: this training has no store. Raises ConfigError."""
    if settings.store is None:
        return None
    return Uploads(Store(settings.store, folder, kept, attempt=settings.attempt), voice)


class Uploads:
    """Submits what was committed, and announces what is in the bucket.

    announce: told of each that has become durable. durable: of one that was there before, and is no news.
    """

    def __init__(self, store: Store, voice: Voice) -> None:
        self.store, self._voice = store, voice
        self.announce: Callable[[Done], None] = lambda _done: None
        self.durable: Callable[[str], None] = lambda _name: None
        self._open: dict[str, Done] = {}
        self.fetched: str | None = None  # what came from the bucket

    @property
    def waiting(self) -> Done | None:
        """The newest that is committed here and not known to be in the bucket."""
        return self._open.get(self.store.waiting or "")

    def fetch(self, folder: Path, above: int, check: Callable[[Manifest], None], staging: Path) -> str | None:
        """Name of the newest whole checkpoint of the bucket with a number higher than `above`, now in the folder.

        Raises ConfigError, OSError; StoreError where the bucket does not answer and there is none in the folder either.
        """
        try:
            found = self.store.fetch(above, self._voice.warn, check, staging)
        except StoreError as error:
            newest = next(iter(manifest.names(folder)), None)
            if newest is None:
                raise
            self._voice.warn(f"{error}; going on from what is on this machine: {newest}")
            return None
        if found is None:
            return None
        self.fetched = found.name
        self._voice.say(f"{found.name} came from {self.store.uri}")
        return found.name

    def begin(self, restored: Manifest | None) -> None:
        """After a restore: what training goes on from shall be in the bucket, too, before anything newer is."""
        if restored is None:
            self.store.start()
        elif restored.name == self.fetched:
            self.durable(restored.name)
            self.store.start()
        else:
            head, own = restored.head, (restored.name, restored.digest, restored.size_bytes)
            self.submit(Done(*own, head.units_done, time.monotonic(), 0.0, 0.0))

    def submit(self, done: Done) -> None:
        """It was just committed."""
        self._open[done.name] = done
        self.store.submit(done.name)

    def collect(self) -> None:
        """Hear, without waiting. Raises ConfigError where going on would be wrong."""
        self._heard(self.store.poll())

    def finish(self, grace: Grace | None) -> None:
        """Wait for the newest: on notice, as long as there is time; None: as long as it takes. Raises ConfigError."""
        left_s = WAIT_S
        if grace is not None:
            left_s = (UNKNOWN_GRACE_S if grace.left_s is None else grace.left_s) - LEAVING_S
        self._heard(self.store.finish(left_s))

    def close(self) -> None:
        """The uploader finishes what it was told."""
        try:
            self.collect()
        except ConfigError as error:
            self._voice.warn(str(error))
        if (late := self.waiting) is not None:
            self._voice.say(
                f"{late.name} is not in {self.store.uri} yet: its upload goes on for a while after this process"
            )
        self.store.close()

    def _heard(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Said):
                self._voice.warn(outcome.message)
                continue
            done = self._open.pop(outcome.name, None)
            if isinstance(outcome, Failed):
                self._failed(outcome)
            elif isinstance(outcome, Stored) and done is not None:
                self._stored(outcome, done)

    def _stored(self, outcome: Stored, done: Done) -> None:
        if outcome.sent:
            self.announce(done.stored(time.monotonic()))
        else:
            self.durable(done.name)

    def _failed(self, outcome: Failed) -> None:
        if outcome.final:
            raise ConfigError(outcome.why)
        self._voice.warn(f"{outcome.name} could not be stored: {outcome.why}")
