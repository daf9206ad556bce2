"""What a step of training is: batches in a fixed order, sampled negatives, AdamW, a one-cycle rate."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from data import Pairs
from model import MatrixFactorisation, bpr_loss


class DivergedError(Exception):
    """Training left the finite numbers; the model is worth nothing from here on."""


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """All that shapes the model besides the data. batch_size in pairs, negatives for each pair."""

    epochs: int = 20
    seed: int = 0
    dim: int = 64
    batch_size: int = 1024
    negatives: int = 48
    lr: float = 0.01
    weight_decay: float = 1.0  # times lr: vectors shrink by up to 1 % a step, or 64 numbers a user would overfit


class BatchesState(TypedDict):
    """Where in the data we are: an epoch and the batches of it already handed out, both from 0."""

    epoch: int
    batch: int


class Batches:
    """Positions of training pairs, batch by batch; the order is a pure function of seed and epoch.

    Iterating goes on from the current position to the end of the current epoch.
    """

    def __init__(self, pairs: int, batch_size: int, seed: int) -> None:
        self.pairs, self.batch_size, self.seed = pairs, batch_size, seed
        self.epoch = self.batch = 0

    def __len__(self) -> int:
        return math.ceil(self.pairs / self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        """Int64 [batch_size], the last one shorter. A batch counts as used once it is handed out."""
        order = self._order()
        while self.batch < len(self):
            start = self.batch * self.batch_size
            self.batch += 1
            yield order[start : start + self.batch_size]
        self.epoch, self.batch = self.epoch + 1, 0

    def _order(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return torch.randperm(self.pairs, generator=generator)

    def state_dict(self) -> BatchesState:
        """The position."""
        return {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: BatchesState) -> None:
        """Go on from a position."""
        self.epoch, self.batch = state["epoch"], state["batch"]


class Learner:
    """Model, optimizer and scheduler, and the one step that moves them."""

    def __init__(self, pairs: Pairs, users: int, items: int, chosen: Hyperparameters) -> None:
        torch.manual_seed(chosen.seed)
        self.users, self.items = torch.from_numpy(pairs.users), torch.from_numpy(pairs.items)
        self.item_count, self.negatives = items, chosen.negatives
        self.batches = Batches(len(pairs), chosen.batch_size, chosen.seed)
        self.model = MatrixFactorisation(users, items, chosen.dim)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=chosen.lr, weight_decay=chosen.weight_decay)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=chosen.lr, total_steps=chosen.epochs * len(self.batches)
        )

    def step(self, positions: Tensor) -> float:
        """Learn from the pairs at `positions` (int64 [batch]); returns the loss.

        Negatives are uniform over all items, from torch's global random state: a checkpoint has to carry it.
        A few percent of them are items that the user did choose, which BPR bears.
        """
        negatives = torch.randint(self.item_count, (len(positions), self.negatives))
        candidates = torch.cat([self.items[positions, None], negatives], dim=1)
        loss = bpr_loss(self.model(self.users[positions], candidates))
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)  # loss.backward(), but annotated
        self.optimizer.step()
        self.scheduler.step()
        return _finite(loss.item())


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        raise DivergedError(f"the loss became {loss}: expected a finite number; try a lower --lr")
    return loss


def be_deterministic(threads: int) -> None:
    """Same bits for the same input; the number of threads counts, since it decides the order of sums."""
    torch.set_num_threads(threads)
    # use_deterministic_algorithms(True) sets the same switch, but imports the compiler: a second each start.
    torch.set_deterministic_debug_mode("error")
