"""The order of the data, resumable in the middle of an epoch."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from nightspot.checkpoint import _torch
from nightspot.checkpoint.errors import ConfigError

Batch = TypeVar("Batch")


class ResumableSampler:
    """Batches of indices 0 to size - 1, in an order that is a pure function of (seed, epoch).

    Hand it to a DataLoader as `batch_sampler`, to a Session as a state, and loop over `batches(loader)`.
    `epoch` and `batch`, both from 0: where in the data the loop is, whatever a loader has fetched ahead.
    rank, world_size: of several ranks, each takes its part of every batch; `batch_size` is that of all together. The order
        is the same for any number of ranks, and so is the state: another number can go on with it.
    Raises ValueError for sizes that leave a rank without a sample.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if size < 1 or batch_size < 1:
            raise ValueError(f"size = {size}, batch_size = {batch_size}: expected 1 or more")
        _check_ranks(rank, world_size, batch_size, 0 if drop_last else size % batch_size)
        self._rank, self._world_size = rank, world_size
        self._shape = {
            "size": size,
            "batch_size": batch_size,
            "seed": seed,
            "shuffle": shuffle,
            "drop_last": drop_last,
        }
        self._size, self._batch_size, self._seed = size, batch_size, seed
        self._shuffle, self._drop_last = shuffle, drop_last
        self.epoch = self.batch = 0

    def __len__(self) -> int:
        """Batches in an epoch."""
        full, rest = divmod(self._size, self._batch_size)
        return full + (rest > 0 and not self._drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        """The rest of this epoch, for a loader. Does not move: loaders fetch ahead of the loop."""
        order = _torch.permutation(self._size, self._epoch_seed()) if self._shuffle else range(self._size)
        for batch in range(self.batch, len(self)):
            start = batch * self._batch_size
            # list(range[...]) and tensor.tolist() give the same plain integers
            part: Any = order[start : start + self._batch_size]
            mine = part[self._rank :: self._world_size]
            yield list(mine) if isinstance(mine, range) else mine.tolist()

    def batches(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        """The rest of this epoch as `loader` makes it; counts each batch as it is handed to the loop.

        A dataset that has `set_epoch` is told the epoch first (see SeededByIndex).
        Starting the loader draws nothing from the global random state, and its workers ignore SIGTERM: it
        goes to the whole process group, and training needs them to reach the end of its step.
        """
        set_epoch = getattr(getattr(loader, "dataset", None), "set_epoch", None)
        if callable(set_epoch):
            set_epoch(self.epoch)
        with _undisturbed():
            iterator = iter(loader)
        for batch in iterator:
            self.batch += 1
            yield batch
        self.epoch, self.batch = self.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """The position, and what the order depends on."""
        return {"epoch": self.epoch, "batch": self.batch, **self._shape}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a position. Raises ConfigError if it is one in another order."""
        for name, here in self._shape.items():
            if state[name] != here:
                raise ConfigError(f"the sampler had {name} = {state[name]}, has {here}: the order would differ")
        self.epoch, self.batch = state["epoch"], state["batch"]

    def _epoch_seed(self) -> int:
        digest = hashlib.sha256(f"{self._seed}:{self.epoch}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1


def _check_ranks(rank: int, world_size: int, batch_size: int, rest: int) -> None:
    """rest: samples in the last batch, where it is a smaller one."""
    if not 0 <= rank < world_size:
        raise ValueError(f"rank = {rank}, world_size = {world_size}: expected a rank below the number of ranks")
    if batch_size % world_size:
        raise ValueError(f"batch_size = {batch_size}: expected a multiple of world_size = {world_size}, shared by all")
    if 0 < rest < world_size:
        raise ValueError(f"the last batch has {rest} samples for {world_size} ranks: expected drop_last=True")


@contextmanager
def _undisturbed() -> Iterator[None]:
    before = _torch.random_states()
    # Worker processes inherit the mask; SIGTERM for us waits these few moments.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if before is not None:
            _torch.set_random_states(before)
