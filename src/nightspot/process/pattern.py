"""Checkpoints of an unmodified script: files by name. Durable once their size is stable and their archive is whole; never verified."""

from __future__ import annotations

import os
import re
import stat
import threading
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

LOOK_EVERY_S = 0.5
# A file that is no archive tells nothing of being whole: nobody must have written to it for so long.
SETTLED_S = 2.0
QUARANTINE = "quarantine"
ARCHIVE = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Saved:
    """One file, and the finished units its name tells."""

    path: Path
    units_done: float
    size_bytes: int
    mtime_ns: int

    @property
    def name(self) -> str:
        """As the script calls it."""
        return self.path.name


def numbering(pattern: str) -> re.Pattern[str]:
    """A shell pattern as an expression whose groups hold what its wildcards stand for: the 50 of `resnet50-*.pt` counts nothing."""
    pieces = re.split(r"((?:[*?]|\[[^]]+\])+)", pattern)
    return re.compile("".join(f"({_wild(p)})" if i % 2 else re.escape(p) for i, p in enumerate(pieces)), re.DOTALL)


def _wild(piece: str) -> str:
    tokens = re.findall(r"[*?]|\[[^]]+\]", piece)
    return "".join({"*": ".*", "?": "."}.get(token, token.replace("[!", "[^")) for token in tokens)


def saved(folder: Path, pattern: str, most: float) -> list[Saved]:
    """The files of that pattern, the highest number first. Numbers above `most` count something else than units."""
    names = numbering(pattern)
    found = [one for entry in _plain_files(folder) if (one := _saved(entry, names, most)) is not None]
    return sorted(found, key=lambda one: (one.units_done, one.mtime_ns), reverse=True)


def _plain_files(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from [entry for entry in entries if entry.is_file(follow_symlinks=False)]
    except OSError:
        return


def _saved(entry: os.DirEntry[str], names: re.Pattern[str], most: float) -> Saved | None:
    match = names.fullmatch(entry.name)
    numbers = [float(n) for group in match.groups() for n in re.findall(r"[0-9]+", group)] if match else []
    counted = [n for n in numbers if n <= most]
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    return Saved(Path(entry.path), max(counted), status.st_size, status.st_mtime_ns) if counted else None


def whole(path: Path) -> bool:
    """Whether an archive has all its parts, each with its checksum. Of another file nothing can be said, but that it is not empty."""
    try:
        if not is_archive(path):
            return stat.S_ISREG(path.lstat().st_mode) and path.stat().st_size > 0
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile):
        return False


def is_archive(path: Path) -> bool:
    """Whether it begins like one, as everything does that torch has saved since 1.6."""
    with path.open("rb") as file:
        return file.read(len(ARCHIVE)) == ARCHIVE


def quarantine(file: Saved) -> Path:
    """Move it where the script will not find it. OSError where that fails."""
    folder = file.path.parent / QUARANTINE
    folder.mkdir(exist_ok=True)
    target = folder / f"{file.name}.{file.mtime_ns}"
    file.path.rename(target)
    return target


def quarantine_torn(folder: Path, pattern: str, most: float) -> list[str]:
    """Before a start: move torn files away until the newest left is whole. Names of those moved."""
    moved = []
    for file in saved(folder, pattern, most):
        if whole(file.path):
            break
        quarantine(file)
        moved.append(file.name)
    return moved


class Watch:
    """Looks for files that have become durable. Archives are read in a thread: what is to be killed in time must not wait for them."""

    def __init__(self, folder: Path, pattern: str, most: float, durable_units: float) -> None:
        self._folder, self._pattern, self._most = folder, pattern, most
        self._durable_units = durable_units
        self._seen: dict[str, Saved] = {}
        self._whole: dict[Saved, bool] = {}
        self._reader: threading.Thread | None = None
        self._next_look_s = 0.0

    def look(self) -> Saved | None:
        """The newest file that has become durable since the last call; at most a look every half second."""
        if time.monotonic() < self._next_look_s:
            return None
        self._next_look_s = time.monotonic() + LOOK_EVERY_S
        files = self._new()
        stable = [file for file in files if self._seen.get(file.name) == file and _settled(file)]
        self._seen = {file.name: file for file in files}
        for file in stable:
            verdict = self._verdict(file)
            if verdict is not False:
                return self._took(file) if verdict else None
        return None

    def last_look(self, *, killed: bool) -> tuple[Saved | None, list[str]]:
        """After the end, when nobody writes any more: the newest that is durable, and the names of those moved away.

        A file that is no archive, and that a killed process wrote to a moment ago, may be torn: nobody can say.
        """
        moved: list[str] = []
        for file in self._new():
            if whole(file.path) and (not killed or _settled(file)):
                return self._took(file), moved
            quarantine(file)
            moved.append(file.name)
        return None, moved

    def _new(self) -> list[Saved]:
        return [f for f in saved(self._folder, self._pattern, self._most) if f.units_done > self._durable_units]

    def _took(self, file: Saved) -> Saved:
        self._durable_units = file.units_done
        return file

    def _verdict(self, file: Saved) -> bool | None:
        """None while it is being read."""
        if file not in self._whole and (self._reader is None or not self._reader.is_alive()):
            self._reader = threading.Thread(target=self._read, args=(file,), daemon=True)
            self._reader.start()
        return self._whole.get(file)

    def _read(self, file: Saved) -> None:
        self._whole[file] = whole(file.path)


def _settled(file: Saved) -> bool:
    try:
        return is_archive(file.path) or time.time_ns() - file.mtime_ns >= SETTLED_S * 1e9
    except OSError:
        return False
