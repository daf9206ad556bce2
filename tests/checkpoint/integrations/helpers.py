"""Comparing trainings bit for bit, and lives in processes."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tests.checkpoint.integrations.lives import digest

ROOT = Path(__file__).parents[3]
Ended = tuple[Mapping[int, float], Mapping[str, torch.Tensor]]


def same(found: Ended, expected: Ended) -> bool:
    """Every loss from the resume on, and every weight."""
    losses, weights = found
    return all(loss == expected[0].get(index) for index, loss in losses.items()) and (
        weights.keys() == expected[1].keys() and all(torch.equal(weights[name], expected[1][name]) for name in weights)
    )


def once_before(batch: int, since: int) -> dict[str, Any]:
    """For a life that begins with batch `since` and is killed in `batch`: one checkpoint, right before it; none costs less."""
    return {"interval": f"{max(1, batch - since)} steps"}


class Lives:
    """What lives.py played: exit codes, and what the last life came to."""

    def __init__(self, framework: str, folder: Path, *ends: str) -> None:
        environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
        command = [sys.executable, str(Path(__file__).with_name("lives.py")), framework, str(folder), *ends]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
        said: list[dict[str, Any]] = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{"')]
        self.codes = [line["code"] for line in said if "code" in line]
        self._last = next((line for line in reversed(said) if "digest" in line), None)
        self.errors = ran.stderr

    def same(self, expected: Ended) -> bool:
        """The last life ended with these bits, and had these losses on the way."""
        if self._last is None:
            return False
        losses = {int(index): loss for index, loss in self._last["losses"].items()}
        return self._last["digest"] == digest(expected[1]) and all(
            loss == expected[0][at] for at, loss in losses.items()
        )
