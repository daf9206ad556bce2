"""The same training by someone who has never heard of nightspot: a file each epoch, resume from the newest.

`python unmodified.py CHECKPOINTS` writes CHECKPOINTS/ckpt-0007.pt after the seventh epoch. It saves the plain
way: a kill within a save leaves a torn file, which whoever starts the script again has to move aside.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

import options
from data import DataError
from metrics import evaluate
from options import Task
from output import model_bytes, write_atomically
from training import Learner, be_deterministic


def train(task: Task, folder: Path) -> Learner:
    """Train the epochs that are left."""
    learner = Learner(task.split.train, task.users, task.items, task.chosen)
    folder.mkdir(parents=True, exist_ok=True)
    if saved := sorted(folder.glob("ckpt-*.pt")):
        load(learner, saved[-1])
    while learner.batches.epoch < task.chosen.epochs:
        losses = [learner.step(positions) for positions in learner.batches]
        epoch = learner.batches.epoch
        save(learner, folder / f"ckpt-{epoch:04d}.pt")
        print(json.dumps({"epoch": epoch, "loss": sum(losses) / len(losses)}), flush=True)
    return learner


def save(learner: Learner, path: Path) -> None:
    """Everything that the next epoch depends on."""
    state = {
        "model": learner.model.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "scheduler": learner.scheduler.state_dict(),
        "batches": learner.batches.state_dict(),
        "random": torch.get_rng_state(),
    }
    torch.save(state, path)


def load(learner: Learner, path: Path) -> None:
    """The inverse of `save`."""
    state = torch.load(path, weights_only=True)
    learner.model.load_state_dict(state["model"])
    learner.optimizer.load_state_dict(state["optimizer"])
    learner.scheduler.load_state_dict(state["scheduler"])
    learner.batches.load_state_dict(state["batches"])
    torch.set_rng_state(state["random"])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("Train the recommender, with a checkpoint file for each epoch.")
    parser.add_argument("checkpoints", type=Path, help="folder for ckpt-0001.pt and so on")
    usual = Path(os.environ.get("SM_MODEL_DIR", ".")) / "model.pt"
    parser.add_argument("--out", type=Path, default=usual, help="model file")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    chosen = _options(arguments)
    be_deterministic(chosen.threads)
    try:
        task = options.task(chosen)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    learner = train(task, chosen.checkpoints)
    write_atomically(chosen.out, model_bytes(learner.model, task))
    metrics = evaluate(lambda *users: learner.model.score_all(*users).numpy(), task.split, task.users, task.items)
    print(json.dumps(metrics))
    return 0


if __name__ == "__main__":
    sys.exit(main())
