"""A real writer process copies tables ahead out of a training that goes on, and what it commits is exact."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nightspot.checkpoint import Session, manifest
from nightspot.checkpoint.ahead import base, writing
from nightspot.checkpoint.cost import SaveCost
from nightspot.checkpoint.manifest import INDEX, read, verify
from nightspot.checkpoint.order import Order
from nightspot.checkpoint.pieces import Part
from tests.checkpoint.ahead_training import Optimizers, Training, bits, frozen, same, sparse_adam, two
from tests.checkpoint.helpers import HEAD, flip_a_bit

PATIENCE_S = 120.0
USERS = 20_000


@pytest.fixture(autouse=True)
def _small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "LEAST_UNIT_BYTES", 1 << 16)


@pytest.fixture
def request_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A save is asked for by touching it."""
    monkeypatch.setenv("NIGHTSPOT_SAVE_REQUEST", str(tmp_path / "request"))
    return tmp_path / "request"


def training_of(optimizers: Optimizers = sparse_adam) -> Training:
    return Training(optimizers, users=USERS)


def session_of(training: Training, folder: Path, **options: Any) -> Session:
    return Session(training.states, folder=folder, interval_s=1e6, **({"copy_ahead": True} | options))


def save(
    training: Training, session: Session, folder: Path, asked: Path, step: Callable[[], None]
) -> dict[str, torch.Tensor]:
    """Train until a save is there; the state at the boundary at which it was taken."""
    before, taken = set(manifest.names(folder)), dict[str, torch.Tensor]()
    asked.write_text(str(time.monotonic_ns()))
    asked.unlink()
    asked.touch()
    saver = session._saver
    assert saver is not None
    begin = saver.begin

    def watched(units_done: float) -> None:
        taken.update(frozen(training.tensors()))
        begin(units_done)

    saver.begin = watched  # type: ignore[method-assign]
    until_s = time.monotonic() + PATIENCE_S
    while not set(manifest.names(folder)) - before:
        assert time.monotonic() < until_s
        step()
        session.step(float(training.loop["step"]))
    saver.begin = begin  # type: ignore[method-assign]
    return taken


def copied_ahead(folder: Path) -> bool:
    newest = verify(folder / manifest.names(folder)[0])
    return any(file.name.startswith("base-") for file in newest.files)


def loaded(folder: Path, beside: Path, make: Callable[[], Training]) -> dict[str, torch.Tensor]:
    """What the newest checkpoint gives back. The folder belongs to the training: a copy is loaded."""
    newest = folder / manifest.names(folder)[0]
    shutil.copytree(newest, beside / newest.name)
    fresh = make()
    with Session(fresh.states, folder=beside, interval_s=1e6) as session:
        assert session.restore() is not None
    return fresh.tensors()


