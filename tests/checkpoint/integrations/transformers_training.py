"""A small real training by Hugging Face's Trainer in which everything changes that a checkpoint must hold.

Dropout, noise drawn by the collator from the global random states (as masking is), shuffled data, evaluation in mid
epoch, a log line every three steps, early stopping, gradient accumulation if asked for. Run by test_transformers.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch.utils.data import Dataset

from nightspot.checkpoint.integrations.transformers import NightspotCallback

ROWS, BATCH = 52, 8  # 7 batches an epoch, the last one shorter
EPOCHS, STEPS = 3, 7
End = tuple[int, Callable[[], None]]  # in which forward pass of the training, and what happens there


class Rows(Dataset[dict[str, torch.Tensor]]):
    """Six numbers and their sum; lengths differ, for a sampler that sorts by them."""

    def __init__(self) -> None:
        self.rows = torch.randn(ROWS, 6, generator=torch.Generator().manual_seed(3))

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"inputs": self.rows[index], "labels": self.rows[index].sum()[None], "input_ids": [0] * (index % 9 + 1)}


def noisy(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """A collator that draws, as one for masked language models does."""
    inputs = torch.stack([row["inputs"] for row in rows])
    noise = torch.randn(inputs.shape) * 0.1 + random.random() * 0.1 + np.random.rand() * 0.1
    return {"inputs": inputs + noise.float(), "labels": torch.stack([row["labels"] for row in rows])}


class Model(torch.nn.Module):
    """Keeps the loss of each batch it was trained with."""

    def __init__(self, end: End | None) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(6, 12), torch.nn.BatchNorm1d(12), torch.nn.Dropout(0.3), torch.nn.Linear(12, 1)
        )
        self.end, self.first = end, 0
        self.losses: list[float] = []

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        loss = torch.nn.functional.mse_loss(self.layers(inputs), labels)
        if self.training:
            self.losses.append(loss.item())
            if self.end is not None and self.end[0] == self.first + len(self.losses) - 1:
                self.end[1]()
        return {"loss": loss}


# A save at every step, and no process for it: unless a test says otherwise.
DEFAULT: dict[str, Any] = {"interval": 0, "background": False}


class Taken(BaseException):
    """Stands for SIGKILL within one process: nothing of the training runs after it."""


@dataclass
class Life:
    """One process's part of a training."""

    folder: Path | None
    end: End | None = None
    trainer: dict[str, Any] = field(default_factory=dict)
    session: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    bare: bool = False  # without our callback

    def train(self, output: Path) -> "Ended":
        """Seeds as a script does."""
        torch.set_num_threads(1)
        transformers.set_seed(5)
        model = Model(self.end)
        stop = transformers.EarlyStoppingCallback(early_stopping_patience=100)
        trainer = transformers.Trainer(
            model=model,
            args=arguments(output, **self.trainer),
            train_dataset=Rows(),
            eval_dataset=Rows(),
            data_collator=noisy,
            callbacks=[stop, First(model)],
        )
        result = trainer.train() if self.bare else self.under_night(trainer)
        lines = [{name: value for name, value in line.items() if name in TOLD} for line in trainer.state.log_history]
        return Ended(model, lines, result.training_loss, stop.early_stopping_patience_counter)

    def under_night(self, trainer: Any) -> Any:
        night = NightspotCallback(folder=self.folder, **(DEFAULT | self.session))
        result = night.train(trainer, **self.arguments)
        night.done()
        return result


TOLD = ("loss", "eval_loss", "learning_rate", "grad_norm", "step", "epoch")


class First(transformers.TrainerCallback):  # type: ignore[misc, name-defined, unused-ignore]
    """Tells the model which of its batches is its first in this life."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        each = args.gradient_accumulation_steps
        epoch, step = divmod(state.global_step, -(-STEPS // each))
        self.model.first = epoch * STEPS + step * each


class Ended:
    """What a training comes to."""

    def __init__(self, model: Model, lines: list[dict[str, Any]], mean_loss: float, worse: int) -> None:
        self.weights = {name: value.clone() for name, value in model.state_dict().items()}
        self.losses = dict(enumerate(model.losses, model.first))
        self.lines, self.mean_loss, self.worse = lines, mean_loss, worse


def arguments(output: Path, **more: Any) -> Any:
    usual: dict[str, Any] = {
        "output_dir": str(output),
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": EPOCHS,
        "seed": 5,
        "learning_rate": 0.02,
        "logging_steps": 3,
        "eval_strategy": "steps",
        "eval_steps": 4,
        "save_strategy": "no",
        "disable_tqdm": True,
        "report_to": [],
        "use_cpu": True,
        "metric_for_best_model": "loss",
        "remove_unused_columns": False,
    }
    return transformers.TrainingArguments(**(usual | more))
