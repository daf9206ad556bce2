"""Random augmentation that depends on what is augmented, not on which worker does it, nor on what was drawn before.

A loader's workers each have a random state of their own, which nobody can save. Seeded anew for each (seed, epoch, index), what
they draw is a pure function of these three: the same with any number of workers, in any order, before and after a resume.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import get_spawning_popen
from multiprocessing.sharedctypes import RawValue
from typing import Any, Generic, Protocol, TypeVar

from nightspot.checkpoint import _seeding

Item = TypeVar("Item", covariant=True)


class MapStyle(Protocol[Item]):
    """A dataset whose items have indices, as torch's map-style datasets."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Item: ...


def seed_of(index: int, *, epoch: int = 0, seed: int = 0) -> int:
    """A seed from 0 to 2**63 - 1 for one item in one epoch: for a generator of your own."""
    digest = hashlib.sha256(f"{seed}:{epoch}:{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextmanager
def seeded(index: int, *, epoch: int = 0, seed: int = 0) -> Iterator[None]:
    """Inside, the global random states of python, numpy and torch are those of this item; after it, those of before.

    In a loader's worker they stay: nothing there draws from them but for items.
    """
    before = None if _seeding.in_worker() else (random.getstate(), _seeding.states())
    number = seed_of(index, epoch=epoch, seed=seed)
    random.seed(number)
    _seeding.seed(number)
    try:
        yield
    finally:
        if before is not None:
            random.setstate(before[0])
            _seeding.set_states(before[1])


class SeededByIndex(Generic[Item]):
    """A map-style dataset whose items are made within `seeded(index, epoch=, seed=)`: wrap the one that augments.

    Its epoch is 0 until `set_epoch`; `ResumableSampler.batches` sets it. Workers see it, also those that live for many epochs.
    Raises TypeError for a dataset without indices.
    """

    def __init__(self, dataset: MapStyle[Item], *, seed: int = 0) -> None:
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise TypeError(f"{type(dataset).__qualname__}: expected a dataset with len() and items by index")
        self.dataset, self.seed = dataset, seed
        self._epoch = RawValue("q", 0)  # in memory that workers share

    @property
    def epoch(self) -> int:
        """What the items are seeded with beside their index."""
        return int(self._epoch.value)

    def set_epoch(self, epoch: int) -> None:
        """Before the loader starts on that epoch."""
        self._epoch.value = epoch

    def __len__(self) -> int:
        """As many as the dataset has."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> Item:
        """The item; its random numbers are always the same in that epoch."""
        with seeded(int(index), epoch=self.epoch, seed=self.seed):
            return self.dataset[index]

    def __getstate__(self) -> dict[str, Any]:
        """To a worker goes the shared memory itself; a copy made anywhere else has an epoch of its own."""
        if get_spawning_popen() is not None:
            return vars(self)
        return vars(self) | {"_epoch": self.epoch}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """See __getstate__."""
        epoch = state["_epoch"]
        vars(self).update(state | {"_epoch": RawValue("q", epoch) if isinstance(epoch, int) else epoch})
