"""A Lightning training that was interrupted ends with the same bits as one that has never heard of us."""

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from nightspot.checkpoint.integrations import _lightning_data, _lightning_state, _night
from nightspot.checkpoint.integrations.lightning import NightspotCallback
from tests.checkpoint.helpers import lines
from tests.checkpoint.integrations.helpers import Lives, once_before, same
from tests.checkpoint.integrations.lightning_training import BATCHES, EPOCHS, LOADERS, Life, Model, Noisy, Taken

Ended = tuple[dict[int, float], dict[str, torch.Tensor]]
TRAINERS: dict[str, dict[str, Any]] = {
    "usual": {},
    "accumulating": {"accumulate_grad_batches": 2},
    "by steps": {"max_steps": 15},
}


@functools.cache
def undisturbed(loader: str = "plain", trainer: str = "usual") -> Ended:
    """Without our callback: it changes no number. Only a ResumableSampler needs it, or would stay in its first epoch."""
    return Life(None, loader, trainer=TRAINERS[trainer], bare=loader != "resumable").fit()


def take() -> None:
    raise Taken


def interrupted(folder: Path, *batches: int, loader: str = "plain", trainer: str = "usual") -> Ended:
    """Killed in each of these batches, one life after the other, then to the end."""
    for since, batch in zip((0, *batches), batches, strict=False):
        session = once_before(batch, since) if trainer != "accumulating" else {}
        with pytest.raises(Taken):
            Life(folder, loader, (batch, take), TRAINERS[trainer], session).fit()
    return Life(folder, loader, trainer=TRAINERS[trainer], session={"interval": "1h"}).fit()


@pytest.mark.parametrize("loader", LOADERS)
def test_many_resumes_in_mid_epoch_and_between_epochs_are_bit_identical(tmp_path: Path, loader: str) -> None:
    losses, weights = interrupted(tmp_path, 3, 7, 12, 20, loader=loader)
    assert min(index for index in losses if index >= 0) == 20
    assert same((losses, weights), undisturbed(loader))


@pytest.mark.parametrize("batch", [1, 8, 14])
def test_a_resume_from_any_batch_is_bit_identical(tmp_path: Path, batch: int) -> None:
    losses, weights = interrupted(tmp_path, batch)
    assert min(index for index in losses if index >= 0) == batch
    assert same((losses, weights), undisturbed())


@pytest.mark.parametrize("trainer", ["accumulating", "by steps"])
def test_checkpoints_lie_where_no_gradient_is_pending(tmp_path: Path, trainer: str) -> None:
    losses, weights = interrupted(tmp_path, 5, 13, trainer=trainer)
    first = min(index for index in losses if index >= 0)
    assert first == (13 if trainer == "by steps" else 13 - (13 % BATCHES) % 2)
    assert same((losses, weights), undisturbed(trainer=trainer))


@pytest.mark.parametrize(
    ("room", "name"),
    [
        (_lightning_state, "forget_restart"),
        (_lightning_state, "put_beside"),
        (_lightning_data.Position, "resume"),
        (_night.Night, "continue_random"),
    ],
)
def test_it_would_show_if_one_of_these_were_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: Any, name: str
) -> None:
    monkeypatch.setattr(room, name, lambda *_: None)
    assert not same(interrupted(tmp_path, 11), undisturbed())


def test_killed_and_told_to_end_for_real_and_with_workers_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    lives = Lives("lightning.pytorch", tmp_path / "checkpoints", "TERM@4", "KILL@10", "")
    assert lives.codes == [75, -signal.SIGKILL, 0], lives.errors
    assert lives.same(undisturbed("workers"))


def told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIGHTSPOT_PROGRESS", str(folder / "progress"))
    return folder / "progress"


def test_on_notice_it_leaves_between_two_batches_with_a_durable_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = told(tmp_path, monkeypatch)
    life = Life(tmp_path / "c", end=(9, lambda: os.kill(os.getpid(), signal.SIGTERM)), session={"interval": "1h"})
    with pytest.raises(SystemExit, match="75"):
        life.fit()
    assert [line["units_done"] for line in lines(progress, "checkpoint")] == [pytest.approx(10 / BATCHES)]
    assert same(Life(tmp_path / "c", session={"interval": "1h"}).fit(), undisturbed())
    assert [line["units_done"] for line in lines(progress, "training")] == [0, pytest.approx(10 / BATCHES)]
    assert [line["units_done"] for line in lines(progress, "done")] == [EPOCHS]


