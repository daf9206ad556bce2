"""A source tree for each case to write in: copied, but for what is big, which is shown read-only where it lies."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import AbstractSet, Iterator

# What is worth a copy for each case. Beyond it a folder is looked into, and its biggest parts are only shown.
MOST_BYTES, MOST_FILES = 64 << 20, 4000
MOST_SHOWN = 500


class TooScatteredError(Exception):
    """There is too much to copy, and in too many places to show it."""


@dataclass(slots=True)
class Copied:
    """shown: what was not copied, by its path from the top."""

    shown: list[Path] = field(default_factory=list)


def copy_tree(source: Path, target: Path, leave_out: AbstractSet[Path], *, whole: bool = False) -> Copied:
    """Copy a folder; links stay links. leave_out: paths that begin empty or absent. whole: copy what is big, too.

    OSError where something cannot be read or written; TooScatteredError.
    """
    done = Copied()
    _copy(source, target, Path(), leave_out, done, whole=whole or _fits(source))
    if len(done.shown) > MOST_SHOWN:
        raise TooScatteredError(f"{source}: more than {MOST_SHOWN} parts of it are too big to copy")
    return done


def _copy(source: Path, target: Path, at: Path, leave_out: AbstractSet[Path], done: Copied, *, whole: bool) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for entry in _entries(source):
        path, inner = Path(entry.path), at / entry.name
        if path in leave_out:
            continue
        if entry.is_symlink():
            (target / entry.name).symlink_to(path.readlink())
        elif entry.is_dir():
            _copy_folder(path, target / entry.name, inner, leave_out, done, whole=whole)
        elif entry.is_file():
            _copy_file(path, target / entry.name, inner, done, whole=whole)
    shutil.copystat(source, target)


def _copy_folder(
    path: Path, target: Path, inner: Path, leave_out: AbstractSet[Path], done: Copied, *, whole: bool
) -> None:
    if whole or _fits(path) or any(path in left.parents for left in leave_out):
        _copy(path, target, inner, leave_out, done, whole=whole or _fits(path))
    else:
        done.shown.append(inner)


def _copy_file(path: Path, target: Path, inner: Path, done: Copied, *, whole: bool) -> None:
    if whole or path.stat().st_size <= MOST_BYTES:
        shutil.copy2(path, target)
    else:
        done.shown.append(inner)


def _fits(folder: Path) -> bool:
    """Whether all of it is worth a copy."""
    size_bytes = files = 0
    for size in _sizes(folder):
        size_bytes, files = size_bytes + size, files + 1
        if size_bytes > MOST_BYTES or files > MOST_FILES:
            return False
    return True


def _sizes(folder: Path) -> Iterator[int]:
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _sizes(Path(entry.path))
        else:
            yield entry.stat(follow_symlinks=False).st_size


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)
