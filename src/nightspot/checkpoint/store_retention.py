"""Which checkpoints of a bucket go. The manifest first: from then on it does not exist, and its files are only rubbish."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from nightspot.checkpoint import bucket_look, manifest
from nightspot.checkpoint.bucket_objects import Bucket
from nightspot.checkpoint.errors import ConfigError, DamagedError
from nightspot.checkpoint.manifest import MANIFEST
from nightspot.checkpoint.store_errors import AbsentError
from nightspot.checkpoint.store_patience import Patience

THREADS = 8


def chosen(names: list[str], whole: Callable[[str], bool], keep: int, keep_every: int | None) -> set[str]:
    """Those that stay, of `names` (newest first): the `keep` newest whole ones, and every n-th by number.

    What is newer than the oldest of the kept stays, too, whole or not: somebody may be about to finish it.
    """
    kept: list[str] = []
    for name in names:
        if len(kept) == keep:
            break
        if whole(name):
            kept.append(name)
    if len(kept) < keep:
        return set(names)
    oldest = manifest.number(kept[-1])
    return {name for name in names if manifest.number(name) >= oldest or (_nth(name, keep_every) and whole(name))}


def _nth(name: str, keep_every: int | None) -> bool:
    return keep_every is not None and manifest.number(name) % keep_every == 0


@dataclass(slots=True)
class Retention:
    """Drops old checkpoints of one bucket, and what unfinished uploads have left below its prefix."""

    bucket: Bucket
    ask: Patience
    keep: int = 2
    keep_every: int | None = None
    _whole: set[str] = field(default_factory=set)  # known, so that they are not asked for each time

    def stored(self, name: str) -> None:
        """It was just stored, and is whole."""
        self._whole.add(name)

    def apply(self) -> list[str]:
        """Names of those that went. Call it after a checkpoint was stored: so the newest whole one is always kept."""
        names = bucket_look.names(self.bucket, self.ask)
        kept = chosen(names, self.whole, self.keep, self.keep_every)
        gone = [name for name in names if name not in kept]
        for name in reversed(gone):
            self.drop(name)
        return gone

    def whole(self, name: str) -> bool:
        """Whether its manifest is there and whole, and all of its files are there with the right sizes and hashes."""
        if name not in self._whole:
            try:
                found = bucket_look.read(self.bucket, name, self.ask)
            except (AbsentError, DamagedError, ConfigError):
                return False
            if bucket_look.faults(self.bucket, found, self.ask):
                return False
            self._whole.add(name)
        return True

    def drop(self, name: str) -> None:
        """Raises StoreError."""
        self._whole.discard(name)
        self.ask(lambda: self.bucket.delete(f"{name}/{MANIFEST}"))
        keys = [one.key for one in self.ask(lambda: list(self.bucket.objects(f"{name}/")))]
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(lambda key: self.ask(lambda: self.bucket.delete(key)), keys):
                pass

    def abort_others(self, name: str) -> int:
        """Give up multipart uploads that dead processes left, except those of `name`, which is about to be sent; how many."""
        begun = self.ask(lambda: self.bucket.uploads())
        ours = [one for one in begun if bucket_look.NAME.fullmatch(one[0].partition("/")[0])]
        left = [one for one in ours if not one[0].startswith(f"{name}/")]
        for key, upload in left:
            try:
                self.ask(lambda key=key, upload=upload: self.bucket.abort(key, upload))  # type: ignore[misc]
            except AbsentError:
                continue
        return len(left)
