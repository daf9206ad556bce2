"""Looks into the folder of checkpoints while a Life writes to it: what has become whole, in which order, after how many steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from nightspot.drill.seen.inotify import (
    CLOSE_WRITE,
    CREATE,
    IS_FOLDER,
    MODIFY,
    MOVED_FROM,
    MOVED_TO,
    Happened,
    Watching,
)
from nightspot.drill.seen.saves import counts
from nightspot.drill.settings import Place


@dataclass(slots=True)
class Generation:
    """One writing of an entry: a file, or a folder's files. inner: those of its files that were closed; index: steps done by then."""

    name: str
    index: int
    inner: set[Path]


@dataclass(slots=True)
class Watcher:
    """saved: what was written whole or moved in, in order; an entry that is written again appears again."""

    place: Place
    saved: list[Generation] = field(default_factory=list)
    _watching: Optional[Watching] = None
    _moved: Optional[str] = None

    def open(self) -> None:
        """Begin. OSError where the kernel gives no more watches."""
        self.place.folder.mkdir(parents=True, exist_ok=True)
        self._watching = Watching(self.place.folder)

    def fileno(self) -> int:
        """For select."""
        assert self._watching is not None  # noqa: S101 - opened before
        return self._watching.fileno()

    def close(self) -> None:
        """No more."""
        if self._watching is not None:
            self._watching.close()

    def look(self, index: int) -> list[str]:
        """What happened since the last call is noted as done after `index` steps. Names of entries that were being written."""
        assert self._watching is not None  # noqa: S101 - opened before
        writing = []
        for happened in self._watching.read():
            name = self._top(happened.path)
            if name is None:
                continue
            if happened.is_(MOVED_FROM) and happened.path.parent == self.place.folder:
                self._moved = name
            elif happened.is_(CLOSE_WRITE | MOVED_TO):
                self._note(name, happened, index)
            if happened.is_(CREATE | MODIFY | IS_FOLDER):
                writing.append(name)
        return list(dict.fromkeys(writing))

    def _top(self, path: Path) -> Optional[str]:
        return path.relative_to(self.place.folder).parts[0] if path != self.place.folder else None

    def _note(self, name: str, happened: Happened, index: int) -> None:
        if not counts(name, self.place.pattern):
            return
        last = next((one for one in reversed(self.saved) if one.name == name), None)
        moved_in = happened.is_(MOVED_TO) and happened.path.parent == self.place.folder
        if moved_in and self._moved is not None:
            self._forget(self._moved)
        if last is None or moved_in or happened.path in last.inner:
            self.saved.append(Generation(name, index, {happened.path}))
        else:
            last.inner.add(happened.path)

    def _forget(self, name: str) -> None:
        """That was only the name it was written under."""
        latest = next((n for n in range(len(self.saved) - 1, -1, -1) if self.saved[n].name == name), None)
        if latest is not None:
            del self.saved[latest]
        self._moved = None
