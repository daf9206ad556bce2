"""The promise of the whole house: an interrupted night and an uninterrupted one leave the same model, byte for byte."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "recommender"
NIGHTSPOT = [sys.executable, "-c", "from nightspot.cli.app import main; main()"]

# A fifth of the data: thirty epochs of a third of a second, in a window of 160 real seconds. A slow machine needs no more.
JOB = """
name = "recommender"
command = "{{python}} train.py --users 300 --items 500 --interactions 20000 --epochs 30"
directory = "{example}"
artifact = {{ path = "{{run_folder}}/model.pt", publish = "{folder}/published.pt" }}
policy = "greedy"
time_scale = 360
[work]
units = 30
unit = "epoch"
each = "4min"
[deadline]
start = "20:00"
at = "12:00"
[checkpoint]
interval = "1min"
[[pools]]
id = "notice"
market = "spot"
price = 1.0
capacity = {capacity}
notice = "10min"
[[pools]]
id = "on-demand"
market = "on-demand"
price = 3.0
[training]
code = ["*.py"]
"""


def night(folder: Path, capacity: str) -> dict[str, Any]:
    """Play it and give back the object that `run --json` prints last."""
    folder.mkdir()
    (folder / "job.toml").write_text(JOB.format(example=EXAMPLE, folder=folder, capacity=capacity))
    words = [*NIGHTSPOT, "--home", str(folder / "home"), "run", str(folder / "job.toml"), "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTSPOT_")}
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def interrupting(folder: Path) -> str:
    """Capacity that goes away in mid-training, again and again."""
    ticks = ([1] * 7 + [0]) * 20  # a tick is a second here; a start takes two or three
    path = folder / "capacity.json"
    path.write_text(json.dumps({"metadata": {"gap_seconds": 360}, "data": ticks}))
    return f'{{ trace = "{path}" }}'


@pytest.mark.slow
def test_an_interrupted_night_and_an_uninterrupted_one_leave_the_same_bytes(tmp_path: Path) -> None:
    undisturbed = night(tmp_path / "undisturbed", '"always"')
    interrupted = night(tmp_path / "interrupted", interrupting(tmp_path))
    assert undisturbed["interruptions"] == 0
    assert interrupted["interruptions"] >= 2
    assert interrupted["model_sha256"] == undisturbed["model_sha256"] is not None
    published = [(tmp_path / name / "published.pt").read_bytes() for name in ("undisturbed", "interrupted")]
    assert published[0] == published[1]
