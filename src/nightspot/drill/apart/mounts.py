"""What a program of the drill sees: this machine, read-only, and private folders at every place that it writes to.

A private folder within another one is no mount of its own: a program may rename files between the two.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterable, Iterator, Optional

from nightspot.drill.apart.copying import TooScatteredError, copy_tree
from nightspot.drill.settings import Settings
from nightspot.process.surroundings import MOUNT, OPT

TMP = Path("/tmp")  # noqa: S108 - each case gets its own
MACHINE_LEARNING = ("model", "checkpoints", "output/data", "input/config", "input/data", "code")
MOST_ENTRIES = 300  # bubblewrap reads its whole table of mounts again for each of them


class IsolationError(Exception):
    """The program cannot be kept apart from what is real, in words for the user."""


@dataclass(frozen=True, slots=True)
class Private:
    """A place that the program may write to. number: names its folder in a Machine. rebuilt: what really lies there is shown in it,
    read-only, but for `hidden`; only: no more of it than that. source: a copy of what lies there, made once; shown: parts of it that
    are too big, read-only."""

    target: Path
    number: int
    rebuilt: bool = False
    hidden: frozenset[Path] = frozenset()
    only: Optional[frozenset[Path]] = None
    source: Optional[Path] = None
    shown: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """All private places, and the folders in them that begin empty.

    also: (what, where): a private folder that is to be seen at a second place. read_only: (what, where), of this machine.
    """

    privates: tuple[Private, ...]
    empties: tuple[Path, ...]
    also: tuple[tuple[Path, Path], ...] = ()
    read_only: tuple[tuple[Path, Path], ...] = ()

    def of(self, path: Path) -> Private:
        """The private place that holds it. IsolationError where none does."""
        holders = [p for p in self.privates if path == p.target or p.target in path.parents]
        if not holders:
            raise IsolationError(f"{path} is in no private folder")
        return max(holders, key=lambda p: len(p.target.parts))


@dataclass(slots=True)
class _Wanted:
    """Collects. copies: folders that begin as they are; empties: those that begin empty."""

    copies: list[Path] = field(default_factory=list)
    empties: list[Path] = field(default_factory=list)
    hidden: set[Path] = field(default_factory=set)
    rebuilt: set[Path] = field(default_factory=set)


def lay_out(settings: Settings) -> Layout:
    """Decide what is private, and copy what programs may write to. IsolationError where that cannot be done."""
    wanted = _wanted(settings)
    _rebuild_parents(wanted)
    copies = _outermost(wanted.copies)
    separate = _outermost([p for p in wanted.empties if p.exists() and not _within(p, copies)])
    privates: list[Private] = []
    for target in sorted(wanted.rebuilt, key=lambda path: len(path.parts)):
        only = frozenset(_named_in(TMP, settings)) if target == TMP else None
        privates.append(Private(target, len(privates), rebuilt=True, hidden=frozenset(wanted.hidden), only=only))
    for target in copies:
        privates.append(_copied(settings, target, len(privates), wanted))
    privates += [Private(target, len(privates) + n) for n, target in enumerate(separate)]
    return Layout(tuple(privates), tuple(wanted.empties), tuple(_also(settings)), tuple(_channels(settings)))


def _wanted(settings: Settings) -> _Wanted:
    wanted = _Wanted(copies=[settings.directory, *[path.resolve() for path in settings.paths]])
    for path in wanted.copies:
        if path.exists() and not path.is_dir():
            raise IsolationError(f"{path} is a file: name its folder in [drill] paths")
    wanted.empties = [settings.run_folder, settings.life_folder, settings.given.resolve()]
    wanted.rebuilt = {TMP} | ({OPT} if settings.training.sagemaker else set())
    _want_checkpoints(settings, wanted)
    _want_artifact(settings, wanted)
    missing = [path for path in wanted.copies if not path.exists()]
    wanted.copies = [path for path in wanted.copies if path not in missing]
    wanted.empties += missing
    if settings.training.sagemaker:
        wanted.hidden.add(MOUNT)
        wanted.empties += [MOUNT / part for part in MACHINE_LEARNING]
    return wanted


def _want_checkpoints(settings: Settings, wanted: _Wanted) -> None:
    folder, pattern = settings.watched.folder, settings.watched.pattern
    if not holds_program(folder, settings):
        wanted.empties.append(folder)
        return
    if pattern is None:
        remedy = 'name the files: [drill] checkpoints = "ckpt-*.pt"'
        raise IsolationError(f"the folder of checkpoints, {folder}, holds the program itself: {remedy}")
    wanted.hidden |= set(folder.glob(pattern))
    if folder != settings.directory:
        wanted.rebuilt.add(folder)


def _want_artifact(settings: Settings, wanted: _Wanted) -> None:
    if settings.artifact is None:
        return
    artifact = settings.artifact.parent.resolve() / settings.artifact.name
    wanted.hidden.add(artifact)
    if not holds_program(artifact.parent, settings):
        wanted.empties.append(artifact.parent)
    elif artifact.parent != settings.directory:
        wanted.rebuilt.add(artifact.parent)


def holds_program(folder: Path, settings: Settings) -> bool:
    """Whether it could not begin empty: code, data or the interpreter lie in it."""
    channels = [Path(path) for path in settings.training.channels.values() if "://" not in path]
    needed = [settings.directory, Path(sys.prefix), Path(sys.base_prefix), settings.root, *channels]
    return any(folder == path or folder in path.parents for path in needed)


def _named_in(folder: Path, settings: Settings) -> Iterator[Path]:
    """What at the top of a folder the program needs, or is told of: all the rest of /tmp is another's."""
    training = settings.training
    texts = [*training.command, *training.environment.values(), *training.channels.values(), *os.environ.values()]
    texts += [str(path) for path in (settings.directory, settings.root, Path(__file__), *settings.paths)]
    texts += [sys.prefix, sys.base_prefix, sys.executable]
    for text in texts:
        for name in re.findall(rf"(?<![^\s:=,;'\"]){re.escape(str(folder))}/([^/\s:,;'\"]+)", text):
            yield folder / name


