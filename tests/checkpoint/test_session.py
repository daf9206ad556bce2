"""What one call a step does: when it saves, when it leaves, and what it says."""

import errno
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from nightspot.checkpoint import SaveError, Session, StateError, manifest
from nightspot.checkpoint.commit import commit
from nightspot.checkpoint.manifest import Manifest
from tests.checkpoint.helpers import lines


class Night:
    """A session in a folder of its own, with all the files that nightspot would name."""

    def __init__(self, folder: Path) -> None:
        self.progress, self.notice = folder / "progress", folder / "notice"
        self.request, self.checkpoints = folder / "save-now", folder / "checkpoints"
        self.loop = {"step": 0}
        self.session = Session({"loop": self.loop}, background=False)

    def step(self) -> None:
        self.loop["step"] += 1
        self.session.step(units_done=self.loop["step"], metrics={"loss": 0.5})

    def lines(self, kind: str) -> list[dict[str, Any]]:
        return lines(self.progress, kind)

    def durable(self) -> float:
        found = manifest.newest_valid(self.checkpoints)
        return 0 if found is None else found.head.units_done


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Night:
    made = Night(tmp_path)
    monkeypatch.setenv("NIGHTSPOT_CHECKPOINT_DIR", str(made.checkpoints))
    monkeypatch.setenv("NIGHTSPOT_CHECKPOINT_INTERVAL_S", "3600")
    monkeypatch.setenv("NIGHTSPOT_PROGRESS", str(made.progress))
    monkeypatch.setenv("NIGHTSPOT_NOTICE", str(made.notice))
    monkeypatch.setenv("NIGHTSPOT_SAVE_REQUEST", str(made.request))
    return made


def test_a_step_saves_only_when_a_save_is_due(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [1000.0]
    monkeypatch.setattr("nightspot.checkpoint.session.time.monotonic", lambda: now_s[0])
    with night.session as open_session:
        open_session.restore()
        night.step()
        assert night.durable() == 0
        now_s[0] += 3600
        night.step()
        night.step()
    assert night.durable() == 2


def test_a_checkpoint_is_reported_once_it_is_durable(night: Night) -> None:
    night.request.touch()
    with night.session as open_session:
        open_session.restore()
        night.step()
    (told,) = night.lines("checkpoint")
    found = manifest.newest_valid(night.checkpoints)
    assert found is not None
    assert (told["name"], told["digest"], told["size_bytes"]) == (found.name, found.digest, found.size_bytes)
    assert told["units_done"] == 1
    assert 0 < told["save_s"] < 60


def test_each_request_is_served_at_the_next_step(night: Night) -> None:
    with night.session as open_session:
        open_session.restore()
        for stamp_s in (1, 2):
            night.request.touch()
            os.utime(night.request, (stamp_s, stamp_s))
            night.session._request.look_again()
            night.step()
            assert night.durable() == night.loop["step"]
            night.step()
    assert len(night.lines("checkpoint")) == 2


@pytest.mark.parametrize("how", ["signal", "file"])
def test_a_notice_leads_to_one_more_checkpoint_and_code_75(night: Night, how: str) -> None:
    with pytest.raises(SystemExit) as left, night.session as open_session:
        open_session.restore()
        os.kill(os.getpid(), signal.SIGTERM) if how == "signal" else night.notice.touch()
        night.step()
    assert left.value.code == 75
    assert night.durable() == 1
    assert len(night.lines("checkpoint")) == 1


def test_a_second_sigterm_during_the_last_save_does_no_harm(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any) -> Manifest:
        os.kill(os.getpid(), signal.SIGTERM)
        return commit(*arguments)

    monkeypatch.setattr("nightspot.checkpoint.inline.commit", interrupted)
    night.request.touch()
    with pytest.raises(SystemExit) as left, night.session as open_session:
        open_session.restore()
        night.step()  # asked for; SIGTERM arrives while it is being written
    os.kill(os.getpid(), signal.SIGTERM)  # and once more while the process leaves
    assert left.value.code == 75
    assert len(night.lines("checkpoint")) == 1


def test_a_notice_after_the_last_step_does_not_lose_a_finished_run(night: Night) -> None:
    with night.session as open_session:
        open_session.restore()
        night.step()
        os.kill(os.getpid(), signal.SIGTERM)
        night.notice.touch()
        open_session.done(units_done=1, metrics={"recall": 0.3}, facts={"seed": "0"})
    assert night.lines("done") == [
        {"kind": "done", "units_done": 1.0, "metrics": {"recall": 0.3}, "facts": {"seed": "0"}}
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, torch.tensor(math.nan)])
def test_a_model_with_a_metric_that_is_not_finite_is_not_done(night: Night, value: float) -> None:
    with night.session as open_session:
        open_session.restore()
        with pytest.raises(ValueError, match=r"recall = (nan|inf).*must not be published"):
            open_session.done(units_done=1, metrics={"recall": value})
    assert night.lines("done") == []


