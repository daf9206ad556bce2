"""The private folders of one machine that a case plays on: filled at its beginning, and gone with it, but for what survives."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Iterator

from nightspot.drill.apart.mounts import MOST_ENTRIES, IsolationError, Layout, Private


@dataclass(frozen=True, slots=True)
class Machine:
    """folder: holds a folder for each private place of the layout, by its number."""

    layout: Layout
    folder: Path

    def make(self) -> None:
        """Fill it. OSError where the disk is full."""
        for private in self.layout.privates:
            if private.source is not None:
                shutil.copytree(private.source, self._of(private), symlinks=True, dirs_exist_ok=True)
            else:
                self._of(private).mkdir(parents=True, exist_ok=True)
        for path in self.layout.empties:
            self.real(path).mkdir(parents=True, exist_ok=True)
        for _, shown in self.layout.also:
            self.real(shown).mkdir(parents=True, exist_ok=True)

    def real(self, path: Path) -> Path:
        """Where a path of the program's lies on this machine. IsolationError where it is not private."""
        private = self.layout.of(path)
        return self._of(private) / path.relative_to(private.target)

    def carry_from(self, other: Machine, survives: Iterable[Path], pattern_of: dict[Path, str]) -> None:
        """Take over what outlives a machine: whole folders, or those of their files that a pattern names."""
        for path in survives:
            source, target = other.real(path), self.real(path)
            if path in pattern_of:
                target.mkdir(parents=True, exist_ok=True)
                for found in source.glob(pattern_of[path]):
                    _copy(found, target / found.name)
            elif source.exists():
                _copy(source, target)

    def words(self) -> list[str]:
        """For bubblewrap: how all of it is mounted; an outer folder before what lies in it."""
        mounts = [*self._private(), *self._shown(), *self._again()]
        ordered = sorted(
            mounts, key=lambda mount: len(Path(mount[-1]).parts)
        )  # stable: the order above decides between equals
        return [word for mount in ordered for word in mount]

    def _private(self) -> Iterator[tuple[str, ...]]:
        for private in self.layout.privates:
            yield "--bind", str(self._of(private)), str(private.target)
            if private.rebuilt:
                yield from self._rebuilt(private)

    def _rebuilt(self, private: Private) -> Iterator[tuple[str, ...]]:
        mounted = {other.target for other in self.layout.privates}
        entries = sorted(private.target.iterdir() if private.only is None else private.only)
        if len(entries) > MOST_ENTRIES:
            remedy = "make the folder that is to be written to, or write elsewhere"
            raise IsolationError(f"{private.target} holds more than {MOST_ENTRIES} files: {remedy}")
        for entry in entries:
            if entry in private.hidden or entry in mounted:
                continue
            if entry.is_symlink():
                yield "--symlink", str(entry.readlink()), str(entry)
            elif not (self._of(private) / entry.name).exists() or entry.is_dir():
                yield "--ro-bind-try", str(entry), str(entry)

    def _shown(self) -> Iterator[tuple[str, ...]]:
        for private in self.layout.privates:
            for inner in private.shown:
                yield "--ro-bind", str(private.target / inner), str(private.target / inner)
        for what, where in self.layout.read_only:
            yield "--ro-bind", str(what), str(where)

    def _again(self) -> Iterator[tuple[str, ...]]:
        for what, where in self.layout.also:
            yield "--bind", str(self.real(what)), str(where)

    def _of(self, private: Private) -> Path:
        return self.folder / str(private.number)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
