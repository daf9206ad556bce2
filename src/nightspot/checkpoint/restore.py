"""Which checkpoint to go on from, and putting it back: nothing live changes before all bytes are verified."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from nightspot.checkpoint import capture, manifest, random_state, reading
from nightspot.checkpoint.errors import ConfigError, DamagedError, LoadError
from nightspot.checkpoint.manifest import Head, Manifest
from nightspot.checkpoint.many.ranks import Alone, Ranks, first, together
from nightspot.checkpoint.reading import Contents
from nightspot.checkpoint.retention import LOADING

MOST_TRIES = 3  # loads of one checkpoint that never came to an end
NOTED, TOLD = b"x", b"t"  # a load that began; one during which this process was told to end
TOLD_A_TRY = 4  # so many of the latter count as one: mostly capacity was taken away, but perhaps the load hung


@dataclass(frozen=True, slots=True)
class Found:
    """A whole checkpoint, verified to the last byte, and read as far as it has no live home; nothing live has changed."""

    manifest: Manifest
    contents: Contents


@dataclass(slots=True)
class Search:
    """Looks for the newest checkpoint that this training can go on from; `bad` collects those passed over.

    staging: where loads that have not ended are noted, if not in `folder`: a note copied at that moment would outlive
        the load, and count against a sound checkpoint on the next machine.
    read: of a checkpoint, into memory, all of it verified.
    ranks: all of them take the same checkpoint, and step back together. resize: "reshard" if another number may have
        written it.
    """

    folder: Path
    here: Head
    warn: Callable[[str], None]
    bad: set[str] = field(default_factory=set)
    staging: Path | None = None
    read: Callable[[Path, Manifest], Contents] = reading.read
    ranks: Ranks = field(default_factory=Alone)
    resize: str = "refuse"
    trying: Path | None = None

    def newest(self) -> Found | None:
        """None if there is no usable one and a start from the beginning makes sense.

        The try to load it is noted from here on until `ended`: a process that dies meanwhile counts against it.
        Raises ConfigError: it belongs to another job, or every load of what is there came to a bad end.
        """
        crashing = []
        for name in first(self.ranks, partial(manifest.names, self.folder)):
            if first(self.ranks, partial(self._tries, name)) >= MOST_TRIES:
                crashing.append(name)
                self._pass_over(name, f"{name}: {MOST_TRIES} loads of it never ended: one step back")
            elif (found := self._verified(name)) is not None:
                self._compare_versions(found.manifest)
                return found
        if crashing:
            raise ConfigError(f"no checkpoint is left that loads: {', '.join(crashing)}; start in an empty folder")
        if self.bad and self.ranks.rank == 0:
            self.warn("no whole checkpoint is left: starting from the beginning")
        return None

    def load(self, found: Found, states: Mapping[str, object]) -> Any:
        """Put every state back; returns the random states, which are not set yet.

        Raises ConfigError if the checkpoint does not fit the program, LoadError if loading fails: that counts as a
        try, and so does a crash of the process meanwhile.
        """
        name = found.manifest.name
        try:
            random_states = together(self.ranks, partial(_put_back, found, states))
        except ConfigError:
            self._unnote(name)
            raise
        self._unnote(name)
        if self.ranks.rank == 0:
            _forgive(_marker(self.folder, name))
        return random_states

    def _tries(self, name: str) -> int:
        folders = {self.folder, self.staging or self.folder}
        return sum(tries(folder, name) for folder in folders)

    def _verified(self, name: str) -> Found | None:
        try:
            return together(self.ranks, partial(self._read, name))
        except DamagedError as error:
            self._unnote(name)
            self._pass_over(name, f"damaged checkpoint skipped: {error}")
            return None
        except OSError:
            self._unnote(name)
            raise

    def _read(self, name: str) -> Found:
        head = manifest.read(self.folder / name)
        self.check(head)
        if self.ranks.rank == 0:
            self.trying = _marker(self.staging or self.folder, name)
            with _noted(self.trying):
                return Found(head, self.read(self.folder / name, head))
        return Found(head, self.read(self.folder / name, head))

    def excuse(self) -> None:
        """This process was told to end: that a load does not end now hardly speaks against the checkpoint. Never raises."""
        if self.trying is not None:
            _mark_told(self.trying)

    def _unnote(self, name: str) -> None:
        self.trying = None
        if self.ranks.rank == 0:
            _marker(self.staging or self.folder, name).unlink(missing_ok=True)

    def _pass_over(self, name: str, why: str) -> None:
        self.bad.add(name)
        if self.ranks.rank == 0:
            self.warn(why)

    def let_go(self, found: Found) -> None:
        """Of one that shall not be loaded after all."""
        found.contents.tensors.clear()
        self._unnote(found.manifest.name)

    def check(self, found: Manifest) -> None:
        """Raises ConfigError for a checkpoint that this training must not go on from."""
        there, here = found.head, self.here
        if here.fingerprint is not None and there.fingerprint != here.fingerprint:
            raise ConfigError(
                f"{found.name} was made by another job: its fingerprint is {there.fingerprint}, "
                f"expected {here.fingerprint}; start in an empty folder"
            )
        if there.world_size != here.world_size and self.resize != "reshard":
            raise ConfigError(
                f"{found.name} was written with world size {there.world_size}, this training has {here.world_size}: "
                f'start as many as then, or allow another number with Session(resize="reshard")'
            )

    def _compare_versions(self, found: Manifest) -> None:
        there, here = found.head, self.here
        for what in sorted(there.versions.keys() & here.versions.keys()):
            if there.versions[what] != here.versions[what]:
                change = f"{what} was {there.versions[what]}, is {here.versions[what]}"
                self.warn(f"{found.name}: {change}: the result may differ in its last bits")


def set_random(random_states: Any, warn: Callable[[str], None]) -> None:
    """Put back every global random state."""
    for warning in random_state.restore(random_states):
        warn(warning)


def tries(folder: Path, name: str) -> int:
    """Loads of a checkpoint that began and did not end."""
    try:
        noted = _marker(folder, name).read_bytes()
    except FileNotFoundError:
        return 0
    told = noted.count(TOLD)
    return len(noted) - told + told // TOLD_A_TRY


def _put_back(found: Found, states: Mapping[str, object]) -> Any:
    contents = found.contents
    try:
        saved, random_states = capture.decode(contents.trees, states, _by_key(contents))
        contents.tensors.clear()  # what modules have copied shall not stay in memory beside them
        _put_in_place(found)  # from here on live states change
        capture.put_back(states, saved)
    except (ConfigError, LoadError):
        raise
    except Exception as error:
        raise LoadError(f"{found.manifest.name} is whole, but loading it failed: {error!r}") from error
    return random_states


def _put_in_place(found: Found) -> None:
    """Into live tensors. The bytes were verified a moment ago, and are again: what differs now was changed meanwhile."""
    try:
        found.contents.put()
    except (DamagedError, OSError) as error:
        raise LoadError(
            f"{found.manifest.name} was whole, and changed while it was put back: {error}; the states in memory are "
            "half of it, and must not be trained on: start this program again"
        ) from error


def _by_key(contents: Contents) -> Callable[[Mapping[str, Any]], Any]:
    return lambda placeholder: contents.tensors[placeholder["key"]]


def _forgive(marker: Path) -> None:
    """Earlier tries no longer count. Emptied, not removed: where the folder is copied, a removal may not be."""
    try:
        if marker.stat().st_size:
            os.truncate(marker, 0)
    except FileNotFoundError:
        return


def _marker(folder: Path, name: str) -> Path:
    return folder / f"{LOADING}{name}"


@contextmanager
def _noted(marker: Path) -> Iterator[None]:
    """On a full disk without: it must not be what keeps a training from going on.

    It is there at once, which is what a process that dies needs; that it outlives the machine is waited for beside the
    reading, and before anything live changes.
    """
    with suppress(OSError), marker.open("ab", buffering=0) as file:
        file.write(NOTED)
    flushing = Thread(target=_flush, args=[marker], name="nightspot-note")
    flushing.start()
    try:
        yield
    finally:
        flushing.join()


def _flush(path: Path) -> None:
    with suppress(OSError), path.open("rb") as file:
        os.fsync(file.fileno())


def _mark_told(marker: Path) -> None:
    with suppress(OSError), marker.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(TOLD)
        file.flush()
        os.fsync(file.fileno())
