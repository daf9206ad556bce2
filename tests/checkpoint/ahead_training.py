"""A small training with sparse tables, and a hand that makes bases step by step, as a test wants it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from nightspot.checkpoint.ahead import patches
from nightspot.checkpoint.ahead.ahead import Ahead, Patched
from nightspot.checkpoint.ahead.base import BaseFile, BaseOrder
from nightspot.checkpoint.ahead.memory import Memory
from nightspot.checkpoint.capture import capture
from nightspot.checkpoint.order import Order
from nightspot.checkpoint.pieces import Part
from nightspot.checkpoint.progress import Progress
from nightspot.checkpoint.voice import Voice
from tests.checkpoint.helpers import HEAD

ROWS, WIDTH = (500, 60, 7), 4
Optimizers = Callable[["Training"], dict[str, torch.optim.Optimizer]]


class Model(torch.nn.Module):
    """The first two tables share their rows with nobody; the third is one weight in two modules."""

    def __init__(self, users: int) -> None:
        super().__init__()
        self.users = torch.nn.EmbeddingBag(users, WIDTH, sparse=True, mode="sum")
        self.items = torch.nn.Embedding(ROWS[1], WIDTH, sparse=True)
        self.days = torch.nn.Embedding(ROWS[2], WIDTH, sparse=True)
        self.tied = torch.nn.Embedding(ROWS[2], WIDTH, sparse=True)
        self.tied.weight = self.days.weight
        self.top = torch.nn.Linear(4 * WIDTH, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """rows: int64 [batch, 4]."""
        parts = [self.users(rows[:, :1]), self.items(rows[:, 1]), self.days(rows[:, 2]), self.tied(rows[:, 3])]
        scores: torch.Tensor = self.top(torch.cat(parts, 1))
        return scores


def sparse_adam(training: Training) -> dict[str, torch.optim.Optimizer]:
    return {"sparse": torch.optim.SparseAdam(training.tables(), lr=0.1)}


def adagrad(training: Training) -> dict[str, torch.optim.Optimizer]:
    return {"sparse": torch.optim.Adagrad(training.tables(), lr=0.1)}


def two(training: Training) -> dict[str, torch.optim.Optimizer]:
    """Both change the same rows of `users`, at each step."""
    return sparse_adam(training) | {"second": torch.optim.SGD([training.model.users.weight], lr=0.1)}


class Training:
    """Each step looks up some rows, some of them twice, and changes what was looked up, and all of `top`."""

    def __init__(self, optimizers: Optimizers = sparse_adam, seed: int = 0, users: int = ROWS[0]) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.model, self.random, self.users = Model(users), torch.Generator().manual_seed(seed), users
        self.optimizers = optimizers(self)
        self.dense = torch.optim.Adam(self.model.top.parameters())
        self.loop = {"step": 0}

    @property
    def states(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "dense": self.dense,
            "random_rows": self.random,
            "loop": self.loop,
            **self.optimizers,
        }

    def tables(self) -> list[torch.Tensor]:
        return [self.model.users.weight, self.model.items.weight, self.model.days.weight]

    def tensors(self) -> dict[str, torch.Tensor]:
        return dict(capture(self.states, None).tensors)

    def step(self, batch: int = 3) -> None:
        chosen = torch.rand(batch, 4, generator=self.random)
        rows = (chosen * torch.tensor([self.users, ROWS[1], ROWS[2], ROWS[2]])).long()
        rows[0] = rows[-1]
        self.look_up(rows)

    def look_up(self, rows: torch.Tensor) -> None:
        self.gradients(rows)
        for optimizer in (*self.optimizers.values(), self.dense):
            optimizer.step()
        self.loop["step"] += 1

    def gradients(self, rows: torch.Tensor) -> None:
        for optimizer in (*self.optimizers.values(), self.dense):
            optimizer.zero_grad()
        torch.autograd.backward(self.model(rows).square().sum())


class SlowHand:
    """Makes a base only as far as it is told: unit by unit, file by file, out of this very process's memory."""

    def __init__(self) -> None:
        self.bases: list[Mapping[str, Any]] = []
        self.order: BaseOrder | None = None
        self.written: dict[str, bytes] = {}
        self._files: Iterator[BaseFile] = iter(())

    def base(self, order: BaseOrder) -> None:
        self.order, self.written = order, {}
        self._files = self._in_turn(order)

    def advance(self) -> bool:
        """Read one more file; False: the base is complete."""
        file = next(self._files, None)
        if file is None:
            return False
        memory = Memory(os.getpid(), os.open("/proc/self/mem", os.O_RDONLY))
        self.written[file.name] = b"".join(bytes(block) for block in memory.blocks(file))
        memory.close()
        return True

    def _in_turn(self, order: BaseOrder) -> Iterator[BaseFile]:
        for number, unit in enumerate(order.units):
            self.bases.append({"unit": number})
            yield from unit.files
        self.bases.append({"base": time.monotonic()})


def ahead_of(training: Training, wanted: tuple[str, ...] | None = None, sampled_rows: int | None = None) -> Ahead:
    return Ahead(training.states, wanted, Voice(Progress(None)), sampled_rows)


def restored(hand: SlowHand, patched: Patched) -> dict[str, torch.Tensor]:
    """What a checkpoint of this save would give back."""
    assert hand.order is not None
    base = hand.order.entries()
    found = {key: _read(hand, entry) for key, entry in base.items()}
    for piece in patched.patches:
        into = torch.zeros(piece.shape, dtype=getattr(torch, piece.dtype))
        into.copy_(piece.tensor) if isinstance(piece.tensor, torch.Tensor) else piece.tensor.fill(into)
        found[piece.key] = into
    boxes = {key: ([0] * tensor.dim(), list(tensor.shape)) for key, tensor in found.items()}
    patches.lay_over(base, found, boxes)
    return found | {key: tensor.detach().clone() for key, tensor in patched.rest.items()}


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """To the bit."""
    return one.keys() == other.keys() and all(bits(one[key]) == bits(other[key]) for key in one)


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def frozen(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: tensor.detach().clone() for key, tensor in tensors.items()}


def start(ahead: Ahead, hand: SlowHand, training: Training, staging: Path) -> None:
    order = Order("step-000000001", "token", str(staging), str(staging), HEAD, (), Part("", 0, 0), keep=2)
    ahead.start(hand, training.tensors(), order)


def _read(hand: SlowHand, entry: Mapping[str, Any]) -> torch.Tensor:
    whole = torch.full(entry["shape"], torch.nan, dtype=getattr(torch, entry["dtype"]))
    for piece in entry["pieces"]:
        first, rows = piece["offsets"][0], piece["sizes"][0]
        part = torch.frombuffer(
            bytearray(hand.written[piece["file"]]), dtype=whole.dtype, offset=piece["offset_bytes"], count=whole[:rows].numel()
        )  # fmt: skip
        whole[first : first + rows] = part.view(piece["sizes"])
    return whole
