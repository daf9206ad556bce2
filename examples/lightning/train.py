"""A Lightning training that may be interrupted at any moment: the callback, and `done` at the end, are all it takes."""

import argparse
import json
import os
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nightspot.checkpoint.integrations.lightning import NightspotCallback

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--checkpoints", default="checkpoints")
parser.add_argument("--out", default=os.environ.get("NIGHTSPOT_ARTIFACT", "model.pt"))


class Regressor(pl.LightningModule):  # type: ignore[misc, unused-ignore]
    """Learns the length of a vector of 32 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(32, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 1)
        )

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        inputs, targets = batch
        loss = nn.functional.mse_loss(self.layers(inputs), targets)
        print(json.dumps({"step": self.global_step, "loss": loss.item()}), flush=True)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, _: int) -> None:
        inputs, targets = batch
        self.log("val_loss", nn.functional.mse_loss(self.layers(inputs), targets))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=3e-3)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "train_loss"}}


def rows(number: int, seed: int) -> TensorDataset:
    """Float32 [number, 32] and their lengths [number, 1]: the same on every start."""
    inputs = torch.randn(number, 32, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(inputs, inputs.norm(dim=1, keepdim=True))


if __name__ == "__main__":
    args = parser.parse_args()
    pl.seed_everything(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    night = NightspotCallback(folder=args.checkpoints)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=args.epochs,
        val_check_interval=0.5,
        callbacks=[night],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    model = Regressor()
    trainer.fit(model, DataLoader(rows(512, 1), 32, shuffle=True), DataLoader(rows(128, 2), 64))
    torch.save(model.state_dict(), args.out)
    night.done(metrics={"val_loss": trainer.callback_metrics["val_loss"].item()})
