"""What training leaves behind: the model, its metrics, and the loss log, each exact to the byte."""

import io
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, TypedDict

import torch

from model import MatrixFactorisation
from options import Task


def model_bytes(model: MatrixFactorisation, task: Task) -> bytes:
    """The artefact, for torch.load(weights_only=True): weights, raw ids in row order, hyperparameters.

    Equal input gives equal bytes: saved to memory, since torch.save writes the name of a file into it, and
    with nothing inside that differs between two runs of a job: no date, no path, no number of interruptions.
    """
    content = {
        "state_dict": {name: value.clone() for name, value in model.state_dict().items()},
        "user_ids": torch.from_numpy(task.data.user_ids),
        "item_ids": torch.from_numpy(task.data.item_ids),
        "hyperparameters": asdict(task.chosen),
        "data_sha256": task.data.sha256,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def write_atomically(path: Path, content: bytes) -> None:
    """All of `content` is at `path`, durable, or `path` is untouched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, content: object) -> None:
    """One JSON object, readable and atomic."""
    write_atomically(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())


class LossLogState(TypedDict):
    """How much of the log belongs to a checkpoint."""

    size_bytes: int


class LossLog:
    """One JSON line a step. Its length is part of the checkpoint: a resumed run cuts off what came after it.

    Call `open` once what there is has been restored; `line` before it is an error.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size_bytes = 0
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Cut to the restored length: to nothing, for a run that begins."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("ab")
        if file.tell() < self._size_bytes:
            message = f"{self.path}: expected {self._size_bytes} bytes from before the resume, found {file.tell()}"
            print(f"warning: {message}; the log has a gap", file=sys.stderr)
            self._size_bytes = file.tell()
        file.truncate(self._size_bytes)
        self._file = file

    def line(self, **values: float) -> None:
        """Append one object."""
        if self._file is None:
            raise RuntimeError("LossLog.line: expected open() first")
        self._size_bytes += self._file.write((json.dumps(values) + "\n").encode())

    def close(self) -> None:
        """Write out what is buffered; more than once does no harm."""
        if self._file is not None:
            self._file.close()

    def state_dict(self) -> LossLogState:
        """The length; by then the lines are durable, so that no checkpoint is ahead of its log."""
        if self._file is not None and not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
        return {"size_bytes": self._size_bytes}

    def load_state_dict(self, state: LossLogState) -> None:
        """Remember where to go on."""
        self._size_bytes = state["size_bytes"]
