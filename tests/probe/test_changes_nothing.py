"""The probe rides along: started by Python itself, beside the user's own sitecustomize, and no number is another one for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nightspot.drill import record_probe

# Everything a probe might disturb: the weights, and the next number of each random stream.
SCRIPT = """
import random
import sys

import numpy
import torch
from torch.utils.data import DataLoader, TensorDataset

random.seed(1)
numpy.random.seed(2)
torch.manual_seed(3)
torch.set_num_threads(1)
data = TensorDataset(torch.randn(24, 6), torch.randn(24, 1))
model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Dropout(0.3), torch.nn.Linear(16, 1))
optimizer = torch.optim.Adam(model.parameters())
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
for epoch in range(2):
    for inputs, targets in DataLoader(data, batch_size=8, shuffle=True):
        loss = torch.nn.functional.mse_loss(model(inputs) * random.random() * numpy.random.rand(), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scheduler.step()
    torch.save(model.state_dict(), sys.argv[1])
model.load_state_dict(torch.load(sys.argv[1]))
print([value.tolist() for value in model.state_dict().values()], optimizer.state_dict())
print(random.random(), numpy.random.rand(), torch.rand(1).item(), loss.item())
print(sys.path, model.__call__.__qualname__)
"""


def start(words: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh Python."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NIGHTSPOT_PROBE")}
    words = [sys.executable, *words]
    return subprocess.run(words, cwd=folder, env={**clean, **environment}, capture_output=True, text=True, check=True)


def seen(lines: Path) -> record_probe.Probed:
    return record_probe.parse(lines.read_text() if lines.exists() else "")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, record_probe.Probed]:
    """What the training printed without a probe and with one, and what the probe saw."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "train.py").write_text(SCRIPT)
    words = ["train.py", "weights.pt"]
    alone = start(words, folder).stdout
    probed = start(words, folder, **record_probe.environment(folder / "lines")).stdout
    return alone, probed, seen(folder / "lines")


def test_weights_and_every_random_stream_are_the_same_with_the_probe(
    pair: tuple[str, str, record_probe.Probed],
) -> None:
    alone, probed, lines = pair
    assert probed == alone
    assert len(lines.steps) == 6 and lines.faults == ()


def test_each_step_is_told_in_full(pair: tuple[str, str, record_probe.Probed]) -> None:
    steps = pair[2].steps
    assert [step.index for step in steps] == list(range(6))
    assert all(None not in (one.loss, one.batch, one.before, one.after, one.optimizer, one.random) for one in steps)
    assert [step.after for step in steps[:-1]] == [step.before for step in steps[1:]]
    assert len({step.batch for step in steps}) == len({step.optimizer for step in steps}) == 6
    assert [step.lrs for step in steps] == [(0.001,)] * 3 + [(0.0001,)] * 3
    assert steps[0].random is not None and steps[0].random.split("=")[0] == "python" and "torch=" in steps[0].random


def test_files_states_and_seeds_are_told_with_the_users_line(pair: tuple[str, str, record_probe.Probed]) -> None:
    code = SCRIPT.splitlines()
    touches = [one for one in pair[2].touches if one.where is not None]
    told = {(one.what, code[int((one.where or "").rpartition(":")[2]) - 1].strip()) for one in touches}
    assert told >= {
        ("seed", "random.seed(1)"),
        ("seed", "numpy.random.seed(2)"),
        ("seed", "torch.manual_seed(3)"),
        ("loader", "for inputs, targets in DataLoader(data, batch_size=8, shuffle=True):"),
        ("scheduler", "scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)"),
        ("save", "torch.save(model.state_dict(), sys.argv[1])"),
        ("saved", "torch.save(model.state_dict(), sys.argv[1])"),
        ("load", "model.load_state_dict(torch.load(sys.argv[1]))"),
        ("load_state_dict", "model.load_state_dict(torch.load(sys.argv[1]))"),
    }
    assert [one.at_index for one in touches if one.what == "save"] == [3, 6]
    assert all((one.path or "").endswith("/weights.pt") for one in touches if one.what in ("save", "saved", "load"))


def test_without_the_variable_nothing_is_even_imported(tmp_path: Path) -> None:
    words = ["-c", "import sys; print([name for name in sys.modules if 'nightspot' in name])"]
    assert start(words, tmp_path, PYTHONPATH=str(record_probe.FOLDER)).stdout.strip() == "[]"


def test_the_users_own_sitecustomize_runs_as_ever(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("mine = 'here'\n")
    probe = record_probe.environment(tmp_path / "lines", inherited=str(own))
    words = ["-c", "import sys, sitecustomize; print(sitecustomize.mine, sys.path)"]
    alone = start(words, tmp_path, PYTHONPATH=str(own)).stdout
    assert start(words, tmp_path, **probe).stdout == alone
    assert alone.startswith("here")


def test_a_launcher_that_hands_on_its_path_hands_on_the_probe_where_it_is_to_stay(tmp_path: Path) -> None:
    probe = record_probe.environment(tmp_path / "lines")
    words = ["-c", "import sys; print(sys.path)"]
    assert str(record_probe.FOLDER) not in start(words, tmp_path, **probe).stdout
    assert str(record_probe.FOLDER) in start(words, tmp_path, **probe, NIGHTSPOT_PROBE_STAYS="1").stdout


def test_a_script_without_torch_says_nothing_but_of_files_in_watched_folders(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    script = tmp_path / "train.py"
    script.write_text(
        "import os\nopen('elsewhere', 'w').write('x')\nopen('checkpoints/a.tmp', 'w').write('x')\n"
        "os.replace('checkpoints/a.tmp', 'checkpoints/a')\nprint(open('checkpoints/a').read())\n"
    )
    probe = record_probe.environment(tmp_path / "lines", paths=[folder])
    assert start(["train.py"], tmp_path, **probe).stdout == "x\n"
    lines = seen(tmp_path / "lines")
    assert not lines.torch and lines.steps == ()
    told = [(one.what, Path(one.path or "").name, (one.where or "").rpartition(":")[2]) for one in lines.touches]
    assert told == [("write", "a.tmp", "3"), ("rename", "a", "4"), ("read", "a", "5")]


def test_a_module_that_a_launcher_starts_is_seen_too(tmp_path: Path) -> None:
    """As torchrun does: a Python that starts `python -m package` as a child."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__main__.py").write_text(
        "import torch\nweight = torch.nn.Parameter(torch.ones(2))\noptimizer = torch.optim.SGD([weight], lr=0.5)\n"
        "weight.sum().backward()\noptimizer.step()\nprint(weight.tolist())\n"
    )
    launcher = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-m', 'package']))"
    done = start(["-c", launcher], tmp_path, **record_probe.environment(tmp_path / "lines"))
    assert done.stdout == "[0.5, 0.5]\n"
    assert [step.loss for step in seen(tmp_path / "lines").steps] == ["2.0"]
