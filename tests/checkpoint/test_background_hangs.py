"""Writers that hang, saves that are interrupted, and forked children: training goes on, and nothing is lost or mixed up in silence."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from nightspot.checkpoint import Session, background, manifest, saving
from nightspot.checkpoint.background import Background
from nightspot.checkpoint.errors import SaveError
from tests.checkpoint.helpers import lines
from tests.checkpoint.test_background import Training, open_files, restored, wait_until


@pytest.fixture(name="training")
def _training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Training]:
    monkeypatch.setenv("NIGHTSPOT_PROGRESS", str(tmp_path / "progress"))
    made = Training(tmp_path)
    with made.session:
        made.session.restore()
        yield made


def hand_of(training: Training) -> Background:
    hand = training.saver.hand
    assert isinstance(hand, Background)
    return hand


def test_a_silent_writer_is_given_up_by_steps_alone(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a save in flight, so nobody would ever notice: no checkpoint would be made again."""
    training.stop_writer()
    stuck = training.pid
    training.step(asked=True)
    monkeypatch.setattr(saving, "SILENCE_S", 0.1)
    training.session._asked = True
    while not training.warnings():
        training.step()
        time.sleep(0.01)
    monkeypatch.setattr(saving, "SILENCE_S", 60.0)
    assert "killed for its silence" in training.warnings()[0]
    training.step()
    assert training.pid != stuck
    assert training.saver.wait()
    assert training.durable() > 1


HOOKED: list[Any] = []  # what python tells of each look into a folder; such a hook cannot be taken off again


def looks_into(folder: Path) -> list[str]:
    """From now on: what this thread does with files of the folder."""
    looked: list[str] = []
    here = threading.get_ident()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.partition(".")[0] in ("open", "os", "shutil", "glob", "pathlib") and threading.get_ident() == here:
            looked.extend(f"{event} {one}" for one in arguments[:2] if str(one).startswith(str(folder)))

    if not HOOKED:
        sys.addaudithook(lambda event, arguments: HOOKED[-1](event, arguments) if HOOKED else None)
    HOOKED.append(hook)
    return looked


