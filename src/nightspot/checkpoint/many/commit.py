"""The ranks' files -> one checkpoint, through the folder that all of them see. No process group is needed: this runs in
the writers, while training goes on, and where the trainers have died meanwhile.

Each rank writes its files and, last, `rank-R.done`, which names them. Rank 0 waits for all of these, then writes index and
manifest and renames, as for one process. A rank whose files cannot be written says so by `rank-R.failed`: both are its
`rank-R.writing` under another name, since a full disk still renames. What has a `.failed` is never committed; what has
a `.done` no longer changes. A rank that died without a word is found by `rank-R.alive` (see `life`). Standard library only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nightspot.checkpoint import _hashing, disk, manifest
from nightspot.checkpoint.commit import Beat, Source, finish, index_bytes, nothing, write_parts
from nightspot.checkpoint.errors import DamagedError
from nightspot.checkpoint.manifest import INDEX, File, Manifest
from nightspot.checkpoint.many.life import Beating, Life, Watch, claim
from nightspot.checkpoint.order import Order

QUIET_LIMIT_S = 600.0  # nothing in the folder has changed for so long: who is awaited is stuck
ORPHAN_LIMIT_S = (
    10.0  # the same, once this rank's own training is gone or leaves, where nobody knows whether the others live
)
ABANDON_PATIENCE_S = 2.0
POLL_INTERVAL_S = 0.02
MOST_ERROR_CHARACTERS = 2000
_MARK = re.compile(r"rank-(\d+)\.(writing|done|failed)")


def never() -> bool:
    """For who cannot outlive the training."""
    return False


def commit(order: Order, source: Source, beat: Beat = nothing, orphaned: Callable[[], bool] = never) -> Manifest:
    """As `commit.commit`, for one rank of several: returns once rank 0 has committed what all have written.

    orphaned: whether the training of this rank is gone, or leaves by an error. Raises OSError on every rank where it failed on one.
    """
    mark = _open(order)
    with Beating(claim(order.unfinished, order.rank)):
        return _commit(order, mark, source, beat, Patience(order, beat, orphaned))


def _commit(order: Order, mark: Mark, source: Source, beat: Beat, patience: Patience) -> Manifest:
    try:
        algorithm = _hashing.preferred()
        files = write_parts(order, order.parts, source, algorithm, beat)
        entries = json.loads(bytes(source(order.entries)))
        if order.rank == 0:
            return _commit_all(order, files, entries, algorithm, patience)
        disk.sync_folder(order.unfinished)
        mark.done(files, entries, algorithm)
    except BaseException as error:
        _give_up(order, mark, str(error))
        raise
    return _await(order, patience)


def abandon(order: Order, why: str) -> None:
    """Say for this rank that nothing will come of a save that it could not begin, or whose writer is gone.

    Never raises, and waits only a moment for a disk that does not answer. What the rank has already written and said to be done
    is not taken back.
    """
    saying = threading.Thread(target=_abandon, args=[order, why], name="nightspot-abandon", daemon=True)
    saying.start()
    saying.join(ABANDON_PATIENCE_S)


def _abandon(order: Order, why: str) -> None:
    with suppress(OSError):
        order.unfinished.mkdir(exist_ok=True)
    if _marks(order.unfinished).get(order.rank) != "done" and not order.final.exists():
        Mark(order.unfinished, order.rank).failed(why)


class Mark:
    """What one rank says of its files in an unfinished checkpoint."""

    def __init__(self, unfinished: Path, rank: int) -> None:
        self._stem = unfinished / f"rank-{rank}"

    def begin(self) -> None:
        """Raises OSError."""
        self._path("writing").touch(exist_ok=False)

    def done(self, files: Iterable[File], entries: Mapping[str, Any], algorithm: str) -> None:
        """These files are on disk, and hold these tensors. Raises OSError."""
        told = {"files": [[file.name, file.size_bytes, file.hash] for file in files], "entries": entries}
        told["algorithm"] = algorithm
        self._path("writing").write_text(json.dumps(told))
        self._path("writing").rename(self._path("done"))

    def failed(self, why: str) -> None:
        """Nothing will come of it. Never raises: it is said as well as can be."""
        with suppress(OSError):
            self._path("writing").write_text(why[:MOST_ERROR_CHARACTERS])
        with suppress(OSError):
            self._path("writing").rename(self._path("failed"))

    def _path(self, state: str) -> Path:
        return self._stem.with_name(f"{self._stem.name}.{state}")


class Patience:
    """Waits for other ranks: until one of them is gone, or nothing has changed for the limit."""

    def __init__(
        self, order: Order, beat: Beat, orphaned: Callable[[], bool], now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._beat, self._orphaned, self._now_s = beat, orphaned, now_s
        self._watch = Watch(order.unfinished, order.peers, now_s)
        self._seen: object = None
        self._since_s = now_s()

    def look(self, ranks: Sequence[int]) -> dict[int, Life]:
        """How they are. Before the look for what they have done: who did it and ended is gone, too."""
        return self._watch.look(ranks)

    def wait(self, seen: object, lives: Mapping[int, Life]) -> None:
        """A moment. seen: all that can change; lives: of the ranks that are awaited. Raises OSError at the end of it."""
        if seen != self._seen:
            self._seen, self._since_s = seen, self._now_s()
        named = f"rank {', '.join(map(str, lives))}"
        if lost := [rank for rank, life in lives.items() if life is Life.GONE]:
            raise OSError(f"rank {', '.join(map(str, lost))} died before its part of the checkpoint was done")
        doubtful = self._orphaned() and Life.UNKNOWN in lives.values()
        limit_s = ORPHAN_LIMIT_S if doubtful else QUIET_LIMIT_S
        if self._now_s() - self._since_s > limit_s:
            raise OSError(f"no word from {named} for {limit_s:.0f} s: its process is gone or stuck")
        self._beat()
        time.sleep(POLL_INTERVAL_S)


def merged(all_entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Index entries of several ranks as one: lists (pieces, patches) are joined. Raises ValueError if tensors differ."""
    found: dict[str, Any] = {}
    for entries in all_entries:
        for key, entry in entries.items():
            before = found.setdefault(key, {})
            for field, value in entry.items():
                if isinstance(value, list) and field != "shape":
                    before[field] = [*before.get(field, []), *value]
                elif before.setdefault(field, value) != value:
                    raise ValueError(f"{key} has the {field} {before[field]} on one rank, {value} on another")
    return found


