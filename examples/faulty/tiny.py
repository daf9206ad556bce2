"""A training so small that only its checkpoints matter. What is in here is right; each script beside it has one fault of its own.

Twenty steps in four epochs. A checkpoint follows each epoch: written beside, renamed, with a hash; two are kept, and a damaged one is
passed over. SIGTERM ends the script after the epoch, with exit code 75.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

EPOCHS = 4
CHECKPOINTS = Path(os.environ.get("NIGHTSPOT_CHECKPOINT_DIR", "checkpoints"))
ARTIFACT = Path(os.environ.get("NIGHTSPOT_ARTIFACT", "model.pt"))

told: list[int] = []  # signals that came


class Training:
    """Model with dropout, Adam, a rate that halves each epoch. Everything random comes from torch's global state and `order`."""

    def __init__(self, seed: int | None = 0) -> None:
        torch.set_num_threads(1)
        if seed is not None:
            torch.manual_seed(seed)
        known = torch.Generator().manual_seed(1)
        self.data = TensorDataset(torch.randn(40, 8, generator=known), torch.randn(40, 1, generator=known))
        self.model = nn.Sequential(nn.Linear(8, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, 1))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.02)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, _halved)
        self.order: torch.Generator | None = torch.Generator()
        self.loader = DataLoader(self.data, batch_size=8, shuffle=True, generator=self.order)
        self.steps = 0
        CHECKPOINTS.mkdir(parents=True, exist_ok=True)
        signal.signal(signal.SIGTERM, _note)

    def epoch(self, number: int) -> None:
        """Five steps; the order of the data is a function of the epoch."""
        if self.order is not None:
            self.order.manual_seed(number)
        for inputs, targets in self.loader:
            self.step(inputs, targets)
        self.scheduler.step()

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        """inputs: [batch, 8], targets: [batch, 1]."""
        loss = nn.functional.mse_loss(self.model(inputs), targets)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.steps += 1
        print(json.dumps({"step": self.steps, "loss": loss.item()}), flush=True)

    def state(self, epoch: int) -> dict[str, Any]:
        """All that the next epoch depends on."""
        return {
            "epoch": epoch,
            "steps": self.steps,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "random": torch.get_rng_state(),
        }

    def load(self, state: dict[str, Any], without: str = "") -> int:
        """The inverse, but for one part; returns the epoch to begin with."""
        for name in {"model", "optimizer", "scheduler"} - {without}:
            getattr(self, name).load_state_dict(state[name])
        if without != "random":
            torch.set_rng_state(state["random"])
        self.steps = state["steps"]
        return int(state["epoch"]) + 1

    def finish(self) -> None:
        """Write the finished model."""
        torch.save(self.model.state_dict(), ARTIFACT)


def save(state: dict[str, Any]) -> None:
    """The folder ckpt-0003 with the state and its hash: whole, or not there."""
    folder, beside = CHECKPOINTS / f"ckpt-{state['epoch']:04d}", CHECKPOINTS / ".beside"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    torch.save(state, beside / "state.pt")
    (beside / "sha256").write_text(_hash(beside / "state.pt"))
    shutil.rmtree(folder, ignore_errors=True)  # a damaged one that was passed over
    beside.rename(folder)
    for old in sorted(CHECKPOINTS.glob("ckpt-*"))[:-2]:
        shutil.rmtree(old)


def newest() -> dict[str, Any] | None:
    """The newest checkpoint that is undamaged."""
    for folder in sorted(CHECKPOINTS.glob("ckpt-*"), reverse=True):
        if (folder / "sha256").read_text() == _hash(folder / "state.pt"):
            state: dict[str, Any] = torch.load(folder / "state.pt")
            return state
    return None


def leave_if_told() -> None:
    """After a save: the notice asks for our end."""
    if told:
        sys.exit(75)


def _halved(epoch: int) -> float:
    return float(0.5**epoch)


def _note(number: int, _frame: FrameType | None) -> None:
    told.append(number)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