def test_a_disk_that_does_not_answer_is_never_touched_by_a_step(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who touches it hangs, and cannot even be killed; so all that is done there is done by a writer. The next one hangs, too."""
    training.step(asked=True)
    assert training.saver.wait()
    monkeypatch.setattr(background, "STUCK_PATIENCE_S", 0.1)
    monkeypatch.setattr(background, "KILL_PATIENCE_S", 0.1)
    monkeypatch.setattr(background, "BOOT", "import time; time.sleep(60)")
    looked = looks_into(training.checkpoints)
    try:
        training.stop_writer()
        training.step(asked=True)
        training.saver.hand.give_up()
        training.step()
        training.step(asked=True)
        assert "does not answer" in training.warnings()[-1]
        with pytest.raises(SaveError):
            training.step(asked=True)
        assert looked == []
    finally:
        HOOKED.clear()
    assert isinstance(training.saver.hand, Background), "and not by the training itself"


def test_a_disk_that_answers_again_is_used_again(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "STUCK_PATIENCE_S", 0.1)
    answers = training.checkpoints / "answers"
    hangs = f"import pathlib, time\nwhile not pathlib.Path({str(answers)!r}).exists(): time.sleep(0.01)\n"
    training.stop_writer()
    monkeypatch.setattr(background, "BOOT", hangs + background.BOOT)
    training.step(asked=True)
    training.saver.hand.give_up()
    training.step(asked=True)
    assert training.saver.failed_saves == 2
    answers.touch()
    monkeypatch.setattr(background, "STUCK_PATIENCE_S", 60.0)
    training.step(asked=True)
    assert training.saver.wait()
    assert training.durable() == 4


def test_a_writer_at_work_is_not_silent_however_long_a_step_takes(training: Training) -> None:
    training.step(asked=True)
    wait_until(lambda: training.durable() == 1)  # what it said meanwhile lies there, unheard
    hand_of(training)._silence_s = 1e6
    training.step()
    assert training.warnings() == []
    assert training.saver.wait()


def test_a_training_that_was_suspended_with_its_writer_does_not_kill_it(training: Training) -> None:
    """By Slurm, or a laptop's lid: then the trainer may be the first to wake up."""
    training.stop_writer()
    training.step(asked=True)
    hand_of(training)._seen_s -= 3600.0
    training.step()
    assert training.saver.busy
    os.kill(training.pid, signal.SIGCONT)
    assert training.saver.wait()
    assert training.warnings() == []


def test_a_writer_that_cannot_even_be_killed_does_not_hold_training_up(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that waits for a disk or a network file system that does not answer any more."""
    monkeypatch.setattr(background, "KILL_PATIENCE_S", 0.1)
    training.stop_writer()
    stuck, process = training.pid, hand_of(training)._writer
    assert process is not None
    monkeypatch.setattr(process._process, "kill", lambda: None)
    training.step(asked=True)
    training.saver.hand.give_up()
    training.step(asked=True)
    assert training.pid != stuck
    assert training.saver.wait()
    assert training.durable() == 3
    os.kill(stuck, signal.SIGKILL)


def test_tables_that_are_not_copied_ahead_in_time_are_copied_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTSPOT_PROGRESS", str(tmp_path / "progress"))
    table = torch.nn.Embedding(1000, 4, sparse=True)
    states = {"model": table, "optimizer": torch.optim.SparseAdam(table.parameters())}
    with Session(states, folder=tmp_path / "checkpoints", interval_s=3600, copy_ahead=True) as session:
        session.restore()
        session.step(0.0)
        saver = session._saver
        assert saver is not None
        hand = saver.hand
        assert isinstance(hand, Background)
        hand._be_ready()
        assert hand._writer is not None
        os.kill(hand._writer._process.pid, signal.SIGSTOP)
        monkeypatch.setattr(saving, "SILENCE_S", 0.1)
        session._asked, count = True, 1
        while not saver.busy:
            session.step(float(count))
            time.sleep(0.01)
            count += 1
        monkeypatch.setattr(saving, "SILENCE_S", 60.0)
        assert saver.wait()
    (warning,) = lines(tmp_path / "progress", "warning")
    assert warning["message"].startswith("tables could not be copied ahead: the writer process is gone")
    assert manifest.newest_valid(tmp_path / "checkpoints") is not None


def test_memory_of_a_save_that_an_interrupt_took_from_its_waiter_is_not_reused_under_the_writer(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.stop_writer()
    first, hand = training.pid, hand_of(training)
    tell = background._Process.save

    def interrupted(*given: Any) -> None:
        tell(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(background._Process, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        training.step(asked=True)
    monkeypatch.setattr(background._Process, "save", tell)
    assert not training.saver.busy
    training.step(asked=True)
    assert hand._writer is not None
    assert training.pid != first
    assert training.saver.wait()
    training.session.__exit__(None, None, None)
    assert [line["units_done"] for line in lines(training.progress, "checkpoint")] == [3]
    assert restored(training.checkpoints)["weights"].unique().tolist() == [3.0]


def test_a_writer_that_dies_under_a_snapshot_is_a_failed_save_and_leaves_no_descriptor(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a training takes SIGPIPE by its default, as scripts that write to pipes do."""
    training.step(asked=True)
    training.saver.wait()
    hand, before = hand_of(training), len(open_files())
    take = hand._snapshot.take

    def deadly(*given: Any) -> Any:
        os.kill(training.pid, signal.SIGKILL)
        os.waitid(os.P_PID, training.pid, os.WEXITED | os.WNOWAIT)
        return take(*given)

    monkeypatch.setattr(hand._snapshot, "take", deadly)
    usual = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        training.step(asked=True)
    finally:
        signal.signal(signal.SIGPIPE, usual)
    monkeypatch.setattr(hand._snapshot, "take", take)
    assert training.saver.failed_saves == 1
    assert len(training.warnings()) == 1
    training.step(asked=True)
    assert training.saver.wait()
    assert training.durable() == 3
    assert len(open_files()) == before


def test_a_forked_child_that_leaves_the_block_takes_nothing_from_the_training(training: Training) -> None:
    training.stop_writer()
    training.step(asked=True)
    child = os.fork()
    if child == 0:
        training.session.__exit__(None, None, None)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    os.kill(training.pid, signal.SIGCONT)
    assert training.saver.wait()
    assert training.durable() == 2
    assert training.warnings() == []