def test_it_counts_steps_where_the_job_does_and_reports_the_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = told(tmp_path, monkeypatch)
    Life(tmp_path / "c", session={"unit": "step", "interval": "4 steps"}).fit()
    assert [line["units_done"] for line in lines(progress, "checkpoint")] == [4, 8, 12, 16, 20]
    assert lines(progress, "progress")[0]["metrics"]["loss"] == undisturbed()[0][0]
    assert lines(progress, "done")[0]["units_done"] == EPOCHS * BATCHES


def refused(life: Life, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="78"):
        life.fit()
    return capsys.readouterr().err


def test_another_way_to_resume_besides_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = pl.Trainer(accelerator="cpu", max_epochs=0, logger=False, enable_progress_bar=False)
    trainer.fit(Model(None), LOADERS["plain"](), DataLoader(Noisy(), 16))
    trainer.save_checkpoint(tmp_path / "theirs.ckpt", weights_only=True)
    other = {"ckpt_path": str(tmp_path / "theirs.ckpt"), "weights_only": False}
    assert "ckpt_path" in refused(Life(tmp_path / "c", fit_arguments=other), capsys)


def test_a_second_callback_and_a_second_fit_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    night, other = (NightspotCallback(folder=tmp_path, background=False) for _ in range(2))
    assert "two NightspotCallbacks" in refused(Life(tmp_path, trainer={"callbacks": [night, other]}), capsys)
    assert "make a new one for each" in refused(Life(tmp_path, trainer={"callbacks": [night]}), capsys)


def test_several_processes_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pl.Trainer, "world_size", 2)
    assert "has 2 processes" in refused(Life(tmp_path), capsys)


def test_another_model_and_other_optimizers_are_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Taken):
        Life(tmp_path, end=(2, take)).fit()
    with monkeypatch.context() as patched:
        patched.setattr(Model, "configure_optimizers", lambda it: torch.optim.AdamW(it.layers[0].parameters()))
        assert "other optimizers" in refused(Life(tmp_path), capsys)
    make = Model.make
    monkeypatch.setattr(
        Model, "make", staticmethod(lambda: torch.nn.Sequential(*list(make())[:3], torch.nn.Linear(12, 2)))
    )
    assert "layers.3.weight was (1, 12), is (2, 12)" in refused(Life(tmp_path), capsys)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({}, TypeError, "folder"),
        ({"folder": ""}, ValueError, "expected a path"),
        ({"folder": "c", "unit": "hours"}, ValueError, "'epoch' or 'step'"),
        ({"folder": "c", "intervall": 5}, TypeError, "intervall"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(arguments: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        NightspotCallback(**arguments)


@pytest.mark.parametrize(
    ("loader", "trainer", "said"),
    [
        (lambda: DataLoader(Noisy(), 8, num_workers=1, persistent_workers=True), {}, "persistent_workers"),
        (LOADERS["plain"], {"reload_dataloaders_every_n_epochs": 1}, "reload_dataloaders_every_n_epochs"),
        (LOADERS["plain"], {}, ""),
    ],
)
def test_what_may_not_be_exact_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    loader: Callable[[], Any], trainer: dict[str, Any], said: str,
) -> None:  # fmt: skip
    monkeypatch.setitem(LOADERS, "this", loader)
    with pytest.raises(Taken):
        Life(tmp_path, "this", (0, take), trainer).fit()
    heard = [line for line in capsys.readouterr().err.splitlines() if "warning" in line and "nightspot" in line]
    assert len(heard) == bool(said) and all(said in line for line in heard), heard


def test_the_trainer_and_torch_are_left_as_they_were(tmp_path: Path) -> None:
    start, handler = DataLoader._get_iterator, signal.getsignal(signal.SIGTERM)
    Life(tmp_path, session={"interval": "1h"}).fit()
    assert (DataLoader._get_iterator, signal.getsignal(signal.SIGTERM)) == (start, handler)
