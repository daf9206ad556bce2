"""Which checkpoint to go on from, and putting it back: nothing live changes before all bytes are verified."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nightspot.checkpoint import capture, manifest, random_state
from nightspot.checkpoint.errors import ConfigError, DamagedError, LoadError
from nightspot.checkpoint.manifest import Head, Manifest
from nightspot.checkpoint.retention import LOADING

MOST_TRIES = 3  # loads of one checkpoint that never came to an end


@dataclass(slots=True)
class Search:
    """Looks for the newest checkpoint that this training can go on from; `bad` collects those passed over.

    staging: where loads that have not ended are noted, if not in `folder`.
    """

    folder: Path
    here: Head
    warn: Callable[[str], None]
    bad: set[str] = field(default_factory=set)
    staging: Path | None = None

    def newest(self) -> Manifest | None:
        """None if there is no usable one and a start from the beginning makes sense.

        Raises ConfigError: it belongs to another job, or every load of what is there came to a bad end.
        """
        crashing = []
        for name in manifest.names(self.folder):
            if self._tries(name) >= MOST_TRIES:
                crashing.append(name)
                self._pass_over(name, f"{name}: {MOST_TRIES} loads of it never ended: one step back")
            elif (found := self._verified(name)) is not None:
                self._check(found)
                return found
        if crashing:
            raise ConfigError(f"no checkpoint is left that loads: {', '.join(crashing)}; start in an empty folder")
        if self.bad:
            self.warn("no whole checkpoint is left: starting from the beginning")
        return None

    def _tries(self, name: str) -> int:
        folders = {self.folder, self.staging or self.folder}
        return sum(tries(folder, name) for folder in folders)

    def _verified(self, name: str) -> Manifest | None:
        try:
            return manifest.verify(self.folder / name)
        except DamagedError as error:
            self._pass_over(name, f"damaged checkpoint skipped: {error}")
            return None

    def _pass_over(self, name: str, why: str) -> None:
        self.bad.add(name)
        self.warn(why)

    def _check(self, found: Manifest) -> None:
        there, here = found.head, self.here
        if here.fingerprint is not None and there.fingerprint != here.fingerprint:
            raise ConfigError(
                f"{found.name} was made by another job: its fingerprint is {there.fingerprint}, "
                f"expected {here.fingerprint}; start in an empty folder"
            )
        if there.world_size != here.world_size:
            raise ConfigError(
                f"{found.name} was made by {there.world_size} processes, this training has {here.world_size}"
            )
        for what in sorted(there.versions.keys() & here.versions.keys()):
            if there.versions[what] != here.versions[what]:
                change = f"{what} was {there.versions[what]}, is {here.versions[what]}"
                self.warn(f"{found.name}: {change}: the result may differ in its last bits")


def load(
    checkpoint: Path, files: tuple[manifest.File, ...], states: Mapping[str, object], staging: Path | None = None
) -> Any:
    """Put every state back; returns the random states, which are not set yet.

    staging: where to note that a load has begun, if not beside the checkpoint: a note copied at that moment would
        outlive the load, and count against a sound checkpoint on the next machine.
    Raises ConfigError if the checkpoint does not fit the program, LoadError if loading fails: that counts
    as a try, and so does a crash of the process meanwhile.
    """
    marker = _marker(staging or checkpoint.parent, checkpoint.name)
    _note_try(marker)
    try:
        saved, random_states = capture.read(checkpoint, {file.name for file in files}, states)
        capture.put_back(states, saved)
    except ConfigError:
        marker.unlink()
        raise
    except Exception as error:
        raise LoadError(f"{checkpoint.name} is whole, but loading it failed: {error!r}") from error
    marker.unlink()
    _forgive(_marker(checkpoint.parent, checkpoint.name))
    return random_states


def set_random(random_states: Any, warn: Callable[[str], None]) -> None:
    """Put back every global random state."""
    for warning in random_state.restore(random_states):
        warn(warning)


def tries(folder: Path, name: str) -> int:
    """Loads of a checkpoint that began and did not end."""
    try:
        return _marker(folder, name).stat().st_size
    except FileNotFoundError:
        return 0


def _forgive(marker: Path) -> None:
    """Earlier tries no longer count. Emptied, not removed: where the folder is copied, a removal may not be."""
    try:
        if marker.stat().st_size:
            os.truncate(marker, 0)
    except FileNotFoundError:
        return


def _marker(folder: Path, name: str) -> Path:
    return folder / f"{LOADING}{name}"


def _note_try(marker: Path) -> None:
    with marker.open("ab") as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())
