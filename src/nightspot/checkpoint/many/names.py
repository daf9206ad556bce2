"""Names of the checkpoints to come: the same on all ranks, without asking each time."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from nightspot.checkpoint import manifest
from nightspot.checkpoint.many.ranks import Ranks, first


class Names:
    """Counts on from what is in the folder. token: of this session, in the names of what is unfinished."""

    def __init__(self, folder: Path, among: Ranks, above: int = 0) -> None:
        """All ranks must make one. above: a number in use elsewhere, in a bucket. Raises what `first` raises."""
        self._folder, self._size, self._above = folder, among.size, above
        self._last, self.token = first(among, self._begin)

    def next(self) -> str:
        """One higher each time, whatever became of the last. One process looks into the folder again: somebody may have
        put something there.
        """
        self._last += 1
        if self._size == 1:
            with suppress(OSError):  # the save itself will say what is wrong with the folder
                self._last = max(self._last, manifest.number(manifest.next_name(self._folder)))
        return f"step-{self._last:09d}"

    def _begin(self) -> tuple[int, str]:
        last = manifest.number(manifest.next_name(self._folder)) - 1
        return max(last, self._above), os.urandom(6).hex()
