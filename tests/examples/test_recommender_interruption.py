"""Real processes, really taken away: the model and the loss log come out as if nothing had happened."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

SOURCE = Path(__file__).parents[2] / "src"
# 600 steps an epoch: an interruption that happens to hit the boundary of an epoch would prove little.
SMALL = [
    "--users=80",
    "--items=150",
    "--interactions=6000",
    "--data-seed=1",
    "--epochs=6",
    "--dim=16",
    "--batch-size=8",
    "--negatives=4",
]
PATIENCE_S = 60
START_AGAIN = 75


@dataclass(frozen=True)
class Night:
    """A folder for one night of training, and the processes in it."""

    script: Path
    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "model.pt"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.model.read_bytes()).hexdigest()

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        (self.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NIGHTSPOT_", "SM_"))}
        environment = kept | {
            "PYTHONPATH": str(SOURCE),
            "NIGHTSPOT_CHECKPOINT_DIR": str(self.folder / "checkpoints"),
            "NIGHTSPOT_CHECKPOINT_INTERVAL_S": "0.2",
            "NIGHTSPOT_ARTIFACT": str(self.model),
            "NIGHTSPOT_PROGRESS": str(self.folder / "progress.jsonl"),
        }
        command = [sys.executable, str(self.script), *SMALL, *arguments]
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def lines(self, kind: str) -> list[dict[str, float]]:
        """Whole lines of one kind that the process reported."""
        path = self.folder / "progress.jsonl"
        text = path.read_text() if path.exists() else ""
        parsed = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in parsed if line["kind"] == kind]


def wait_until(met: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not met():
        assert process.poll() is None, "the process ended before it could be interrupted"
        assert time.monotonic() < deadline_s, "the process does not get on"
        time.sleep(0.005)


def finish(process: "subprocess.Popen[str]") -> str:
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    return output


@pytest.fixture(scope="module")
def undisturbed(recommender: Path, tmp_path_factory: pytest.TempPathFactory) -> Night:
    night = Night(recommender / "train.py", tmp_path_factory.mktemp("undisturbed"))
    finish(night.start())
    return night


@pytest.fixture
def night(recommender: Path, tmp_path: Path) -> Night:
    return Night(recommender / "train.py", tmp_path)


def interrupt(night: Night, after: float, with_signal: signal.Signals) -> int:
    """Start, wait until a checkpoint is past `after` epochs, take away; returns the exit code."""
    process = night.start()
    wait_until(lambda: any(line["units_done"] > after for line in night.lines("checkpoint")), process)
    process.send_signal(with_signal)
    process.communicate(timeout=PATIENCE_S)
    return process.returncode


def test_an_interrupted_night_ends_with_the_same_model(night: Night, undisturbed: Night) -> None:
    assert interrupt(night, after=0.5, with_signal=signal.SIGTERM) == START_AGAIN
    assert interrupt(night, after=1.5, with_signal=signal.SIGKILL) == -signal.SIGKILL
    finish(night.start())
    assert night.digest == undisturbed.digest
    assert log_of(night) == log_of(undisturbed)
    resumed_at = [line["units_done"] for line in night.lines("training")]
    assert len(resumed_at) == 3
    assert any(at % 1 for at in resumed_at), f"resumed at {resumed_at}: expected the middle of an epoch"


def test_every_step_is_in_the_log_once(undisturbed: Night) -> None:
    logged = [json.loads(line) for line in log_of(undisturbed).splitlines()]
    assert [line["step"] for line in logged] == list(range(1, 3601))
    assert logged[-1]["epoch"] == 6


def test_the_end_tells_metrics_and_lineage(undisturbed: Night) -> None:
    done = undisturbed.lines("done")[-1]
    metrics = json.loads((undisturbed.folder / "model.metrics.json").read_text())
    assert done["metrics"] == metrics
    assert metrics["recall_at_10"] > 0
    assert set(done["facts"]) == {"data_sha256", "seed", "hyperparameters"}  # type: ignore[call-overload]


def log_of(night: Night) -> str:
    return (night.folder / "model.loss.jsonl").read_text()


def test_a_checkpoint_of_another_job_is_refused(night: Night) -> None:
    interrupt(night, after=0, with_signal=signal.SIGTERM)
    process = night.start("--lr=0.02")
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 78
    assert "the checkpoint was made for" in errors
    assert not night.model.exists()


def test_the_unmodified_script_resumes_from_its_newest_file(
    recommender: Path, tmp_path: Path, undisturbed: Night
) -> None:
    night = Night(recommender / "unmodified.py", tmp_path)
    files = tmp_path / "files"
    process = night.start(str(files), f"--out={night.model}")
    wait_until((files / "ckpt-0002.pt").exists, process)
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    quarantine_torn(files)
    output = finish(night.start(str(files), f"--out={night.model}"))
    epochs = [json.loads(line).get("epoch") for line in output.splitlines()]
    assert 1 not in epochs, "started all over"
    assert sorted(path.name for path in files.glob("*.pt")) == [f"ckpt-{n:04d}.pt" for n in range(1, 7)]
    assert night.digest == undisturbed.digest, "the same training, whoever saves it"


def quarantine_torn(folder: Path) -> None:
    """What nightspot does before it starts an unmodified script."""
    for path in folder.glob("*.pt"):
        try:
            torch.load(path, weights_only=True)
        except (RuntimeError, OSError, EOFError):
            path.unlink()


def test_measuring_prints_one_object_of_seconds(recommender: Path, tmp_path: Path) -> None:
    night = Night(recommender / "measure.py", tmp_path)
    measured = json.loads(finish(night.start()))
    assert set(measured) == {"startup_s", "epoch_s", "save_s"}
    assert all(0 < value < 60 for value in measured.values())


def test_data_that_cannot_be_read_ends_at_once_and_for_good(night: Night) -> None:
    process = night.start("--data=absent.csv")
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 78
    assert errors == "error: absent.csv: expected a file, found none\n"