def _open(order: Order) -> Mark:
    """The folder that all ranks write into, whoever comes first; and this rank's mark in it. Raises OSError."""
    if order.rank == 0:
        _remove_failed(order)
    order.unfinished.mkdir(exist_ok=True)
    mark = Mark(order.unfinished, order.rank)
    mark.begin()
    return mark


def _commit_all(
    order: Order, own: list[File], entries: Mapping[str, Any], algorithm: str, patience: Patience
) -> Manifest:
    theirs = _gather(order, algorithm, patience)
    content = index_bytes(merged([entries, *(told["entries"] for told in theirs)]))
    index = disk.write(order.unfinished / INDEX, memoryview(content), algorithm, nothing)
    for rank in range(order.size):
        for state in ("writing", "done", "alive"):
            (order.unfinished / f"rank-{rank}.{state}").unlink(missing_ok=True)
    files = [*own, *(File(*file) for told in theirs for file in told["files"]), index]
    made = finish(order, files, algorithm)
    disk.publish(order.unfinished, order.final)
    return made


def _gather(order: Order, algorithm: str, patience: Patience) -> list[dict[str, Any]]:
    """What the other ranks say, once all are done. Raises OSError if one failed, or says nothing for too long."""
    others = range(1, order.size)
    while True:
        lives = patience.look(others)
        marks = _marks(order.unfinished)
        if not (missing := [rank for rank in others if marks.get(rank) != "done"]):
            break
        _check(order.unfinished)
        patience.wait(_look(order.unfinished), {rank: lives[rank] for rank in missing})
    found = [json.loads((order.unfinished / f"rank-{rank}.done").read_text()) for rank in others]
    for rank, told in zip(others, found, strict=True):
        if told["algorithm"] != algorithm:
            raise OSError(f"rank {rank} hashes by {told['algorithm']}, rank 0 by {algorithm}: install xxhash on all")
        for name, size_bytes, _ in told["files"]:
            _same_size(order.unfinished / name, size_bytes)
    return found


def _await(order: Order, patience: Patience) -> Manifest:
    """For the others: until rank 0 has committed it. Raises OSError if it is not, or says nothing for too long."""
    while True:
        lives = patience.look([0])
        seen = _look(order.unfinished)  # before the look for its end: the rename changes both at once
        if order.name in _names(order.final.parent):
            return _committed(order)
        if seen is None:
            raise OSError("rank 0 has given it up")
        _check(order.unfinished)
        patience.wait(seen, lives)


def _committed(order: Order) -> Manifest:
    """Raises OSError where rank 0 has taken it back: its name could not be made to last."""
    try:
        return manifest.read(order.final)
    except DamagedError as error:
        raise OSError(f"rank 0 has taken it back: {error}") from error


def _give_up(order: Order, mark: Mark, why: str) -> None:
    """This rank's files cannot be had. Only before `mark.done`: from then on others may count on them."""
    mark.failed(why)
    for part in order.parts:
        with suppress(OSError):
            (order.unfinished / part.name).unlink(missing_ok=True)


def _remove_failed(order: Order) -> None:
    """What became of earlier saves of this training that failed; ranks may have been writing then, now they are not."""
    for name in _names(order.unfinished.parent):
        if name.endswith(f".tmp-{order.token}") and name != order.unfinished.name:
            shutil.rmtree(order.unfinished.parent / name, ignore_errors=True)


def _check(unfinished: Path) -> None:
    """Raises OSError if a rank says that it failed."""
    for rank, state in _marks(unfinished).items():
        if state == "failed":
            raise OSError(f"rank {rank}: {_why(unfinished / f'rank-{rank}.failed')}")


def _why(path: Path) -> str:
    try:
        return path.read_text() or "it could not write"
    except OSError as error:
        return f"it could not write ({error})"


def _same_size(path: Path, size_bytes: int) -> None:
    here = path.stat().st_size
    if here != size_bytes:
        raise OSError(f"{path.name} has {here} bytes here, {size_bytes} where it was written")


def _marks(unfinished: Path) -> dict[int, str]:
    found = (_MARK.fullmatch(name) for name in _names(unfinished))
    return {int(match[1]): match[2] for match in found if match is not None}


def _names(folder: Path) -> list[str]:
    """A listing, not a look for one name: network file systems remember for a while that a name was not there."""
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []


def _look(unfinished: Path) -> object:
    """What changes as ranks write, and not merely live; None where the folder is gone."""
    try:
        with os.scandir(unfinished) as entries:
            return sorted((entry.name, *_stamp(entry)) for entry in entries if not entry.name.endswith(".alive"))
    except FileNotFoundError:
        return None


def _stamp(entry: os.DirEntry[str]) -> tuple[int, int]:
    try:
        status = entry.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
