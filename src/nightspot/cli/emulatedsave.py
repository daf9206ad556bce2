"""A save that is met on an instance of the drill's emulator: all of the program stands still, and then the instance is taken away."""

from __future__ import annotations

import os
import select
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterable, Optional, Sequence

from nightspot.checkpoint.manifest import number
from nightspot.cli.emulatedlife import PROBE, Incarnation
from nightspot.drill.apart.tree import Tree
from nightspot.drill.record import Blow
from nightspot.drill.seen.said import Ears
from nightspot.drill.seen.watcher import Watcher
from nightspot.drill.settings import Place
from nightspot.drill.strikes import KILL, InSave, whole_ones
from nightspot.process.identity import PROC, stat_fields
from nightspot.process.tree import PARENT, descendants

TEMPORARY = ".tmp-"


@dataclass(frozen=True, slots=True)
class Program:
    """What runs on the instance. take: gives the order, and returns when the instance is gone."""

    tree: Tree
    take: Callable[[], None]

    def freeze(self) -> bool:
        """See Tree."""
        return self.tree.freeze()

    def thaw(self) -> None:
        """See Tree."""
        self.tree.thaw()

    def writes_to(self, files: Iterable[Path]) -> Optional[Path]:
        """See Tree."""
        return self.tree.writes_to(files)

    def kill(self) -> None:
        """The instance goes, with all that stands still on it."""
        self.take()


@dataclass(slots=True)
class Saving:
    """An instance, and what is being written in its folder of checkpoints (`writing`), or in the one beside it in which
    nightspot.checkpoint writes (`staging`). Close it."""

    incarnation: Incarnation
    program: Program
    watcher: Watcher
    staged: Watcher
    writing: list[str] = field(default_factory=list)
    staging: list[str] = field(default_factory=list)

    @classmethod
    def begin(
        cls, incarnation: Incarnation, place: Place, emulator_pid: int, take: Callable[[], None]
    ) -> Optional[Saving]:
        """Once the training has begun; until then None: what was in the bucket is not being saved. OSError where nothing can be watched."""
        root_pid = _container(emulator_pid, incarnation.disk) if (incarnation.beside / PROBE).exists() else None
        if root_pid is None:
            return None
        watchers = Watcher(place), Watcher(Place(incarnation.staging))
        for watcher in watchers:
            watcher.open()
        return cls(incarnation, Program(Tree(root_pid), take), *watchers)

    @property
    def ears(self) -> Ears:
        """What it said."""
        return self.incarnation.ears

    @property
    def index(self) -> int:
        """Steps done in this Life."""
        return self.ears.steps

    def look(self) -> None:
        """All that has happened; steps first, as a save's are older than the save."""
        self.incarnation.look()
        self.staging = self.staged.look(self.index)  # before what is moved from there
        self.writing = self.watcher.look(self.index)

    def meet(self, way: InSave) -> Optional[Blow]:
        """Look, and strike if a save is under way."""
        self.look()
        begun = [name for name in self.staging if self._begins(name)]
        return way.strike(self) or (self._staged(begun) if begun and whole_ones(self) >= way.after else None)

    def _staged(self, begun: Sequence[str]) -> Optional[Blow]:
        """What is written beside the folder is a save until it is moved there."""
        if not self.program.freeze():
            return None
        self.look()
        left = [name for name in begun if (self.staged.place.folder / name).is_dir() and self._begins(name)]
        if not left:
            self.program.thaw()
            return None
        index = self.index
        self.program.kill()
        return Blow(KILL, index, f"killed while it saved: {left[0]} is not yet what it will be called", torn=True)

    def _begins(self, name: str) -> bool:
        """Whether that becomes a checkpoint. Old ones are moved there, too, to be removed."""
        stem, _, token = name.partition(TEMPORARY)
        known = {*[one.name for one in self.ears.told], *[one.name for one in self.watcher.saved]}
        try:
            return bool(token) and number(stem) >= 0 and stem not in known
        except ValueError:
            return False

    def wait(self, for_s: float) -> None:
        """Until something happens in one of the folders, or for so long."""
        select.select([self.watcher.fileno(), self.staged.fileno()], [], [], for_s)

    def close(self) -> None:
        """No more is looked at."""
        self.watcher.close()
        self.staged.close()


def _container(emulator_pid: int, disk: Path) -> Optional[int]:
    """The bubblewrap that holds the program of that instance: below it is the program, and nothing else."""
    named = [pid for pid in descendants(emulator_pid) if os.fsencode(disk) in _words(pid)]
    return next((pid for pid in named if _parent(pid) == emulator_pid), None)


def _parent(pid: int) -> Optional[int]:
    fields = stat_fields(pid)
    return None if fields is None else int(fields[PARENT])


def _words(pid: int) -> bytes:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""