def test_a_loss_that_is_not_finite_is_a_warning_while_training(night: Night) -> None:
    with night.session as open_session:
        open_session.restore()
        open_session.step(units_done=1, metrics={"loss": math.nan, "rate": 0.1})
    assert night.lines("progress") == [{"kind": "progress", "units_done": 1.0, "metrics": {"rate": 0.1}}]
    assert night.lines("warning")[0]["message"] == "loss = nan at 1 units"


def test_progress_is_told_at_a_bounded_rate(night: Night) -> None:
    with night.session as open_session:
        open_session.restore()
        for _ in range(200):
            night.step()
    assert 1 <= len(night.lines("progress")) < 20


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The disk is full while this list holds True."""
    state = [True]

    def full(*arguments: Any) -> Manifest:
        if state[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return commit(*arguments)

    monkeypatch.setattr("nightspot.checkpoint.inline.commit", full)
    return state


def test_a_full_disk_is_told_and_training_goes_on(night: Night, full_disk: list[bool]) -> None:
    with Session({"loop": night.loop}, background=False) as night.session:
        night.session.restore()
        for step in range(8):  # never three failures in a row
            full_disk[0] = step % 3 != 2
            night.request.touch()
            os.utime(night.request, (step, step))
            night.step()
    assert len(night.lines("warning")) == 6
    assert len(night.lines("checkpoint")) == 2
    assert "No space left" in night.lines("warning")[0]["message"]


@pytest.mark.usefixtures("full_disk")
def test_three_failed_saves_in_a_row_end_the_pretence(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSPOT_CHECKPOINT_INTERVAL_S", "0")
    with pytest.raises(SaveError, match="3 saves in a row failed"), night.session as open_session:
        open_session.restore()
        while True:
            night.step()
    assert night.loop["step"] == 3


def test_on_notice_an_older_checkpoint_keeps_the_promise_of_code_75(night: Night, full_disk: list[bool]) -> None:
    full_disk[0] = False
    night.request.touch()
    with pytest.raises(SystemExit) as left, night.session as open_session:
        open_session.restore()
        night.step()
        full_disk[0] = True
        night.notice.touch()
        night.session._notice._watched.expire()
        night.step()
    assert left.value.code == 75
    assert night.durable() == 1


@pytest.mark.usefixtures("full_disk")
def test_on_notice_with_nothing_durable_code_75_is_not_claimed(night: Night) -> None:
    night.notice.touch()
    with pytest.raises(SaveError, match="no checkpoint could be saved"), night.session as open_session:
        open_session.restore()
        night.step()


def test_without_a_folder_it_says_so_and_sigterm_ends_the_process_as_ever(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Session({"loop": {}}) as alone:
        assert alone.restore() is None
        assert signal.getsignal(signal.SIGTERM) is before
        alone.step(units_done=1)
        alone.done(units_done=1)
    assert "nothing is saved" in capsys.readouterr().err


def test_a_step_before_restore_is_refused(tmp_path: Path) -> None:
    with Session({"loop": {}}, folder=tmp_path) as hasty, pytest.raises(RuntimeError, match="restore"):
        hasty.step(units_done=1)


@pytest.mark.parametrize("units_done", [math.nan, math.inf, -1])
def test_units_that_make_no_sense_are_refused(tmp_path: Path, units_done: float) -> None:
    with Session({"loop": {}}, folder=tmp_path) as open_session:
        open_session.restore()
        with pytest.raises(ValueError, match="units_done"):
            open_session.step(units_done=units_done)


@pytest.mark.parametrize("name", ["random", "../up", "a/b", "", "1st", "a.b"])
def test_a_state_name_that_cannot_be_a_file_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="state name"):
        Session({name: {}})


def test_an_object_without_a_state_is_refused_at_once() -> None:
    with pytest.raises(StateError, match="state 'data' is a list"):
        Session({"data": []})


def test_what_cannot_be_saved_is_said_before_the_first_step(tmp_path: Path) -> None:
    with (
        Session({"loop": {"path": tmp_path}}, folder=tmp_path) as open_session,
        pytest.raises(StateError, match=r"loop\['path'\]"),
    ):
        open_session.restore()


def test_a_broken_environment_is_code_78(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSPOT_ATTEMPT", "x")
    with pytest.raises(SystemExit) as raised:
        Session({}).__enter__()
    assert raised.value.code == 78
