"""Nights as real processes on this machine: signals, locks, kills. Compressed 600 times."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cli.nights import Machine, local_job

pytestmark = pytest.mark.slow


def test_a_night_on_this_machine_completes_and_tells_its_lineage(machine: Machine) -> None:
    job = local_job(machine.folder)
    done = machine.call("run", job, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["outcome"], facts["metrics"], facts["facts"]) == (
        "completed",
        {"recall": 0.5},
        {"data_sha256": "beef"},
    )
    assert len(facts["model_sha256"]) == 64
    assert "epoch 6" in machine.call("logs", job).stdout
    assert machine.call("logs", job, "--tail", 1).stdout == "epoch 6\n"
    assert machine.json("report", "last") == facts


def test_a_killed_controllers_night_goes_on_where_it_was(machine: Machine) -> None:
    job = local_job(machine.folder, units=12)
    first = machine.start("run", job)
    machine.wait_until(machine.trains)
    first.kill()
    first.communicate()
    done = machine.call("run", job, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert [attempt["outcome"] for attempt in facts["attempts"]] == ["completed"]
    assert "goes on" in done.stderr


def test_of_two_controllers_the_second_ends_with_9_and_says_who_the_first_is(machine: Machine) -> None:
    job = local_job(machine.folder, units=12)
    first = machine.start("run", job, "--json")
    machine.wait_until(machine.trains)
    second = machine.call("run", job)
    assert second.returncode == 9
    assert f"pid {first.pid}" in second.stderr
    assert machine.json("status")[0]["controller_pid"] == first.pid
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert len(json.loads(out)["attempts"]) == 1


def test_ctrl_c_without_a_terminal_leaves_the_attempt_running_and_says_how_to_go_on(machine: Machine) -> None:
    job = local_job(machine.folder, units=12)
    first = machine.start("run", job, "--json")
    machine.wait_until(machine.trains)
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=30)
    assert first.returncode == 12
    assert json.loads(out)["outcome"] is None
    assert "goes on by itself" in err
    assert "nightspot stop" in err
    facts = machine.json("run", job)
    assert [attempt["outcome"] for attempt in facts["attempts"]] == ["completed"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_with_stop_ends_the_attempt_and_the_run(machine: Machine, number: signal.Signals) -> None:
    job = local_job(machine.folder, units=40)
    first = machine.start("run", job, "--json", "--on-interrupt", "stop")
    machine.wait_until(machine.trains)
    first.send_signal(number)
    out, err = first.communicate(timeout=30)
    assert first.returncode == 7, err
    facts = json.loads(out)
    assert (facts["outcome"], facts["attempts"][-1]["outcome"]) == ("cancelled", "cancelled")


def test_stop_is_obeyed_by_the_controller_that_is_at_work(machine: Machine) -> None:
    job = local_job(machine.folder, units=40)
    first = machine.start("run", job, "--json")
    machine.wait_until(machine.trains)
    stopped = machine.call("stop", job)
    assert stopped.returncode == 0, stopped.stderr
    assert "cancelled" in stopped.stdout
    out, _ = first.communicate(timeout=30)
    assert first.returncode == 7
    assert json.loads(out)["outcome"] == "cancelled"


def test_stop_acts_itself_where_no_controller_is_left(machine: Machine) -> None:
    job = local_job(machine.folder, units=40)
    first = machine.start("run", job)
    machine.wait_until(machine.trains)
    first.kill()
    first.communicate()
    facts = machine.json("stop", "last")
    assert (facts["outcome"], facts["attempts"][-1]["outcome"]) == ("cancelled", "cancelled")
    assert machine.json("status") == []
    again = machine.call("stop", "last")
    assert again.returncode == 0


def test_stop_without_waiting_returns_at_once_and_the_stop_happens(machine: Machine) -> None:
    job = local_job(machine.folder, units=40)
    first = machine.start("run", job)
    machine.wait_until(machine.trains)
    first.kill()
    first.communicate()
    asked = machine.call("stop", "last", "--no-wait")
    assert asked.returncode == 0
    assert machine.json("stop", "last")["outcome"] == "cancelled"


def test_logs_follow_until_the_run_is_over(machine: Machine) -> None:
    job = local_job(machine.folder)
    first = machine.start("run", job)
    machine.wait_until(machine.trains)
    followed = machine.call("logs", "last", "--follow")
    assert followed.stdout.count("epoch ") == 6
    first.communicate(timeout=30)


class Typist:
    """A terminal with somebody at it."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.openpty()
        self.seen = ""

    @property
    def terminal(self) -> dict[str, Any]:
        return {"stdin": self.theirs, "stdout": self.theirs, "stderr": self.theirs, "start_new_session": True}

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def shows(self, text: str) -> bool:
        """Whether the screen has shown that by now. Reading it also keeps the program from waiting for a full screen."""
        os.set_blocking(self.ours, False)
        with suppress(BlockingIOError):
            self.seen += os.read(self.ours, 1 << 20).decode(errors="replace")
        return text in self.seen

    def end_of(self, process: subprocess.Popen[str]) -> bool:
        return self.shows("") and process.poll() is not None


@pytest.mark.parametrize(("answer", "code"), [("s\n", 7), ("l\n", 12), ("g\n", 0)])
def test_on_a_terminal_ctrl_c_asks_and_the_night_goes_on_meanwhile(machine: Machine, answer: str, code: int) -> None:
    job = local_job(machine.folder, units=14)
    typist = Typist()
    first = machine.start("run", job, **typist.terminal)
    machine.wait_until(machine.trains)
    first.send_signal(signal.SIGINT)
    machine.wait_until(lambda: typist.shows("[g]o on"))
    typist.type(answer)
    machine.wait_until(lambda: typist.end_of(first), 60.0)
    assert first.returncode == code, typist.seen[-2000:]
    if code == 12:
        assert machine.json("stop", "last")["outcome"] == "cancelled"


def test_a_second_ctrl_c_leaves_at_once(machine: Machine) -> None:
    job = local_job(machine.folder, units=40)
    typist = Typist()
    first = machine.start("run", job, **typist.terminal)
    machine.wait_until(machine.trains)
    first.send_signal(signal.SIGINT)
    machine.wait_until(lambda: typist.shows("[g]o on"))
    first.send_signal(signal.SIGINT)
    machine.wait_until(lambda: typist.end_of(first))
    assert first.returncode == 12
    assert machine.json("status")[0]["phase"] == "training"
    assert machine.json("stop", "last")["outcome"] == "cancelled"


def test_a_home_that_cannot_be_written_is_one_line_and_starts_nothing(machine: Machine, tmp_path: Path) -> None:
    machine.home.write_text("a file is in the way")
    done = machine.call("run", local_job(machine.folder))
    assert done.returncode == 10
    assert done.stderr.count("\n") == 1
    assert "--home" in done.stderr
