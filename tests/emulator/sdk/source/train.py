"""A classic script: one file for each epoch in /opt/ml/checkpoints, the newest one is loaded at the start."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch

FOLDER = Path("/opt/ml/checkpoints")
# The first instance never gets further by itself: it waits here for its interruption, however slow this computer is.
STUCK_AT_EPOCH, STUCK_S = 4, 200.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
    parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
    options = parser.parse_args()
    text = Path(options.train, "numbers.csv").read_text()
    data = torch.tensor([float(number) for number in text.split(",")])
    weight, first, resumed = torch.zeros(1), 1, []
    saved = sorted(FOLDER.glob("ckpt-*.pt"))
    if saved:
        state = torch.load(saved[-1], weights_only=True)
        weight, first, resumed = state["weight"], state["epoch"] + 1, [*state["resumed"], state["epoch"]]
        print(f"resumed after epoch {state['epoch']}")  # noqa: T201 - a script prints
    for epoch in range(first, options.epochs + 1):
        if epoch == STUCK_AT_EPOCH and not resumed:
            time.sleep(STUCK_S)
        weight = weight - options.lr * (weight - data.mean())
        state = {"epoch": epoch, "weight": weight, "resumed": resumed}
        torch.save(state, FOLDER / f"ckpt-{epoch:04d}.pt")
        print(f"epoch={epoch} loss={float((weight - data.mean()) ** 2):.6f}")  # noqa: T201 - a script prints
    torch.save(state, Path(options.model_dir, "model.pt"))


if __name__ == "__main__":
    main()
