"""Trains the recommender; stopped and started at any moment, it ends with the same model, byte for byte.

Alone: `python train.py`. Under nightspot: the same command, in a job file. `train` shows what it takes.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

import options
from data import DataError
from metrics import Floats, evaluate, popularity
from nightspot.checkpoint import ConfigError, Session
from options import Task
from output import LossLog, model_bytes, write_atomically, write_json
from training import DivergedError, Learner, be_deterministic

EXIT_CONFIG = 78  # tells nightspot that starting again will not help


class Progress(TypedDict):
    """Steps done, and what for."""

    step: int
    identity: str


@dataclass(frozen=True, slots=True)
class Places:
    """Where results go: the metrics and the loss log lie beside the model."""

    model: Path

    @property
    def metrics(self) -> Path:
        """JSON object."""
        return self.model.with_suffix(".metrics.json")

    @property
    def log(self) -> Path:
        """JSON lines."""
        return self.model.with_suffix(".loss.jsonl")


def train(task: Task, places: Places) -> dict[str, float]:
    """Train, resuming where an earlier attempt was taken away; returns the metrics."""
    learner = Learner(task.split.train, task.users, task.items, task.chosen)
    log = LossLog(places.log)
    progress: Progress = {"step": 0, "identity": _identity(task)}
    parts: dict[str, object] = {
        "model": learner.model,
        "optimizer": learner.optimizer,
        "scheduler": learner.scheduler,
        "batches": learner.batches,
        "log": log,
        "progress": progress,
    }
    with Session(parts) as session:
        session.restore()
        _refuse_other(progress, task)
        log.open()
        _learn(learner, log, progress, session, task.chosen.epochs)
        log.close()
        metrics = _score(learner, task)
        write_json(places.metrics, metrics)
        write_atomically(places.model, model_bytes(learner.model, task))
        session.done(units_done=task.chosen.epochs, metrics=metrics, facts=_facts(task))
    return metrics


def _learn(learner: Learner, log: LossLog, progress: Progress, session: Session, epochs: int) -> None:
    """The plain loop, and one call a step that may save, and that ends the process when capacity is taken."""
    while learner.batches.epoch < epochs:
        for positions in learner.batches:
            loss = learner.step(positions)
            progress["step"] += 1
            done = progress["step"] / len(learner.batches)
            log.line(step=progress["step"], epoch=done, loss=loss, lr=learner.optimizer.param_groups[0]["lr"])
            session.step(units_done=done, metrics={"loss": loss})


def _score(learner: Learner, task: Task) -> dict[str, float]:
    """Recall and nDCG of the model, and of recommending what is popular."""

    def score(first: int, end: int) -> Floats:
        return learner.model.score_all(first, end).numpy()

    baseline = evaluate(popularity(task.split, task.items), task.split, task.users, task.items)
    return evaluate(score, task.split, task.users, task.items) | {
        f"popularity_{name}": value for name, value in baseline.items()
    }


def _identity(task: Task) -> str:
    """What a checkpoint was made for: data and hyperparameters."""
    return json.dumps(asdict(task.chosen) | {"data_sha256": task.data.sha256}, sort_keys=True)


def _refuse_other(progress: Progress, task: Task) -> None:
    if progress["identity"] != _identity(task):
        raise ConfigError(
            f"the checkpoint was made for {progress['identity']}: expected {_identity(task)}; "
            "start with an empty checkpoint folder"
        )


def _facts(task: Task) -> dict[str, str]:
    """What the lineage of the model should tell, beside what nightspot knows."""
    chosen = json.dumps(asdict(task.chosen), sort_keys=True)
    return {"data_sha256": task.data.sha256, "seed": str(task.chosen.seed), "hyperparameters": chosen}


def _places(out: str | None) -> Places:
    """--out, or where nightspot expects the model, or where SageMaker does, or here."""
    folder = Path(os.environ.get("SM_MODEL_DIR", "."))
    return Places(Path(out or os.environ.get("NIGHTSPOT_ARTIFACT") or folder / "model.pt"))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = options.parser("Train a recommender (matrix factorisation, BPR) that may be interrupted.")
    parser.add_argument("--out", help="model file; else $NIGHTSPOT_ARTIFACT, $SM_MODEL_DIR/model.pt, model.pt")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    chosen = _options(arguments)
    be_deterministic(chosen.threads)
    try:
        metrics = train(options.task(chosen), _places(chosen.out))
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_CONFIG
    except DivergedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(metrics))
    return 0


if __name__ == "__main__":
    sys.exit(main())
