"""For the tests of exact resume: small trainings of one peculiarity each, and what they hold, bit for bit."""

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nightspot.checkpoint import Session

STEPS = 12
Rig = Callable[[], "Training"]


class Taken(BaseException):
    """Stands for SIGKILL within one process: nothing runs after it, and what goes on are fresh objects."""


class Training:
    """A model, an optimizer, made-up data and a loop; subclasses add what they are about. Seeded anew, as a new process is."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(1), random.seed(2), np.random.seed(3)
        self.model: torch.nn.Module = torch.nn.Sequential(
            torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.Dropout(0.3), torch.nn.Linear(6, 1)
        )
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.05)
        self.loop: dict[str, Any] = {"step": 0}

    def states(self) -> dict[str, object]:
        return {"model": self.model, "optimizer": self.optimizer, "loop": self.loop}

    def loss(self) -> torch.Tensor:
        return torch.nn.functional.mse_loss(self.model(torch.randn(8, 4)), torch.randn(8, 1))

    def step(self) -> None:
        self.optimizer.zero_grad()
        torch.autograd.backward(self.loss())
        self.optimizer.step()
        self.loop["step"] += 1

    def bits(self) -> object:
        """All that it holds, and what each generator would draw next."""
        drawn = random.random(), float(np.random.rand()), torch.rand(2)
        return [plain(state) for state in self.states().values()] + [plain(drawn)]


def train(make: Rig, folder: Path, until: int = STEPS, without: str = "") -> object:
    """From the newest checkpoint to the end; or to the checkpoint of step `until`, and not a line further.

    without: a state that is forgotten, in saving and in restoring.
    """
    training = make()
    states = {name: state for name, state in training.states().items() if name != without}
    with Session(states, folder=folder, interval_s=0) as session:
        session.restore()
        while training.loop["step"] < STEPS:
            if training.loop["step"] == until:
                raise Taken
            training.step()
            session.step(units_done=training.loop["step"])
    return training.bits()


def interrupted(make: Rig, folder: Path, *taken: int, without: str = "") -> object:
    """Taken after each of these steps."""
    for until in taken:
        with pytest.raises(Taken):
            train(make, folder, until, without)
    return train(make, folder, without=without)


def plain(value: Any) -> Any:
    """Numbers, texts and lists that are equal exactly where the bits are: NaN, -0.0 and dtypes included."""
    if isinstance(value, torch.Tensor):
        return [
            str(value.dtype),
            list(value.shape),
            value.detach().cpu().contiguous().view(-1).view(torch.uint8).tolist(),
        ]
    if hasattr(value, "state_dict"):
        return plain(value.state_dict())
    if isinstance(value, Mapping):
        return [[plain(key), plain(item)] for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (torch.Generator, np.random.Generator, random.Random)):
        return drawn_next(value)
    return repr(value) if isinstance(value, float) or not isinstance(value, (int, str)) else value


def drawn_next(generator: Any) -> list[str]:
    if isinstance(generator, torch.Generator):
        return [repr(torch.rand(1, generator=generator).item())]
    return [repr(generator.random()) for _ in range(2)]


def infinite_loss(loss: torch.Tensor) -> torch.Tensor:
    """The same, with a gradient that no optimizer should take."""
    return loss * math.inf