def _rebuild_parents(wanted: _Wanted) -> None:
    """Nothing can be mounted where there is no folder: its nearest ancestor is rebuilt, with room for it."""
    for path in wanted.empties:
        if path.exists() or _within(path, wanted.copies):
            continue
        ancestor = next(parent for parent in path.parents if parent.is_dir())
        if not _within(ancestor, [p for p in wanted.empties if p.exists()]):
            wanted.rebuilt.add(ancestor)


def _within(path: Path, folders: Iterable[Path]) -> bool:
    return any(path == folder or folder in path.parents for folder in folders)


def _outermost(paths: Iterable[Path]) -> list[Path]:
    unique = list(dict.fromkeys(paths))
    return [path for path in unique if not any(other in path.parents for other in unique)]


def _copied(settings: Settings, target: Path, number: int, wanted: _Wanted) -> Private:
    source = settings.root / "sources" / str(number)
    left_out = {*wanted.hidden, *[p for p in wanted.empties if p != target], settings.root}
    try:
        done = copy_tree(target, source, left_out, whole=target in settings.paths)
    except (OSError, TooScatteredError) as error:
        raise IsolationError(f"{target} cannot be copied for the drill: {error}") from error
    return Private(target, number, source=source, shown=tuple(done.shown))


def _also(settings: Settings) -> Iterable[tuple[Path, Path]]:
    """SageMaker's names for the folders of checkpoints and of the model."""
    if settings.training.sagemaker:
        yield settings.given.resolve(), MOUNT / "checkpoints"
        if settings.artifact is not None:
            yield settings.artifact.parent.resolve(), MOUNT / "model"


def _channels(settings: Settings) -> Iterable[tuple[Path, Path]]:
    if settings.training.sagemaker:
        for name, path in settings.training.channels.items():
            if "://" not in path:
                yield Path(path), MOUNT / "input/data" / name
