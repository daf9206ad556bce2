"""A training by Hugging Face's Trainer that was interrupted ends with the same bits as one that has never heard of us."""

from __future__ import annotations

import functools
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from nightspot.checkpoint.integrations import _night, _transformers_data, _transformers_state
from nightspot.checkpoint.integrations.transformers import NightspotCallback, doubts
from tests.checkpoint.helpers import lines
from tests.checkpoint.integrations.helpers import Lives, once_before, same
from tests.checkpoint.integrations.transformers_training import (
    EPOCHS,
    STEPS,
    Ended,
    Life,
    Model,
    Rows,
    Taken,
    arguments,
)

KINDS: dict[str, dict[str, Any]] = {
    "usual": {},
    "workers": {"dataloader_num_workers": 1},
    "accumulating": {"gradient_accumulation_steps": 2},
    "by length": {"train_sampling_strategy": "group_by_length"},
}


@functools.cache
def undisturbed(kind: str = "usual") -> Ended:
    """Without our callback: it changes no number."""
    with tempfile.TemporaryDirectory() as output:
        return Life(None, trainer=KINDS[kind], bare=True).train(Path(output))


def take() -> None:
    raise Taken


def interrupted(folder: Path, *batches: int, kind: str = "usual") -> Ended:
    """Killed in each of these batches, one life after the other, then to the end."""
    for since, batch in zip((0, *batches), batches, strict=False):
        session = once_before(batch, since) if kind != "accumulating" else {}
        with pytest.raises(Taken):
            Life(folder / "c", (batch, take), KINDS[kind], session).train(folder)
    return Life(folder / "c", trainer=KINDS[kind], session={"interval": "1h"}).train(folder)


def equal(found: Ended, expected: Ended) -> bool:
    """Weights and losses; and every line of the log, its means over steps before and after a resume, too."""
    told = (found.lines, found.mean_loss, found.worse) == (expected.lines, expected.mean_loss, expected.worse)
    return told and same((found.losses, found.weights), (expected.losses, expected.weights))


@pytest.mark.parametrize("kind", KINDS)
def test_many_resumes_in_mid_epoch_and_between_epochs_are_bit_identical(tmp_path: Path, kind: str) -> None:
    found = interrupted(tmp_path, 4, 7, 12, kind=kind)
    assert min(found.losses) == (11 if kind == "accumulating" else 12)
    assert equal(found, undisturbed(kind))


@pytest.mark.parametrize(
    ("room", "name", "kind"),
    [
        (_night.Night, "continue_random", "workers"),  # without them, what was drawn for the batches leads there, too
        (_transformers_data.Draws, "load_state_dict", "usual"),
        (_transformers_state.Later, "load_state_dict", "usual"),
        (_transformers_state.Counters, "put_back", "usual"),
    ],
)
def test_it_would_show_if_one_of_these_were_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: Any, name: str, kind: str
) -> None:
    monkeypatch.setattr(room, name, lambda *_: None)
    assert not equal(interrupted(tmp_path, 11, kind=kind), undisturbed(kind))


def test_killed_and_told_to_end_for_real_and_with_workers_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    lives = Lives("transformers", tmp_path / "checkpoints", "TERM@4", "KILL@10", "")
    assert lives.codes == [75, -signal.SIGKILL, 0], lives.errors
    expected = undisturbed("workers")
    assert lives.same((expected.losses, expected.weights))


def test_on_notice_it_leaves_between_two_steps_with_a_durable_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = tmp_path / "progress"
    monkeypatch.setenv("NIGHTSPOT_PROGRESS", str(progress))
    life = Life(tmp_path / "c", (9, lambda: os.kill(os.getpid(), signal.SIGTERM)), session={"interval": "1h"})
    with pytest.raises(SystemExit, match="75"):
        life.train(tmp_path)
    assert [line["units_done"] for line in lines(progress, "checkpoint")] == [pytest.approx(10 / STEPS)]
    assert equal(Life(tmp_path / "c", session={"interval": "1h"}).train(tmp_path), undisturbed())
    assert [line["units_done"] for line in lines(progress, "done")] == [EPOCHS]
    assert any("eval_loss" in line["metrics"] or "loss" in line["metrics"] for line in lines(progress, "progress"))


def refused(life: Life, output: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="78"):
        life.train(output)
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("trainer", "argument", "said"),
    [
        ({}, {"resume_from_checkpoint": True}, "resume_from_checkpoint is given"),
        ({"ignore_data_skip": True}, {}, "ignore_data_skip"),
        ({"auto_find_batch_size": True}, {}, "auto_find_batch_size"),
    ],
)
def test_what_cannot_be_exact_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], trainer: Any, argument: Any, said: str
) -> None:
    assert said in refused(Life(tmp_path / "c", trainer=trainer, arguments=argument), tmp_path, capsys)


def test_wrong_use_of_the_callback_is_one_line_and_exit_code_78(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night, other = (NightspotCallback(folder=tmp_path / "c", background=False) for _ in range(2))
    plain = arguments(tmp_path, eval_strategy="no")
    trainer = transformers.Trainer(Model(None), plain, train_dataset=Rows(), callbacks=[night])
    for train, said in ((trainer.train, "call night.train(trainer)"), (lambda: other.train(trainer), "two Nightspot")):
        with pytest.raises(SystemExit, match="78"):
            train()
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit, match="78"):
        other.train(trainer)
    assert "make a new one for each" in capsys.readouterr().err


def test_another_optimizer_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Taken):
        Life(tmp_path / "c", (2, take)).train(tmp_path)
    monkeypatch.setattr(
        transformers.Trainer,
        "create_optimizer",
        lambda it, *_: setattr(it, "optimizer", torch.optim.SGD(it.model.layers[0].parameters(), 0.1)),
    )
    assert "the optimizer is another" in refused(Life(tmp_path / "c"), tmp_path, capsys)


def test_the_trainer_and_its_module_are_left_as_they_were(tmp_path: Path) -> None:
    skip = transformers.trainer.skip_first_batches
    night = NightspotCallback(folder=tmp_path / "c", background=False)
    trainer = transformers.Trainer(Model((3, take)), arguments(tmp_path, eval_strategy="no"), train_dataset=Rows())
    with pytest.raises(Exception):  # noqa: B017 - its collator does not fit: any error of the user's will do
        night.train(trainer)
    assert transformers.trainer.skip_first_batches is skip
    assert not {"get_train_dataloader", "_load_from_checkpoint"} & vars(trainer).keys()


class Loader:
    """As much of one as the doubts look at."""

    def __init__(self, workers: int = 0, *, persistent: bool = False, stream: bool = False) -> None:
        self.num_workers, self.persistent_workers = workers, persistent
        self.batch_sampler = None if stream else torch.utils.data.BatchSampler(range(52), 8, drop_last=False)

    def __len__(self) -> int:
        return STEPS


@pytest.mark.parametrize(
    ("loader", "said"),
    [
        (Loader(1, persistent=True), "persistent workers"),
        (Loader(stream=True), "a stream"),
        (Loader(1, stream=True), None),
        (Loader(), None),
    ],
)
def test_what_may_not_be_exact_is_said(loader: Loader, said: str | None) -> None:
    heard = list(doubts(loader, 2, workers_draw=True))
    assert (said is None and not heard) or (said is not None and said in heard[0])


def test_an_older_trainer_that_loses_its_place_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers, "__version__", "4.44.2")
    assert "7 batches are no multiple of gradient_accumulation_steps = 2" in next(
        doubts(Loader(), 2, workers_draw=True)
    )
    assert not list(doubts(Loader(), 7, workers_draw=True))
