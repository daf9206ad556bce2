"""Saves by the writer process: training goes on at once, and whoever dies, no more is lost than has to be."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nightspot.checkpoint import SaveError, Session, background, manifest, saving
from nightspot.checkpoint.background import Background
from nightspot.checkpoint.lock import wait_for_writers
from tests.checkpoint.helpers import lines, save

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


def wait_until(met: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < give_up_s, "it does not come"
        time.sleep(0.01)


class Training:
    """A session whose saves a test asks for, and its writer process."""

    def __init__(self, folder: Path) -> None:
        self.checkpoints, self.progress = folder / "checkpoints", folder / "progress"
        self.loop: dict[str, Any] = {"step": 0, "weights": torch.zeros(10_000)}
        self.session = Session({"loop": self.loop}, folder=self.checkpoints, interval_s=3600)

    def step(self, *, asked: bool = False) -> None:
        self.loop["step"] += 1
        self.loop["weights"] += 1
        self.session._asked |= asked
        self.session.step(units_done=self.loop["step"])

    @property
    def saver(self) -> saving.Saver:
        assert self.session._saver is not None
        return self.session._saver

    @property
    def pid(self) -> int:
        hand = self.saver.hand
        assert isinstance(hand, Background)
        assert hand._writer is not None
        return hand._writer._process.pid

    def landed(self) -> bool:
        """Looks without waiting."""
        self.saver.collect()
        return not self.saver.busy

    def stop_writer(self) -> None:
        """It is there, and does nothing until it is continued."""
        self.step()
        assert isinstance(self.saver.hand, Background)
        self.saver.hand._be_ready()
        os.kill(self.pid, signal.SIGSTOP)

    def durable(self) -> float:
        found = manifest.newest_valid(self.checkpoints)
        return 0 if found is None else found.head.units_done

    def warnings(self) -> list[str]:
        return [line["message"] for line in lines(self.progress, "warning")]


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Training]:
    monkeypatch.setenv("NIGHTSPOT_PROGRESS", str(tmp_path / "progress"))
    monkeypatch.setattr(saving, "SILENCE_S", 20.0)
    made = Training(tmp_path)
    with made.session:
        made.session.restore()
        yield made


def restored(folder: Path) -> dict[str, Any]:
    loop: dict[str, Any] = {}
    with Session({"loop": loop}, folder=folder) as session:
        session.restore()
    return loop


def test_a_step_does_not_wait_for_the_disk_and_what_changes_afterwards_is_not_saved(training: Training) -> None:
    training.stop_writer()
    training.step(asked=True)  # returns, although the writer cannot write
    training.step()
    assert training.saver.busy
    assert training.durable() == 0
    os.kill(training.pid, signal.SIGCONT)
    assert training.saver.wait()
    assert training.durable() == 2
    training.session.__exit__(None, None, None)
    assert restored(training.checkpoints)["weights"].unique().tolist() == [2.0]


def test_one_save_is_in_flight_and_the_next_begins_when_it_is_done(training: Training) -> None:
    training.stop_writer()
    training.step(asked=True)
    training.step(asked=True)
    training.step()
    assert training.session._asked, "asked for meanwhile, and not forgotten"
    os.kill(training.pid, signal.SIGCONT)
    wait_until(training.landed)
    assert training.durable() == 2
    training.session.step(units_done=5)
    training.saver.wait()
    assert training.durable() == 5
    assert [line["units_done"] for line in lines(training.progress, "checkpoint")] == [2, 5]


def test_it_is_reported_when_it_is_durable_and_not_before(training: Training) -> None:
    training.stop_writer()
    training.step(asked=True)
    assert lines(training.progress, "checkpoint") == []
    os.kill(training.pid, signal.SIGCONT)
    training.session.done(units_done=2)  # waits
    (told,) = lines(training.progress, "checkpoint")
    assert told["name"] == "step-000000001"
    assert 0 < told["stall_s"] < told["save_s"]
    kinds = [line["kind"] for line in lines(training.progress, "checkpoint") + lines(training.progress, "done")]
    assert kinds == ["checkpoint", "done"]


def test_a_writer_that_is_killed_costs_one_save_and_is_replaced(training: Training) -> None:
    training.stop_writer()
    training.step(asked=True)
    killed = training.pid
    os.kill(killed, signal.SIGKILL)
    assert not training.saver.wait()
    assert training.warnings() == [
        "a checkpoint could not be saved, the newest is None: the writer process is gone: exit code -9"
    ]
    training.step(asked=True)
    assert training.pid != killed
    assert training.saver.wait()
    assert training.durable() == 3
    assert manifest.unfinished(training.checkpoints) == []


def test_a_writer_killed_between_two_saves_costs_nothing(training: Training) -> None:
    training.step(asked=True)
    training.saver.wait()
    os.kill(training.pid, signal.SIGKILL)
    os.waitid(os.P_PID, training.pid, os.WEXITED | os.WNOWAIT)
    training.step(asked=True)
    assert training.saver.wait()
    assert training.durable() == 2


def test_a_writer_that_is_stuck_is_given_up_after_a_while(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "SILENCE_S", 0.1)
    training.stop_writer()
    stuck = training.pid
    training.step(asked=True)
    assert not training.saver.wait()
    assert "killed for its silence" in training.warnings()[0]
    assert not Path(f"/proc/{stuck}").exists()


def test_three_lost_writers_in_a_row_end_the_pretence(training: Training) -> None:
    with pytest.raises(SaveError, match="3 saves in a row failed"):
        for _ in range(4):
            training.stop_writer()
            training.step(asked=True)
            os.kill(training.pid, signal.SIGKILL)
            training.saver.wait()


def test_a_full_disk_is_told_and_training_goes_on(training: Training) -> None:
    """Its file size limit stands for the disk's end."""
    training.step(asked=True)
    training.saver.wait()
    for limit, durable in ((1000, 1), (resource.RLIM_INFINITY, 3)):
        resource.prlimit(training.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        training.step(asked=True)
        training.saver.wait()
        assert training.durable() == durable
        assert manifest.unfinished(training.checkpoints) == []
    (warning,) = training.warnings()
    assert "could not be saved, the newest is step-000000001: [Errno 27] File too large" in warning


def test_on_notice_the_save_in_flight_is_finished_and_one_more_made(tmp_path: Path) -> None:
    training = Training(tmp_path)
    with pytest.raises(SystemExit) as left, training.session:
        training.session.restore()
        training.stop_writer()
        training.step(asked=True)
        subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -CONT {training.pid}"])
        os.killpg(os.getpgid(training.pid), 0)  # the same group: SIGTERM reaches both
        os.kill(training.pid, signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        training.step()
    assert left.value.code == 75
    assert training.durable() == 3
    assert len(manifest.names(training.checkpoints)) == 2


def test_an_exception_finishes_the_save_in_flight_and_leaves_nothing_behind(tmp_path: Path) -> None:
    save(tmp_path / "before", {"step": 0}, background=True)  # whatever is opened once and for all
    before, children = open_files(), set(children_of(os.getpid()))
    training = Training(tmp_path)
    with pytest.raises(ZeroDivisionError), training.session:
        training.session.restore()
        training.step()
        training.step(asked=True)
        assert "nightspot-checkpoint" in mappings()
        raise ZeroDivisionError
    assert training.durable() == 2
    assert open_files() == before
    assert set(children_of(os.getpid())) == children
    assert "nightspot-checkpoint" not in mappings()


def test_a_save_that_an_error_of_our_own_ends_is_not_waited_for(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a copy that torch does not know")

    monkeypatch.setattr(Background, "begin", broken)
    with pytest.raises(RuntimeError, match="does not know"):
        training.step(asked=True)
    assert not training.saver.busy


def open_files() -> list[str]:
    return sorted(str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.exists())


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def mappings() -> str:
    return Path("/proc/self/maps").read_text()


def test_a_state_that_grows_gets_more_memory_and_one_that_changes_its_shape_is_saved_as_it_is(
    training: Training,
) -> None:
    shapes = [(10,), (3_000_000,), (5, 7), (3_000_001,)]
    for count, shape in enumerate(shapes, start=1):
        training.loop["weights"] = torch.full(shape, float(count))
        training.step(asked=True)
        training.saver.wait()
    assert training.warnings() == []
    assert mappings().count("nightspot-checkpoint") == 1
    training.session.__exit__(None, None, None)
    again = restored(training.checkpoints)["weights"]
    assert (again.shape, again.unique().tolist()) == ((3_000_001,), [5.0])


@pytest.mark.parametrize("missing", ["program", "memory", "free memory"])
def test_without_a_writer_process_saves_are_made_all_the_same(
    training: Training, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "program":
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
    elif missing == "memory":
        monkeypatch.delattr(os, "memfd_create")
    else:
        monkeypatch.setattr("nightspot.checkpoint.memory.available_bytes", lambda: 1)
    training.step()
    training.step(asked=True)
    assert not training.saver.busy
    assert training.durable() == 2
    (warning,) = training.warnings()
    assert warning.endswith("each save now holds training up until it is durable")


def test_a_writer_that_cannot_start_says_why(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "BOOT", "raise SystemExit('no hands')")
    training.step(asked=True)
    assert training.durable() == 1
    assert "cannot be started here: exit code 1, no hands" in training.warnings()[0]


def test_files_of_the_working_folder_do_not_get_into_the_writer(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('taken over')")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('taken over')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    training.step(asked=True)
    assert training.saver.wait()
    assert training.warnings() == []


def test_a_trainer_killed_right_after_its_snapshot_has_saved_it(tmp_path: Path) -> None:
    folder, child = tmp_path / "checkpoints", tmp_path / "child"
    script = Path(__file__).with_name("dying_trainer.py")
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    command = [sys.executable, str(script), str(folder), str(child)]
    died = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S)
    try:
        assert (died.returncode, died.stdout) == (-9, "[]\n"), "killed before anything was durable"
        loop = restored(folder)  # at once: waits for the dead trainer's writer, and sweeps nothing away
        assert (loop["step"], loop["weights"].unique().tolist()) == (7, [7.0])
        wait_for_writers(folder, PATIENCE_S)  # it ends, although a child of the trainer holds the line open
    finally:
        os.kill(int(child.read_text()), signal.SIGKILL)


def test_a_training_with_more_than_a_thousand_open_files_is_saved_too(training: Training) -> None:
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        training.step(asked=True)
        assert training.saver.wait()
    finally:
        for descriptor in taken:
            os.close(descriptor)
    assert training.warnings() == []


def test_a_step_with_nothing_due_looks_at_no_state(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    training.step()
    monkeypatch.setattr(saving, "capture", lambda *_: pytest.fail("a state was read"))
    for _ in range(3):
        training.step()
    assert re.fullmatch(r"\d+", str(training.pid))
