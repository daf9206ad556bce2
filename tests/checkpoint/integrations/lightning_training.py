"""A small real Lightning training in which everything changes that a checkpoint must hold; run by test_lightning.

Dropout, batch norm, augmentation drawn from the global random state, shuffled data, validation in mid epoch, a scheduler
by step and one that looks at the epoch's mean loss, an average of the weights, early stopping, a torchmetric.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchmetrics
from torch.utils.data import DataLoader, Dataset

from nightspot.checkpoint import ResumableSampler
from nightspot.checkpoint.integrations.lightning import NightspotCallback, pl

ROWS, BATCH = 52, 8  # 7 batches an epoch, the last one shorter
EPOCHS, BATCHES = 3, 7
End = tuple[int, Callable[[], None]]  # in which batch, and what happens there


class Noisy(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Rows with noise drawn afresh from python's, numpy's and torch's global random states."""

    def __init__(self) -> None:
        drawn = torch.Generator().manual_seed(3)
        self.rows = torch.randn(ROWS, 6, generator=drawn)
        self.targets = self.rows.sum(1, keepdim=True)

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        noise = torch.randn(6) * 0.1 + random.random() * 0.1 + np.random.rand() * 0.1
        return self.rows[index] + noise.float(), self.targets[index]


class Model(pl.LightningModule):  # type: ignore[misc, name-defined, unused-ignore]
    """Keeps the loss of each batch, and what each hook saw."""

    def __init__(self, end: End | None) -> None:
        super().__init__()
        self.end = end
        self.save_hyperparameters({"anything": object()})  # no checkpoint could hold it, and none needs to
        self.layers = self.make()
        self.error = torchmetrics.MeanSquaredError()
        self.losses: dict[int, float] = {}

    @staticmethod
    def make() -> torch.nn.Sequential:
        """Float32 [batch, 6] -> [batch, 1]."""
        return torch.nn.Sequential(
            torch.nn.Linear(6, 12), torch.nn.BatchNorm1d(12), torch.nn.Dropout(0.3), torch.nn.Linear(12, 1)
        )

    def training_step(self, batch: Any, _index: int) -> torch.Tensor:
        inputs, targets = batch
        outputs = self.layers(inputs)
        self.error(outputs, targets)
        loss = torch.nn.functional.mse_loss(outputs, targets)
        self._keep(loss.item())
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        self.log("train_error", self.error, on_step=False, on_epoch=True)
        return loss

    def _keep(self, loss: float) -> None:
        batch = self.trainer.fit_loop.epoch_loop.total_batch_idx
        self.losses[batch] = loss
        if self.end is not None and self.end[0] == batch:
            self.end[1]()

    def validation_step(self, batch: Any, _index: int) -> None:
        inputs, targets = batch
        self.log("val_loss", torch.nn.functional.mse_loss(self.layers(inputs), targets))

    def on_train_epoch_end(self) -> None:
        seen = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        self.losses[-1 - self.current_epoch] = sum(seen.values())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.02)
        by_step = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.9)
        by_loss = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.5)
        return [optimizer], [
            {"scheduler": by_step, "interval": "step"},
            {"scheduler": by_loss, "interval": "epoch", "monitor": "train_loss"},
        ]


def plain(**options: Any) -> Any:
    return DataLoader(Noisy(), BATCH, shuffle=True, **options)


def resumable() -> Any:
    return DataLoader(Noisy(), batch_sampler=ResumableSampler(ROWS, BATCH, seed=4))


def own_generator() -> Any:
    return plain(generator=torch.Generator().manual_seed(6))


def stateful() -> Any:
    from torchdata.stateful_dataloader import StatefulDataLoader

    return StatefulDataLoader(Noisy(), BATCH, shuffle=True)


LOADERS: dict[str, Callable[[], Any]] = {
    "plain": plain,
    "workers": lambda: plain(num_workers=2),
    "generator": own_generator,
    "resumable": resumable,
    "stateful": stateful,
}


# A save at every step, and no process for it: unless a test says otherwise.
DEFAULT: dict[str, Any] = {"interval": 0, "background": False}


class Taken(BaseException):
    """Stands for SIGKILL within one process: nothing of the training runs after it."""


@dataclass
class Life:
    """One process's part of a training. end: (batch, what to do), within its training step."""

    folder: Path | None
    loader: str = "plain"
    end: End | None = None
    trainer: dict[str, Any] = field(default_factory=dict)
    session: dict[str, Any] = field(default_factory=dict)
    fit_arguments: dict[str, Any] = field(default_factory=dict)
    bare: bool = False  # without our callback

    def fit(self) -> tuple[dict[int, float], dict[str, torch.Tensor]]:
        """Losses by batch, and final weights; seeds as a script does."""
        torch.set_num_threads(1)
        pl.seed_everything(5)
        model, callbacks = Model(self.end), others()
        if not self.bare:
            session = DEFAULT | self.session
            callbacks.insert(0, night := NightspotCallback(folder=self.folder, **session))
        trainer = pl.Trainer(**(quiet() | {"callbacks": callbacks} | self.trainer))
        trainer.fit(model, LOADERS[self.loader](), DataLoader(Noisy(), 16), **self.fit_arguments)
        if not self.bare:
            night.done()
        return model.losses, {name: value.clone() for name, value in model.state_dict().items()}


def others() -> list[Any]:
    """Callbacks with states of their own; the average of weights came with Lightning 2.6."""
    stop = pl.callbacks.EarlyStopping("val_loss", patience=100)
    average = getattr(pl.callbacks, "EMAWeightAveraging", None)
    return [stop] if average is None else [stop, average(decay=0.9)]


def quiet() -> dict[str, Any]:
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    return dict.fromkeys(off, False) | {"accelerator": "cpu", "max_epochs": EPOCHS, "val_check_interval": 3}
