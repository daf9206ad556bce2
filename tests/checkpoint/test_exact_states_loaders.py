"""Loaders in the middle of an epoch: what goes on afterwards sees the same batches, with the same augmentation."""

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset
from torchdata.stateful_dataloader import StatefulDataLoader

from nightspot.checkpoint import ResumableSampler, SeededByIndex, Session, manifest
from tests.checkpoint.exact import Taken, Training

ROWS, BATCH, EPOCHS = 22, 4, 2
EPOCH_STEPS = 6


@pytest.fixture(autouse=True)
def _in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is saved is tested here, not by whom it is written, nor that it outlasts a power cut."""
    monkeypatch.setenv("NIGHTSPOT_CHECKPOINT_BACKGROUND", "0")
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


class Rows(Dataset[torch.Tensor]):
    """A table of which some is hidden at random, with the numbers of three libraries, each time a row is asked for."""

    def __init__(self, *, hidden: bool) -> None:
        self.table = torch.randn(ROWS, 4, generator=torch.Generator().manual_seed(9))
        self.hidden = hidden

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> torch.Tensor:
        noise = random.random() + np.random.rand() if self.hidden else 1.0
        return self.table[index] * (torch.rand(4) > 0.3 if self.hidden else 1.0) * noise


class Reading(Training):
    """Trains on what a loader gives; subclasses make the loader, and go through an epoch of it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop |= {"epoch": 0, "losses": []}

    def epoch(self, session: Session) -> Iterator[torch.Tensor]:
        raise NotImplementedError

    def read(self, batch: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        loss = self.model(batch).square().mean()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.loop["step"] += 1
        self.loop["losses"].append([loss.item(), batch.sum().item()])


class WithStateful(Reading):
    """torchdata's StatefulDataLoader is a state itself; it draws from the global random state when an epoch begins."""

    def __init__(self, workers: int, *, hidden: bool = False) -> None:
        super().__init__()
        self.loader: Any = StatefulDataLoader(Rows(hidden=hidden), batch_size=BATCH, shuffle=True, num_workers=workers)

    def states(self) -> dict[str, object]:
        return super().states() | {"loader": self.loader}

    def epoch(self, session: Session) -> Iterator[torch.Tensor]:
        batches = iter(self.loader)
        session.restore_random()
        yield from batches


class WithSampler(Reading):
    """torch's own DataLoader, in the order of a ResumableSampler, augmenting by index or by chance."""

    def __init__(self, workers: int, *, seeded: bool = True, persistent: bool = False) -> None:
        super().__init__()
        rows: Any = SeededByIndex(Rows(hidden=True), seed=4) if seeded else Rows(hidden=True)
        self.sampler = ResumableSampler(ROWS, BATCH, seed=7)
        self.loader: Any = DataLoader(
            rows, batch_sampler=self.sampler, num_workers=workers, persistent_workers=persistent
        )

    def states(self) -> dict[str, object]:
        return super().states() | {"sampler": self.sampler}

    def epoch(self, session: Session) -> Iterator[torch.Tensor]:
        yield from self.sampler.batches(self.loader)


def play(training: Reading, folder: Path, until: int = -1) -> object:
    """To the end, or to the checkpoint of a step."""
    with Session(training.states(), folder=folder, interval_s=0) as session:
        session.restore()
        while training.loop["epoch"] < EPOCHS:
            for batch in training.epoch(session):
                training.read(batch)
                session.step(units_done=training.loop["step"] / EPOCH_STEPS)
                if training.loop["step"] == until:
                    raise Taken
            training.loop["epoch"] += 1
    return training.bits()


def parts(make: Any, folder: Path, *taken: int) -> object:
    for until in taken:
        training = make()
        with contextlib.suppress(Taken):
            play(training, folder, until)
            raise AssertionError("it was to be taken")
        training.loader._iterator = None  # its workers go, as they do with their process
    return play(make(), folder)


@pytest.mark.parametrize(("workers", "taken"), [(0, (2, 5)), (0, (6, 9)), (2, (2, 9)), (2, (6,))])
def test_a_stateful_loader_goes_on_in_the_middle_of_an_epoch(tmp_path: Path, workers: int, taken: tuple[int]) -> None:
    expected = play(WithStateful(workers), tmp_path / "whole")
    assert parts(lambda: WithStateful(workers), tmp_path / "parts", *taken) == expected


def test_a_stateful_loader_without_workers_augments_as_it_would_have(tmp_path: Path) -> None:
    expected = play(WithStateful(0, hidden=True), tmp_path / "whole")
    assert parts(lambda: WithStateful(0, hidden=True), tmp_path / "parts", 2, 9) == expected


@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True)])
def test_augmentation_by_index_is_exact_whoever_does_it(tmp_path: Path, workers: int, persistent: bool) -> None:
    expected = play(WithSampler(0), tmp_path / "whole")
    assert parts(lambda: WithSampler(workers, persistent=persistent), tmp_path / "parts", 2, 6, 9) == expected


def test_flags_and_workers_are_in_the_manifest_and_others_are_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Taken):
        play(WithStateful(0), tmp_path, 2)
    (made,) = [manifest.read(tmp_path / name) for name in manifest.names(tmp_path)][-1:]
    assert made.head.versions.items() >= {"workers of 'loader'": "0", "deterministic algorithms": "False"}.items()
    capsys.readouterr()
    training = WithStateful(0)
    torch.use_deterministic_algorithms(True)
    try:
        play(training, tmp_path)
    finally:
        torch.use_deterministic_algorithms(False)
    said = capsys.readouterr().err
    assert "deterministic algorithms was False, is True" in said
    assert "workers of" not in said


def test_augmentation_by_chance_in_workers_is_not_or_this_proves_nothing(tmp_path: Path) -> None:
    expected = play(WithSampler(2, seeded=False), tmp_path / "whole")
    assert play(WithSampler(2, seeded=False), tmp_path / "again") == expected, "uninterrupted it is"
    assert parts(lambda: WithSampler(2, seeded=False), tmp_path / "parts", 3) != expected


def test_a_loader_restarted_without_its_random_state_is_not_or_this_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = play(WithStateful(0), tmp_path / "whole")
    monkeypatch.setattr(Session, "restore_random", lambda _session: None)
    assert parts(lambda: WithStateful(0), tmp_path / "parts", 2) != expected
