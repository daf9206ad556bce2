"""The folder of a training, opened by all its ranks: the first one locks and sweeps it, the others see that it is the same."""

from __future__ import annotations

from pathlib import Path

from nightspot.checkpoint import _hashing
from nightspot.checkpoint.lock import FolderLock
from nightspot.checkpoint.many.ranks import Ranks, first, same, same_folder
from nightspot.checkpoint.opening import Opened, markers_for, open_folder


def open_together(among: Ranks, folder: Path, staging: Path | None) -> Opened:
    """As `open_folder`, for one rank of several. Only rank 0 holds the lock.

    Raises ConfigError if the ranks do not see one folder, or would hash by other algorithms; what `first` raises.
    """
    opened: list[Opened] = []

    def lock_and_sweep() -> bool:
        opened.append(open_folder(folder, staging))
        return opened[0].staging != opened[0].folder

    staged = first(among, lock_and_sweep)
    mine = opened[0] if opened else _beside(folder, staging if staged else None)
    try:
        for place in sorted({mine.folder, mine.staging}):
            same_folder(among, place)
        same(among, "hashes of files", _hashing.preferred(), "install xxhash on all machines, or on none")
    except BaseException:
        mine.close()
        raise
    return mine


def _beside(folder: Path, staging: Path | None) -> Opened:
    place = folder.absolute()
    wished = None if staging is None else staging.absolute()
    return Opened(place, wished or place, markers_for(place, wished), FolderLock(place))
