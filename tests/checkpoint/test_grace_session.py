"""A session that was told to end does what there is time for, and says what that cost."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from nightspot.checkpoint import Session, manifest
from tests.checkpoint.helpers import lines

FAR_S = 1e6


class Told:
    """A loop that saves when asked, and is then told that it is about to end."""

    def __init__(self, folder: Path, *, background: bool) -> None:
        self.notice, self.request, self.progress = folder / "notice", folder / "save-now", folder / "progress"
        self.checkpoints, self.background = folder / "checkpoints", background
        self.loop = {"step": 0}

    def run(self, *, kill_in_s: float, saves: int = 1, then: Any = lambda: None) -> int:
        """Saves so often, works two steps more, is told, and leaves: with which exit code."""
        session = Session({"loop": self.loop}, folder=self.checkpoints, interval="1w", background=self.background)
        with pytest.raises(SystemExit) as left, session:
            session.restore()
            self.step(session)
            for _ in range(saves):
                self.request.touch()
                os.utime(self.request, (self.loop["step"] + 1.0, 1.0 + self.loop["step"]))
                time.sleep(0.11)  # it is looked for ten times a second
                self.step(session)
            then()
            self.step(session)
            self.tell(kill_in_s)
            self.step(session)
        return int(left.value.code or 0)

    def step(self, session: Session) -> None:
        self.loop["step"] += 1
        session.step(units_done=self.loop["step"])

    def tell(self, kill_in_s: float) -> None:
        self.notice.write_text(json.dumps({"reason": "interruption", "kill_in_s": kill_in_s}))
        os.utime(
            self.notice, (time.time() + FAR_S, time.time() + FAR_S)
        )  # no time has passed, however slow this machine
        time.sleep(0.11)

    def durable(self) -> float:
        found = manifest.newest_valid(self.checkpoints)
        return 0 if found is None else found.head.units_done

    def warnings(self) -> list[str]:
        return [line["message"] for line in lines(self.progress, "warning")]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    made = Told(tmp_path, background=False)
    for name, path in (("NOTICE", made.notice), ("SAVE_REQUEST", made.request), ("PROGRESS", made.progress)):
        monkeypatch.setenv(f"NIGHTSPOT_{name}", str(path))
    return made


def test_with_time_enough_the_last_step_is_saved(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    assert told.run(kill_in_s=3600.0) == 75
    assert told.durable() == told.loop["step"]
    assert told.warnings() == []
    assert "asked to end: 1h are left and a save takes" in capsys.readouterr().err


def test_without_time_it_leaves_with_what_is_durable_and_says_what_is_lost(told: Told) -> None:
    assert told.run(kill_in_s=0.2) == 75
    assert told.durable() == told.loop["step"] - 2
    (said,) = told.warnings()
    assert said.startswith("asked to end: 0.2s are left and a save takes ")
    assert "step-000000001 is durable, " in said
    assert said.endswith(" of work are lost")


def test_before_the_first_save_one_is_tried_however_little_time_there_is(told: Told) -> None:
    assert told.run(kill_in_s=0.2, saves=0) == 75
    assert told.durable() == told.loop["step"]


def test_a_signal_alone_means_one_more_save(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "tell", lambda _kill_in_s: os.kill(os.getpid(), signal.SIGTERM))
    assert told.run(kill_in_s=0.0) == 75
    assert told.durable() == told.loop["step"]


def writers() -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "checkpoint.writer"], capture_output=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


def test_a_save_in_flight_is_finished_where_there_is_no_time_for_another(told: Told) -> None:
    told.background = True
    awake: list[Thread] = []

    def stop_the_writer_and_ask_for_a_save() -> None:
        (pid,) = writers()
        wait_until(lambda: told.durable() == 2)
        os.kill(pid, signal.SIGSTOP)
        awake.append(Thread(target=wake_once_it_was_said, args=(pid,)))
        awake[0].start()
        told.request.touch()
        time.sleep(0.11)

    def wake_once_it_was_said(pid: int) -> None:
        try:
            wait_until(told.warnings)
        finally:
            os.kill(pid, signal.SIGCONT)

    assert told.run(kill_in_s=0.2, then=stop_the_writer_and_ask_for_a_save) == 75
    awake[0].join()
    assert told.durable() == told.loop["step"] - 1, "the one that was begun a step before the notice"
    (said,) = told.warnings()
    assert "step-000000002" in said
    assert "is finished instead" in said


def wait_until(true: Callable[[], object]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it never came about")
