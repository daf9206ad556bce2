"""Kills a real training process again and again, and checks that nothing durable is ever lost.

Half of the kills take the trainer alone, whose writer process then finishes what it has in hand; the others take both,
as the end of the machine does. Most are aimed at the moment a checkpoint is being written: they come as soon as its
unfinished folder shows. A kill counts as inside a save only if that folder is still there afterwards. The seed is
printed. Exit status 0 if every restart recovered, none fell behind the last durable checkpoint, and all results equal
that of an undisturbed run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[1] / "src"
if str(SOURCE) not in sys.path:
    sys.path.insert(0, str(SOURCE))

from nightspot.checkpoint import Session, manifest  # noqa: E402

STEPS = 240
STEP_S = 0.001
INTERVAL_S = 0.01
BALLAST_BYTES = 400_000  # so that a save takes long enough to be hit
AIMED_SHARE = 0.6
WITH_WRITER_SHARE = 0.5
PATIENCE_S = 60.0


def train(folder: Path) -> None:
    """Plain states and draws from the global random state: starts within a tenth of a second."""
    random.seed(20)
    loop: dict[str, Any] = {"step": 0, "chain": "", "ballast": random.randbytes(BALLAST_BYTES)}
    with Session({"loop": loop}, folder=folder, interval_s=INTERVAL_S) as session:
        session.restore()
        while loop["step"] < STEPS:
            loop["chain"] = hashlib.sha256(f"{loop['chain']}{random.random()}".encode()).hexdigest()
            loop["step"] += 1
            time.sleep(STEP_S)
            session.step(units_done=loop["step"])
        (folder / "digest").write_text(loop["chain"] + hashlib.sha256(loop["ballast"]).hexdigest())
        session.done(units_done=loop["step"])


def train_torch(folder: Path) -> None:
    """A network with dropout and Adam on shuffled data."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from nightspot.checkpoint import ResumableSampler

    torch.set_num_threads(1)
    torch.manual_seed(20)
    data = TensorDataset(torch.randn(480, 32), torch.randn(480, 1))
    model = torch.nn.Sequential(torch.nn.Linear(32, 256), torch.nn.Dropout(), torch.nn.Linear(256, 1))
    optimizer = torch.optim.Adam(model.parameters())
    batches = ResumableSampler(len(data), batch_size=8, seed=20)
    loader = DataLoader(data, batch_sampler=batches)
    states = {"model": model, "optimizer": optimizer, "batches": batches}
    with Session(states, folder=folder, interval_s=INTERVAL_S) as session:
        session.restore()
        while batches.epoch * len(batches) < STEPS:
            for inputs, targets in batches.batches(loader):
                optimizer.zero_grad()
                torch.autograd.backward(torch.nn.functional.mse_loss(model(inputs), targets))
                optimizer.step()
                session.step(units_done=batches.epoch * len(batches) + batches.batch)
        weights = b"".join(bytes(value.numpy().tobytes()) for value in model.state_dict().values())
        (folder / "digest").write_text(hashlib.sha256(weights).hexdigest())
        session.done(units_done=STEPS)


@dataclass(slots=True)
class Training:
    """One folder, trained to its end by as many processes as it takes."""

    folder: Path
    with_torch: bool

    def start(self) -> subprocess.Popen[bytes]:
        self.folder.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTSPOT_")}
        environment = kept | {"NIGHTSPOT_PROGRESS": str(self.folder / "progress.jsonl")}
        command = [sys.executable, __file__, "--train", str(self.folder)]
        return subprocess.Popen(command + ["--torch"] * self.with_torch, env=environment, start_new_session=True)

    def lines(self) -> list[dict[str, Any]]:
        """Whole lines of progress."""
        path = self.folder / "progress.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def being_saved(self) -> set[str]:
        """Unfinished folders of new checkpoints; those of dropped ones have lower numbers."""
        newest = max(map(manifest.number, manifest.names(self.folder)), default=0)
        return {name for name in manifest.unfinished(self.folder) if manifest.number(name) > newest}

    def digest(self) -> str:
        return (self.folder / "digest").read_text()


@dataclass(slots=True)
class Tally:
    """What came of the kills."""

    kills: int = 0
    inside_save: int = 0
    unrecoverable: int = 0
    trainings: int = 0
    digests: set[str] = field(default_factory=set)

    def summary(self) -> str:
        equal = len(self.digests) == 1
        return (
            f"kills={self.kills} inside_save={self.inside_save} unrecoverable={self.unrecoverable} "
            f"trainings={self.trainings} digest_equal={equal}"
        )

    def good(self) -> bool:
        return self.unrecoverable == 0 and len(self.digests) == 1 and self.inside_save > 0


def fell_behind(lines: Sequence[dict[str, Any]]) -> bool:
    """A process went on from before the last checkpoint that had been reported durable."""
    durable = 0.0
    for line in lines:
        if line["kind"] == "checkpoint":
            durable = line["units_done"]
        if line["kind"] == "training" and line["units_done"] < durable:
            return True
    return False


def strike(training: Training, process: subprocess.Popen[bytes], chance: random.Random) -> None:
    """Kill at a random time, or as soon as a save shows; or let it finish if it is faster than that."""
    aimed, patience_s = chance.random() < AIMED_SHARE, chance.uniform(0.05, 0.6)
    seen = training.being_saved()
    enough = len(seen) + chance.randrange(1, 5)
    end_s = time.monotonic() + (PATIENCE_S if aimed else patience_s)
    while process.poll() is None and time.monotonic() < end_s and not (aimed and len(seen) >= enough):
        seen |= training.being_saved() if aimed else set()
        time.sleep(0 if aimed else 0.005)
    kill(process, with_writer=chance.random() < WITH_WRITER_SHARE)


def kill(process: subprocess.Popen[bytes], *, with_writer: bool) -> None:
    """The trainer alone, or all of its group. One that has ended by itself is no more there to be killed."""
    if with_writer:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def run_to_end(training: Training, tally: Tally, most_kills: int, chance: random.Random) -> bool:
    """Kill and start again until the training ends; False if it cannot."""
    while True:
        left_before = training.being_saved()
        process = training.start()
        if tally.kills < most_kills:
            strike(training, process, chance)
        status = process.wait(timeout=PATIENCE_S)
        if status == 0:
            return not fell_behind(training.lines())
        if status != -9:
            return False
        tally.kills += 1
        tally.inside_save += bool(training.being_saved() - left_before)


def run(kills: int, seed: int, folder: Path, *, with_torch: bool) -> Tally:
    """Trainings one after the other, until there were enough kills; the first one is left alone."""
    chance, tally = random.Random(seed), Tally()
    while tally.trainings == 0 or tally.kills < kills:
        training = Training(folder / f"training-{tally.trainings}", with_torch)
        if run_to_end(training, tally, kills if tally.trainings else 0, chance):
            tally.digests.add(training.digest())
        else:
            tally.unrecoverable += 1
            print(f"not recovered: {training.folder}", file=sys.stderr)
        tally.trainings += 1
        if tally.unrecoverable > kills:
            break
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, printed")
    parser.add_argument("--torch", action="store_true", help="train a network; slower to start")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.train:
        (train_torch if chosen.torch else train)(chosen.train)
        return 0
    seed = random.SystemRandom().randrange(10**6) if chosen.seed is None else chosen.seed
    with tempfile.TemporaryDirectory() as folder:
        tally = run(chosen.kills, seed, Path(folder), with_torch=chosen.torch)
    print(f"{tally.summary()} seed={seed}")
    return 0 if tally.good() else 1


if __name__ == "__main__":
    sys.exit(main())
