"""Where a Hugging Face Trainer is in its data, and the random states behind its batches.

Trainer draws the epoch's order again and drops what it has had. What it does not find again is what its batches were
drawn with: it takes a step's batches, and one more, before the step, so a collator that masks at random has drawn already
when the checkpoint is saved; a sampler that draws from the global random state has drawn long before; and workers begin
with other seeds. All of them draw again from the states kept here.

Two ways: without workers, batches that the training has had are skipped unread; with workers that draw at random, they
are read once more and dropped, for a worker's random state hangs on all that it has made before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from nightspot.checkpoint import random_state


class Draws:
    """A state of a Session: global random states at the start of an epoch's order, and before each batch under way.

    ahead: how many batches may be under way at the start of a step.
    """

    def __init__(self, ahead: int) -> None:
        self._order: Any = None
        self._batches: deque[tuple[int, Any]] = deque(maxlen=ahead)
        self._again: Mapping[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Taken between two steps."""
        return {"order": self._order, "batches": list(self._batches)}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """They are drawn from again, until `forget`."""
        self._again = {"order": saved["order"], "batches": dict(saved["batches"])}

    def forget(self) -> None:
        """The place is found: from here on states are as the training leaves them."""
        self._again = None

    def before_order(self) -> None:
        """An epoch begins to draw its order, or its workers their seeds."""
        if self._again is not None:
            random_state.restore(self._again["order"])
        self._order = random_state.capture()

    def before_batch(self, number: int) -> None:
        """The dataset, and then the collator, make batch `number` of the epoch."""
        if self._again is not None and number in self._again["batches"]:
            random_state.restore(self._again["batches"][number])
        self._batches.append((number, random_state.capture()))


def watch(loader: Any, draws: Draws, *, workers_draw: bool) -> Any:
    """What Trainer shall take for its loader."""
    if loader.num_workers > 0 and workers_draw:
        return Reread(loader, draws)
    batch_sampler: Any = getattr(loader, "batch_sampler", None)
    if has_order(loader):
        batch_size = batch_sampler.batch_size if loader.num_workers == 0 else None
        batch_sampler.sampler = Watched(batch_sampler.sampler, draws, batch_size)
    return loader


def has_order(loader: Any) -> bool:
    """Its indices come from a sampler that can be watched. A stream has one that stands for no order."""
    batch_sampler: Any = getattr(loader, "batch_sampler", None)
    sampler = getattr(batch_sampler, "sampler", None)
    return isinstance(getattr(batch_sampler, "batch_size", None), int) and hasattr(sampler, "__len__")


class Watched:
    """A sampler that says when it begins, and when a batch does. batch_size: None: batches are made elsewhere."""

    def __init__(self, sampler: Any, draws: Draws, batch_size: int | None) -> None:
        self._sampler, self._draws, self._batch_size = sampler, draws, batch_size

    def __iter__(self) -> Iterator[Any]:
        """The sampler's own indices."""
        self._draws.before_order()
        for position, index in enumerate(self._sampler):
            if self._batch_size is not None and position % self._batch_size == 0:
                self._draws.before_batch(position // self._batch_size)
            yield index

    def __len__(self) -> int:
        """The sampler's own."""
        return len(self._sampler)

    def __getattr__(self, name: str) -> Any:
        """set_epoch, generator and the like are the sampler's."""
        return getattr(self._sampler, name)


class Reread:
    """A loader whose workers get the seeds that they had; batches of before the checkpoint are read and dropped."""

    def __init__(self, loader: Any, draws: Draws, had: int = 0) -> None:
        self._loader, self._draws, self._had = loader, draws, had

    def __iter__(self) -> Iterator[Any]:
        """The epoch's batches, but for those that training has had."""
        self._draws.before_order()
        batches = iter(self._loader)
        for _ in range(self._had):
            next(batches)
        yield from batches

    def after(self, had: int) -> Reread:
        """The rest of an epoch of which the training has had that many batches."""
        return Reread(self._loader, self._draws, had)

    def __len__(self) -> int:
        """Of a whole epoch."""
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        """All else is the loader's."""
        return getattr(self._loader, name)
