"""Where a Lightning training is in its data, and how a new process comes to the same batch.

Three ways, by what the loaders are:
- SAMPLER: one loader with a ResumableSampler as batch_sampler: the callback tells it where to go on;
- STATEFUL: all loaders keep their place themselves (torchdata's StatefulDataLoader); Lightning saves and loads it;
- REPLAY: anything else: the epoch's order is drawn again from the random states it was drawn from, and batches the
  training has had are read once more and dropped. Workers draw again what they drew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nightspot.checkpoint import random_state
from nightspot.checkpoint.sampler import ResumableSampler
from nightspot.checkpoint.workers import SeededByIndex

SAMPLER, STATEFUL, REPLAY = "sampler", "stateful", "replay"


class Position:
    """A state of a Session: the random states that an epoch's order hangs on; and the way back to a batch of it."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._before_iter: Any = None  # random states when the epoch's iterator was made; None in the first epoch
        self._before_first: Any = None  # ... and when its first batch was asked for: torch's samplers draw only then
        self._boundary: Any = None  # generators of loaders, as the checkpoint has them

    @property
    def way(self) -> str:
        """How a resume finds its batch; known once the data is loaded."""
        loaders = self._loaders()
        if len(loaders) == 1 and _sampler(loaders[0]) is not None:
            return SAMPLER
        if loaders and all(_keeps_its_place(loader) for loader in loaders) and self._length_is_known():
            return STATEFUL
        return REPLAY

    def state_dict(self) -> dict[str, Any]:
        """Taken between two batches."""
        generators = [generator.get_state() for generator in self._generators()]
        return {"before_iter": self._before_iter, "before_first": self._before_first, "generators": generators}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Remembers; `resume` goes there."""
        self._before_iter, self._before_first = saved["before_iter"], saved["before_first"]
        self._boundary = saved["generators"]

    def before_iterator(self, epoch: int) -> None:
        """An epoch's iterator is about to be made; of the first one it has been, as the data was loaded."""
        self._tell(epoch, 0)
        self._before_iter = self._draws() if epoch > 0 else None

    def before_first_batch(self) -> None:
        """An epoch's first batch is about to be asked for."""
        self._before_first = self._draws()

    def resume(self, fetcher: Any, epoch: int, batches: int) -> None:
        """So that `fetcher` gives the batch after `batches` of this epoch. Global random states are anything afterwards."""
        way = self.way
        self._tell(epoch, batches if way == SAMPLER else 0)
        if way == SAMPLER:
            iter(fetcher)
            fetcher.fetched = batches
        elif way == REPLAY:
            self._replay(fetcher, batches)
        for generator, state in zip(self._generators(), self._boundary, strict=False):
            generator.set_state(state)

    def _tell(self, epoch: int, batches: int) -> None:
        """Ours do not hear of epochs and batches from Lightning."""
        for loader in self._loaders():
            if (sampler := _sampler(loader)) is not None:
                sampler.epoch, sampler.batch = epoch, batches
            if isinstance(dataset := getattr(loader, "dataset", None), SeededByIndex):
                dataset.set_epoch(epoch)

    def _replay(self, fetcher: Any, batches: int) -> None:
        if self._before_iter is not None:
            self._draw_again(self._before_iter)
            iter(fetcher)
        else:  # the first epoch: its iterator was made when the data was loaded, as it had been before
            fetcher.fetched = 0
        if batches:
            self._draw_again(self._before_first)
        for _ in range(batches):
            next(fetcher)

    def _draws(self) -> dict[str, Any]:
        """All that an order may be drawn from."""
        generators = [generator.get_state() for generator in self._generators()]
        return {"global": random_state.capture(), "generators": generators}

    def _draw_again(self, saved: Mapping[str, Any]) -> None:
        random_state.restore(saved["global"])
        for generator, state in zip(self._generators(), saved["generators"], strict=False):
            generator.set_state(state)

    def _loaders(self) -> list[Any]:
        combined = self._trainer.fit_loop._combined_loader
        return [] if combined is None else list(combined.flattened)

    def _length_is_known(self) -> bool:
        """Else Lightning fetches a batch ahead, and a loader's own place is one too far."""
        return bool(self._trainer.fit_loop.max_batches != float("inf"))

    def _generators(self) -> list[Any]:
        """Of loaders and their samplers, each once, in order."""
        found = {id(generator): generator for loader in self._loaders() for generator in _generators_of(loader)}
        return list(found.values())


def _sampler(loader: Any) -> ResumableSampler | None:
    sampler = getattr(loader, "batch_sampler", None)
    return sampler if isinstance(sampler, ResumableSampler) else None


def _keeps_its_place(loader: Any) -> bool:
    return hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")


def _generators_of(loader: Any) -> Iterator[Any]:
    batch_sampler = getattr(loader, "batch_sampler", None)
    for owner in (loader, getattr(loader, "sampler", None), getattr(batch_sampler, "sampler", None)):
        generator = getattr(owner, "generator", None)
        if hasattr(generator, "get_state"):
            yield generator