def test_what_steps_beside_the_copying_cost_is_measured_from_its_very_beginning(
    tmp_path: Path, request_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    for name in ("ahead", "snapshot", "saved"):
        monkeypatch.setattr(SaveCost, name, lambda *_, kind=name: heard.append(kind))
    folder, training = tmp_path / "checkpoints", training_of()
    with session_of(training, folder) as session:
        session.restore()
        training.step()
        save(training, session, folder, request_file, training.step)
    assert heard == ["ahead", "snapshot", "saved"]


@pytest.mark.parametrize("optimizers", [sparse_adam, two])
def test_saves_made_while_training_goes_on_come_back_to_the_bit(
    optimizers: Optimizers, tmp_path: Path, request_file: Path
) -> None:
    def make() -> Training:
        return training_of(optimizers)

    folder, training = tmp_path / "checkpoints", make()
    with session_of(training, folder) as session:
        session.restore()
        training.step()
        for number in range(2):
            taken = save(training, session, folder, request_file, training.step)
            assert copied_ahead(folder)
            assert same(taken, loaded(folder, tmp_path / f"copy-{number}", make))
    index = json.loads((folder / manifest.names(folder)[0] / INDEX).read_bytes())["tensors"]
    rows = [entry["shape"][0] for key, entry in index.items() if key.startswith("!patch/rows/")]
    assert 0 < sum(rows) < USERS / 2


def test_steps_in_another_thread_are_followed_too(tmp_path: Path, request_file: Path) -> None:
    def step() -> None:
        thread = threading.Thread(target=training.step)
        thread.start()
        thread.join()

    folder, training = tmp_path / "checkpoints", training_of()
    with session_of(training, folder) as session:
        session.restore()
        training.step()
        taken = save(training, session, folder, request_file, step)
    assert copied_ahead(folder)
    assert same(taken, loaded(folder, tmp_path / "copy", training_of))


def test_a_breach_while_tables_are_copied_makes_the_save_an_ordinary_one_with_a_warning(
    tmp_path: Path, request_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def step() -> None:
        training.step()
        training.model.items.weight.data.mul_(0.999)

    folder, training = tmp_path / "checkpoints", training_of()
    with session_of(training, folder) as session:
        session.restore()
        training.step()
        taken = save(training, session, folder, request_file, step)
        assert not copied_ahead(folder)
        assert same(taken, loaded(folder, tmp_path / "copy", training_of))
        assert "no longer copied ahead: model/items.weight: rows of" in capsys.readouterr().err
        save(training, session, folder, request_file, training.step)
        assert not copied_ahead(folder)
    assert not manifest.unfinished(folder), "the base is gone"


def test_a_notice_before_the_base_is_complete_saves_everything_at_once(tmp_path: Path, request_file: Path) -> None:
    folder, training = tmp_path / "checkpoints", training_of()
    with pytest.raises(SystemExit) as left, session_of(training, folder) as session:
        session.restore()
        training.step()
        session.step(1.0)
        request_file.touch()
        time.sleep(0.11)
        session.step(1.0)  # the base is begun
        assert session._ahead is not None and not session._ahead.idle
        os.kill(os.getpid(), signal.SIGTERM)
        session.step(1.0)
    assert left.value.code == 75
    assert same(frozen(training.tensors()), loaded(folder, tmp_path / "copy", training_of))
    assert not manifest.unfinished(folder)


def test_a_table_that_does_not_fit_ends_the_start_with_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = Training(lambda t: {"sparse": torch.optim.Adam(t.tables())})
    with pytest.raises(SystemExit) as left, session_of(training, tmp_path) as session:
        session.restore()
    assert left.value.code == 78
    assert "model/users.weight: Adam is not known" in capsys.readouterr().err


def test_without_a_writer_process_everything_is_copied_at_once(tmp_path: Path) -> None:
    training = training_of()
    with Session(training.states, folder=tmp_path, interval_s=0, background=False, copy_ahead=True) as session:
        session.restore()
        training.step()
        session.step(1.0)
    assert not copied_ahead(tmp_path)


def test_a_flipped_bit_in_base_or_patch_is_noticed(tmp_path: Path, request_file: Path) -> None:
    folder, training = tmp_path / "checkpoints", training_of()
    with session_of(training, folder) as session:
        session.restore()
        training.step()
        save(training, session, folder, request_file, training.step)
    newest = folder / manifest.names(folder)[0]
    for number, file in enumerate(read(newest).files):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(newest, copy / newest.name)
        flip_a_bit(copy / newest.name / file.name, file.size_bytes // 2)
        with Session(training_of().states, folder=copy, interval_s=1e6) as session:
            assert session.restore() is None


TRAINER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from nightspot.checkpoint import Session
from nightspot.checkpoint.ahead import base
from tests.checkpoint.ahead_training import Training, bits
import hashlib
base.LEAST_UNIT_BYTES = 1 << 20
training = Training(users=200_000)
with Session(training.states, folder=sys.argv[2], interval="5 steps", copy_ahead=True) as session:
    session.restore()
    print(training.loop["step"], flush=True)
    last = training.loop["step"] + int(sys.argv[3])
    while training.loop["step"] < last:
        training.step()
        time.sleep(0.002)
        session.step(float(training.loop["step"]))
print(hashlib.sha256(b"".join(bits(one) for one in training.tensors().values())).hexdigest(), flush=True)
"""


def trainer(folder: Path, steps: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", TRAINER, str(Path(__file__).parents[2]), str(folder), str(steps)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_killed_at_any_moment_it_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    """Killed as the folder gets on: in the first base of all, then in the commit of a later save. Then it trains to the end."""
    folder = tmp_path / "checkpoints"
    kills: list[Callable[[], bool]] = [
        lambda: len(list(folder.glob("*.tmp-*/base-*"))) > 5,
        lambda: bool(manifest.names(folder)) and any(folder.glob("*.tmp-*/data-*")),
    ]
    resumed = []
    for moment in kills:
        with trainer(folder, 10**9) as running:
            try:
                assert running.stdout is not None
                resumed.append(int(running.stdout.readline()))
                until_s = time.monotonic() + PATIENCE_S
                while not moment():
                    assert time.monotonic() < until_s and running.poll() is None
                    time.sleep(0.003)
            finally:
                running.kill()
    with trainer(folder, 30) as running:
        told, _ = running.communicate()
    first, digest = told.split()
    assert resumed == [0, 0]
    assert int(first) > 0
    assert digest == uninterrupted(int(first) + 30)


def uninterrupted(steps: int) -> str:
    training = Training(users=200_000)
    for _ in range(steps):
        training.step()
    return hashlib.sha256(b"".join(bits(one) for one in training.tensors().values())).hexdigest()


def order(folder: Path, *, base: bool) -> Order:
    return Order("step-000000001", "t", str(folder), str(folder), HEAD, (), Part("", 0, 0), keep=2, base=base)


def test_a_base_for_another_save_is_dropped_and_one_that_is_gone_is_an_error(tmp_path: Path) -> None:
    told: list[dict[str, object]] = []
    bases = writing.Bases(lambda **message: told.append(message), lambda: False)
    assert bases.hear({"do": "save"}, None) is False
    with pytest.raises(OSError, match="copied ahead for this save are gone"):
        bases.take(order(tmp_path, base=True))
    assert bases.take(order(tmp_path, base=False)) is None
