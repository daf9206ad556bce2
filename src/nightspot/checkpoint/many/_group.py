"""Ranks that talk to each other: the module here that touches torch.distributed.

Everything goes over one gloo group of our own, on the CPU: no stream of a device waits for it, and it does not
matter what the training's own group is (NCCL, gloo, MPI).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from nightspot.checkpoint.errors import ConfigError, RankLostError
from nightspot.checkpoint.many.ranks import Outcome, Wants, pack, unpack

T = TypeVar("T")
# A rank that died is noticed at once, by its closed connections. This is for a machine that vanished; others may
# wait legitimately while one evaluates or writes, as they would in the training's own collectives.
PATIENCE_S = 1800.0


def world_size() -> int | None:
    """Of the default process group; None: there is none (yet)."""
    if not dist.is_available() or not dist.is_initialized():
        return None
    return dist.get_world_size()


class Group:
    """All ranks of the default process group. Making one is a collective call."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._group = _answered(lambda: dist.new_group(backend="gloo", timeout=timedelta(seconds=patience_s)))
        self._flags: torch.Tensor | None = None  # being reduced since the last step, by `_work`
        self._work: Any = None

    def exchange(self, wants: Wants, units_done: float) -> Wants:
        """What all wanted at the last step; sends off what this rank wants now, and does not wait for it."""
        agreed = replace(self._last(), always=wants.always)
        mine = wants.sent(agreed, first=self.rank == 0)
        self._flags = torch.tensor([units_done, -units_done, *pack(mine)], dtype=torch.float64)
        self._work = _answered(
            lambda: dist.all_reduce(self._flags, dist.ReduceOp.MAX, group=self._group, async_op=True)
        )
        return agreed

    def outcomes(self, mine: Outcome) -> list[Outcome]:
        """Of every rank, by rank."""
        found: list[Any] = [None] * self.size
        _answered(lambda: dist.all_gather_object(found, mine, group=self._group))
        return found

    def differing(self, digests: Mapping[str, str]) -> set[str]:
        """The names whose digests are not the same on all ranks. 56 bits of each are compared."""
        names = sorted(digests)
        numbers = [_number(digests[name]) for name in names]
        both = torch.tensor([numbers, [-number for number in numbers]], dtype=torch.int64)
        _answered(lambda: dist.all_reduce(both, dist.ReduceOp.MAX, group=self._group))
        highest, lowest = both.tolist()
        return {name for name, high, low in zip(names, highest, lowest, strict=True) if high != -low}

    def _last(self) -> Wants:
        if self._work is None or self._flags is None:
            return Wants()
        _answered(self._work.wait)
        highest, lowest, *wanted = self._flags.tolist()
        if highest != -lowest:
            raise ConfigError(
                f"the ranks' units_done differ at one call of step(): from {-lowest} to {highest}; "
                "all ranks must call step() equally often, at the same place, with the same units_done"
            )
        return unpack(wanted)


def _answered(call: Callable[[], T]) -> T:
    try:
        return call()
    except RuntimeError as error:  # what torch.distributed raises when a peer is gone, or past the time limit
        first_line = str(error).strip().partition("\n")[0]
        raise RankLostError(f"another rank no longer answers; its own output says why ({first_line})") from error


def _number(digest: str) -> int:
    return int.from_bytes(hashlib.sha256(digest.encode()).digest()[:7], "big")
