"""An interrupted training and an undisturbed one end with the same bits, in all that they hold."""

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from nightspot.checkpoint import ConfigError, ResumableSampler, Session, random_state
from tests.checkpoint.torch_training import EPOCHS, Training, train

ROOT = Path(__file__).parents[2]
BATCHES = 6


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return train(Training(), tmp_path_factory.mktemp("undisturbed"), {})


class Taken(BaseException):
    """Stands for SIGKILL within one process: nothing runs after it."""


def train_until(folder: Path, last_step: int, interval_s: float = 0) -> None:
    """Until right after the checkpoint of a step."""
    training = Training()
    step = training.step

    def limited(inputs: torch.Tensor, targets: torch.Tensor) -> None:
        if training.loop["step"] == last_step:
            raise Taken
        step(inputs, targets)

    training.step = limited  # type: ignore[method-assign]
    with pytest.raises(Taken):
        train(training, folder, {}, interval_s)


@pytest.mark.parametrize("background", ["0", "1"])
@pytest.mark.parametrize("last_step", [1, 4, 6, 7, 11, 17])
def test_a_resume_after_any_step_is_bit_identical(
    tmp_path: Path, undisturbed: str, last_step: int, background: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTSPOT_CHECKPOINT_BACKGROUND", background)
    train_until(tmp_path, last_step)
    assert train(Training(), tmp_path, {}) == undisturbed


def test_saves_while_training_goes_on_hold_the_state_of_their_step_and_of_no_later_one(
    tmp_path: Path, undisturbed: str
) -> None:
    """As fast as the writer can, and never waited for."""
    for last_step in (5, 12, 16):
        train_until(tmp_path, last_step, interval_s=1e-6)
    assert train(Training(), tmp_path, {}, interval_s=1e-6) == undisturbed


def test_many_resumes_are_as_good_as_one(tmp_path: Path, undisturbed: str) -> None:
    for last_step in range(2, EPOCHS * BATCHES, 3):
        train_until(tmp_path, last_step)
    assert train(Training(), tmp_path, {}) == undisturbed


@pytest.mark.parametrize("left_out", ["model", "optimizer", "scheduler", "sampler", "own", "loop"])
def test_the_digest_would_show_a_state_left_out(tmp_path: Path, undisturbed: str, left_out: str) -> None:
    states = Training.states

    def without(training: Training) -> dict[str, object]:
        return {name: value for name, value in states(training).items() if name != left_out}

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Training, "states", without)
        train_until(tmp_path, 4)
        with contextlib.suppress(ValueError):  # a scheduler asked for more steps than it was made for
            assert train(Training(), tmp_path, {}) != undisturbed


def test_the_digest_would_show_random_states_left_out(
    tmp_path: Path, undisturbed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_until(tmp_path, 4)
    monkeypatch.setattr(random_state, "restore", lambda _saved: [])
    assert train(Training(), tmp_path, {}) != undisturbed


def process(folder: Path, workers: int = 0, end: str = "") -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    script = Path(__file__).with_name("torch_training.py")
    command = [sys.executable, str(script), str(folder), str(workers), end]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, start_new_session=True)


def test_real_processes_with_sigterm_and_sigkill_end_with_the_same_bits(tmp_path: Path, undisturbed: str) -> None:
    assert process(tmp_path, end="TERM@4").returncode == 75
    assert process(tmp_path, end="KILL@9").returncode == -9
    last = process(tmp_path)
    assert (last.returncode, last.stdout.strip()) == (0, undisturbed), last.stderr


def test_sigterm_to_the_group_does_not_take_the_loaders_workers(tmp_path: Path, undisturbed: str) -> None:
    interrupted = process(tmp_path, workers=2, end="TERM@8")
    assert interrupted.returncode == 75, interrupted.stderr
    last = process(tmp_path, workers=2)
    assert (last.returncode, last.stdout.strip()) == (0, undisturbed), last.stderr


def order(sampler: ResumableSampler) -> list[list[int]]:
    return list(sampler)


def test_the_order_is_a_pure_function_of_seed_and_epoch() -> None:
    one, same, other = (ResumableSampler(50, 8, seed=seed) for seed in (1, 1, 2))
    torch.manual_seed(3)
    first = order(one)
    assert first == order(same) != order(other)
    assert sorted(index for batch in first for index in batch) == list(range(50))
    one.epoch = 1
    assert order(one) != first


