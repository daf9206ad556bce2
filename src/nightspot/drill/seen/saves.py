"""What lies in a folder of checkpoints: files or folders, ours or anybody's; which are whole, and what is being written."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Iterator, Mapping, Optional

from nightspot.checkpoint.errors import CheckpointError
from nightspot.checkpoint.manifest import MANIFEST, read, verify
from nightspot.drill.settings import Place
from nightspot.process.pattern import QUARANTINE, is_archive, whole

# What lies beside checkpoints and is none.
NO_CHECKPOINT = re.compile(r"\..*|.*\.(log|txt|jsonl|csv|lock|tmp|partial|part)|loading-.*|.*tfevents.*|.*\.tmp[-._].*")
NUMBER = re.compile(r"\d+")
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder at the top of the folder. sizes_bytes: of its files, by their path within it ('' for the file itself)."""

    name: str
    sizes_bytes: Mapping[str, int]
    mtime_ns: int

    @property
    def kind(self) -> str:
        """Its name without what counts: `ckpt-#.pt`."""
        return NUMBER.sub("#", self.name)


def look(place: Place) -> dict[str, Entry]:
    """All that may be a checkpoint, by name; what is being written, too."""
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(place.folder.iterdir()):
            if counts(path.name, place.pattern) and (entry := _entry(path)) is not None:
                found[path.name] = entry
    return found


def names(place: Place) -> list[str]:
    """Of all that is there and not ruled out by the pattern."""
    with contextlib.suppress(FileNotFoundError):
        found = [path.name for path in sorted(place.folder.iterdir())]
        return [name for name in found if place.pattern is None or fnmatch.fnmatchcase(name, place.pattern)]
    return []


def counts(name: str, pattern: Optional[str]) -> bool:
    """Whether a checkpoint may be called so."""
    if pattern is not None:
        return fnmatch.fnmatchcase(name, pattern)
    return NO_CHECKPOINT.fullmatch(name) is None and name != QUARANTINE


def is_whole(path: Path) -> bool:
    """Whether nothing of it is missing, as far as anybody can say: ours by manifest, archives by their parts, others by not being empty."""
    if path.is_dir() and (path / MANIFEST).is_file():
        return _verified(path)
    files = list(_files(path)) if path.is_dir() else [path]
    return bool(files) and all(whole(file) for file in files if file.name[0] != ".")


def _verified(path: Path) -> bool:
    try:
        verify(path)
    except (CheckpointError, OSError, ValueError):
        return False
    return True


def unfinished(folder: Path, name: str, usual_bytes: Mapping[str, Mapping[str, int]]) -> Optional[str]:
    """What of that entry is not there yet, in words; None where nothing says so.

    usual_bytes: the least size of each file of each kind of entry, from a training that nobody disturbed.
    """
    path = folder / name
    entry = _entry(path)
    if entry is None:
        return None
    usual = usual_bytes.get(entry.kind)
    if usual is None:
        return f"{name} is not yet what it will be called"
    for inner, size_bytes in usual.items():
        if entry_size(entry, inner) < size_bytes:
            return f"{name}{'/' if inner else ''}{inner} has {max(0, entry_size(entry, inner))} of {size_bytes} bytes"
    torn = [file for file in ([path] if path.is_file() else _files(path)) if _is_torn(file)]
    return f"{torn[0].name} is an archive without its end" if torn else None


def entry_size(entry: Entry, inner: str) -> int:
    """Of the file of that name, numbers aside; -1 where there is none."""
    sizes = [size for name, size in entry.sizes_bytes.items() if NUMBER.sub("#", name) == inner]
    return max(sizes, default=-1)


def usual_sizes(entries: Iterator[Entry]) -> dict[str, dict[str, int]]:
    """For each kind of entry the least size of each of its files. Texts may become a little shorter: nine tenths count as whole."""
    usual: dict[str, dict[str, int]] = {}
    for entry in entries:
        sizes = {NUMBER.sub("#", name): size for name, size in entry.sizes_bytes.items()}
        before = usual.setdefault(entry.kind, sizes)
        for name in set(before) | set(sizes):
            if name not in before or name not in sizes:
                before.pop(name, None)
            else:
                before[name] = min(before[name], sizes[name])
    return {k: {n: s if n.endswith((".pt", ".bin")) else s * 9 // 10 for n, s in v.items()} for k, v in usual.items()}


def usual(place: Place) -> tuple[dict[str, dict[str, int]], frozenset[str]]:
    """Of a folder in which nothing is being written: the sizes of what is whole (see `unfinished`), and the kinds of names that are no
    checkpoints."""
    kept = [entry for name, entry in look(place).items() if is_whole(place.folder / name)]
    sizes = usual_sizes(iter(kept))
    there = [path.name for path in place.folder.iterdir()] if place.folder.is_dir() else []
    return sizes, frozenset({NUMBER.sub("#", name) for name in there} - set(sizes))


def files_of(place: Place, names: Iterable[str]) -> list[Path]:
    """All files of those entries."""
    paths = [place.folder / name for name in names]
    return [file for path in paths for file in (_files(path) if path.is_dir() else [path])]


def _is_torn(file: Path) -> bool:
    with contextlib.suppress(OSError):
        return is_archive(file) and not whole(file)
    return False


def digest(path: Path) -> str:
    """SHA-256 over all files of it, names and bytes; for one of ours what its manifest says; '' where it is gone."""
    found = hashlib.sha256()
    try:
        if path.is_dir() and (path / MANIFEST).is_file():
            return read(path).digest
        for file in sorted(_files(path)) if path.is_dir() else [path]:
            found.update(os.fsencode(file.relative_to(path.parent)) + b"\0")
            with file.open("rb") as stream:
                for block in iter(lambda: stream.read(BLOCK_BYTES), b""):
                    found.update(block)
    except (CheckpointError, OSError, ValueError):
        return ""
    return found.hexdigest()


def newest_first(place: Place) -> list[Path]:
    """Whole ones: the highest number first, and the youngest of equals."""
    entries = sorted(look(place).values(), key=_age, reverse=True)
    return [place.folder / entry.name for entry in entries if is_whole(place.folder / entry.name)]


def _age(entry: Entry) -> tuple[int, list[int]]:
    return entry.mtime_ns, [int(number) for number in NUMBER.findall(entry.name)]


def _entry(path: Path) -> Optional[Entry]:
    try:
        files = list(_files(path)) if path.is_dir() else [path]
        stats = {("" if file == path else str(file.relative_to(path))): file.stat() for file in files}
        youngest = max([stat.st_mtime_ns for stat in stats.values()], default=path.stat().st_mtime_ns)
        return Entry(path.name, {name: stat.st_size for name, stat in stats.items()}, youngest)
    except OSError:
        return None


def _files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        yield from [Path(root) / name for name in names]
