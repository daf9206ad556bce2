"""A small real training: dropout, batch norm, Adam, one-cycle rate, shuffled data, every random state.

Run as a process by test_exact_resume: FOLDER, loader workers, and how to end: "", "TERM@step" or "KILL@step".
Prints the digest of everything that was trained.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from nightspot.checkpoint import ResumableSampler, Session

EPOCHS, ROWS, BATCH = 3, 44, 8  # 6 batches an epoch, the last one shorter


class Training:
    """Everything that changes, and one step of it."""

    def __init__(self, workers: int = 0) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(5)
        random.seed(6)
        np.random.seed(7)
        data = TensorDataset(torch.randn(ROWS, 8), torch.randn(ROWS, 1))
        self.model = torch.nn.Sequential(
            torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.Dropout(), torch.nn.Linear(16, 1)
        )
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.sampler = ResumableSampler(ROWS, BATCH, seed=8)
        self.loader = DataLoader(data, batch_sampler=self.sampler, num_workers=workers)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=0.05, total_steps=EPOCHS * len(self.sampler)
        )
        self.own = np.random.default_rng(9)
        self.loop: dict[str, Any] = {"step": 0, "losses": [], "ema": torch.zeros(1)}

    def states(self) -> dict[str, object]:
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "sampler": self.sampler,
            "own": self.own,
            "loop": self.loop,
        }

    def step(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        noise = random.random() + np.random.rand() + self.own.random()
        loss = torch.nn.functional.mse_loss(self.model(inputs * noise), targets)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.scheduler.step()
        self.loop["step"] += 1
        self.loop["losses"].append(loss.item())
        self.loop["ema"] = self.loop["ema"] * 0.9 + loss.detach() * 0.1

    def digest(self) -> str:
        """Of weights and buffers, optimizer, rate, losses, and of what each generator would draw next."""
        parts: list[object] = [self.loop["losses"], self.loop["ema"].item(), self.scheduler.get_last_lr()]
        parts += [value.tolist() for value in self.model.state_dict().values()]
        parts += [value.tolist() for state in self.optimizer.state.values() for value in state.values()]
        parts += [torch.rand(1).item(), random.random(), np.random.rand(), self.own.random()]
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def train(training: Training, folder: Path, interrupt: dict[int, signal.Signals], interval_s: float = 0) -> str:
    """To the end, unless `interrupt` names this step: then the signal goes to the whole group."""
    with Session(training.states(), folder=folder, interval_s=interval_s) as session:
        session.restore()
        while training.sampler.epoch < EPOCHS:
            for inputs, targets in training.sampler.batches(training.loader):
                training.step(inputs, targets)
                if training.loop["step"] in interrupt:
                    signal_from_outside(interrupt[training.loop["step"]])
                session.step(units_done=training.loop["step"] / len(training.sampler))
        session.done(units_done=EPOCHS)
    return training.digest()


def signal_from_outside(number: signal.Signals) -> None:
    """To the whole group, as a supervisor does: a loader's worker that its own parent signals leaves in silence."""
    command = f"kill -{number.name.removeprefix('SIG')} -{os.getpgid(0)}"
    subprocess.run(["sh", "-c", command], start_new_session=True, check=True)
    time.sleep(0.2)  # for what the signal does to the workers


if __name__ == "__main__":
    how, _, at = sys.argv[3].partition("@")
    planned = {int(at): signal.Signals[f"SIG{how}"]} if at else {}
    sys.stdout.write(train(Training(int(sys.argv[2])), Path(sys.argv[1]), planned) + "\n")