def test_a_sampler_in_order_and_without_the_rest() -> None:
    sampler = ResumableSampler(5, 2, shuffle=False, drop_last=True)
    assert order(sampler) == [[0, 1], [2, 3]]
    assert len(sampler) == 2
    assert len(ResumableSampler(5, 2)) == 3


def test_the_position_is_what_the_loop_has_had_not_what_workers_fetched() -> None:
    sampler = ResumableSampler(40, 4, shuffle=False)
    loader = DataLoader(TensorDataset(torch.arange(40)), batch_sampler=sampler, num_workers=1, prefetch_factor=5)
    batches = sampler.batches(loader)
    next(batches)
    next(batches)
    assert (sampler.epoch, sampler.batch) == (0, 2)
    resumed = ResumableSampler(40, 4, shuffle=False)
    resumed.load_state_dict(sampler.state_dict())
    assert order(resumed)[0] == [8, 9, 10, 11]


def test_starting_a_loader_draws_nothing_from_the_global_random_state() -> None:
    sampler = ResumableSampler(8, 4)
    before = torch.get_rng_state()
    list(sampler.batches(DataLoader(TensorDataset(torch.arange(8)), batch_sampler=sampler)))
    assert torch.equal(before, torch.get_rng_state())
    assert (sampler.epoch, sampler.batch) == (1, 0)


@pytest.mark.parametrize("change", [{"size": 9}, {"batch_size": 3}, {"seed": 1}, {"shuffle": False}])
def test_a_position_in_another_order_is_refused(change: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"size": 8, "batch_size": 2}
    with pytest.raises(ConfigError, match=next(iter(change))):
        ResumableSampler(**(usual | change)).load_state_dict(ResumableSampler(**usual).state_dict())


def epoch_with_a_plain_loader(folder: Path, until: int, again: Callable[[Session], None]) -> list[float]:
    """A loader that draws from the global random state when it starts, as most do."""
    torch.manual_seed(1)
    loop: dict[str, Any] = {"step": 0, "drawn": []}
    loader = DataLoader(TensorDataset(torch.arange(6)))
    with Session({"loop": loop}, folder=folder, interval_s=0) as session:
        session.restore()
        batches = iter(loader)
        again(session)
        for _ in list(batches)[loop["step"] : until]:
            loop["drawn"].append(torch.rand(1).item())
            loop["step"] += 1
            session.step(units_done=loop["step"])
    drawn: list[float] = loop["drawn"]
    return drawn


def test_random_states_set_after_the_loader_started_make_a_plain_loader_exact(tmp_path: Path) -> None:
    expected = epoch_with_a_plain_loader(tmp_path / "a", 6, Session.restore_random)
    epoch_with_a_plain_loader(tmp_path / "b", 3, Session.restore_random)
    epoch_with_a_plain_loader(tmp_path / "c", 3, Session.restore_random)
    assert epoch_with_a_plain_loader(tmp_path / "b", 6, Session.restore_random) == expected
    assert epoch_with_a_plain_loader(tmp_path / "c", 6, lambda _: None) != expected, "or this proves nothing"


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (lambda: random.Random(1), lambda it: it.gauss(0, 1)),
        (lambda: np.random.default_rng(1), lambda it: it.normal()),
        (lambda: np.random.Generator(np.random.MT19937(1)), lambda it: it.normal()),
        (lambda: np.random.RandomState(1), lambda it: it.normal()),
        (lambda: torch.Generator().manual_seed(1), lambda it: torch.rand(1, generator=it).item()),
    ],
)
def test_a_generator_as_a_state_goes_on_where_it_was(
    tmp_path: Path, make: Callable[[], Any], draw: Callable[[Any], float]
) -> None:
    one = make()
    with Session({"own": one}, folder=tmp_path, interval_s=0) as session:
        session.restore()
        draw(one)  # a normal deviate is drawn in pairs: the spare one is state too
        session.step(1)
    again = make()
    with Session({"own": again}, folder=tmp_path) as session:
        session.restore()
    assert [draw(again) for _ in range(5)] == [draw(one) for _ in range(5)]
