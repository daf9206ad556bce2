"""Names of the checkpoints to come: the same on all ranks, without asking each time."""

from __future__ import annotations

import os
from pathlib import Path

from nightspot.checkpoint import manifest
from nightspot.checkpoint.many.life import here
from nightspot.checkpoint.many.ranks import Outcome, Ranks, first


class Names:
    """Counts on from what is in the folder. token: of this session, in the names of what is unfinished. peers: which processes
    train, by rank."""

    def __init__(self, folder: Path, among: Ranks, above: int = 0) -> None:
        """All ranks must make one. above: a number in use elsewhere, in a bucket. Raises what `first` raises."""
        self._folder, self._above = folder, above
        self._last, self.token = first(among, self._begin)
        self.peers = tuple(told.value for told in among.outcomes(Outcome(value=here())))

    def next(self) -> str:
        """One higher each time, whatever became of the last. Nobody looks into the folder: training must not wait for a disk that
        does not answer. Whoever writes does (see `commit.above_all`).
        """
        self._last += 1
        return f"step-{self._last:09d}"

    def _begin(self) -> tuple[int, str]:
        last = manifest.number(manifest.next_name(self._folder)) - 1
        return max(last, self._above), os.urandom(6).hex()
