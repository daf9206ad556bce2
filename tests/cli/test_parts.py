"""The controller's parts, each on its own: locks, signals, hooks, and what follows a failed step."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from nightspot.cli.home import Home
from nightspot.cli.hooks import HookRunner, due
from nightspot.cli.interrupts import Interrupts, LeaveNow, OnInterrupt
from nightspot.cli.lock import OtherControllerError, controller_pid, controlling
from nightspot.cli.troubles import FAULTS_IN_A_ROW, PAUSE_LONGEST_S, Troubles
from nightspot.cli.world import pace
from nightspot.errors import Fenced, JournalError, Unsure
from nightspot.model.change import changed
from nightspot.model.events import Limit, LimitHit
from nightspot.model.facts import facts_of
from nightspot.model.job import Hooks
from nightspot.night.journal import MemoryJournal
from nightspot.night.night import Night, Settings
from nightspot.process.hooks import HookCall
from tests.report.nights import START, opened


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    place.make()
    return place


def test_one_controller_at_a_time_and_the_next_once_it_is_gone(home: Home) -> None:
    assert controller_pid(home, "r") is None
    with controlling(home, "r"):
        assert controller_pid(home, "r") is not None
        with pytest.raises(OtherControllerError, match="pid"), controlling(home, "r", 0.0):
            pytest.fail("two at once")
        with controlling(home, "another"):
            pass
    assert controller_pid(home, "r") is None
    with controlling(home, "r"):
        pass


def test_a_probe_keeps_no_controller_away(home: Home) -> None:
    """`status` holds the lock for an instant: many of them, and a controller that starts meanwhile still does."""
    over = threading.Event()

    def probe() -> None:
        while not over.is_set():
            controller_pid(home, "r")

    with controlling(home, "r"):
        pass
    prober = threading.Thread(target=probe)
    prober.start()
    try:
        for _ in range(50):
            with controlling(home, "r"):
                pass
    finally:
        over.set()
        prober.join()


def interrupts(choice: OnInterrupt, answer: str = "") -> tuple[Interrupts, threading.Event]:
    woken = threading.Event()
    return Interrupts(choice, woken.set, lambda: answer), woken


@pytest.mark.parametrize("choice", [OnInterrupt.STOP, OnInterrupt.LEAVE])
def test_a_signal_does_what_the_flag_says(choice: OnInterrupt) -> None:
    ours, woken = interrupts(choice)
    assert ours.verdict() is None
    with ours.listening():
        signal.raise_signal(signal.SIGTERM)
    assert woken.is_set()
    assert ours.verdict() is choice


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [("s", OnInterrupt.STOP), ("Leave\n", OnInterrupt.LEAVE), ("", OnInterrupt.LEAVE), ("g", None), ("what?", None)],
)
def test_the_question_is_asked_once_and_its_answer_obeyed_once(answer: str, verdict: OnInterrupt | None) -> None:
    ours, woken = interrupts(OnInterrupt.ASK, answer)
    with ours.listening():
        signal.raise_signal(signal.SIGINT)
    woken.clear()
    assert ours.verdict() is OnInterrupt.ASK
    assert woken.wait(5.0)
    assert ours.verdict() is verdict
    if answer == "g":
        assert not ours.heard, "the next Ctrl-C asks again"


def test_a_second_ctrl_c_leaves_at_once_and_nothing_can_swallow_that() -> None:
    ours, _ = interrupts(OnInterrupt.STOP)
    with ours.listening(), pytest.raises(LeaveNow):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert not issubclass(LeaveNow, Exception)


def test_a_terminal_that_hangs_up_is_not_asked() -> None:
    ours, _ = interrupts(OnInterrupt.ASK)
    with ours.listening():
        signal.raise_signal(signal.SIGHUP)
    assert ours.verdict() is OnInterrupt.LEAVE


def test_the_signals_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interrupts(OnInterrupt.STOP)[0].listening():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_night_begun_with_nohup_outlives_its_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        ours, _ = interrupts(OnInterrupt.LEAVE)
        with ours.listening():
            signal.raise_signal(signal.SIGHUP)
        assert ours.verdict() is None
    finally:
        signal.signal(signal.SIGHUP, before)


def night_at_risk(command: str | None) -> Night:
    begun = opened()
    job = changed(begun.job, hooks=Hooks(risk=command))
    night = Night.begin(MemoryJournal(), changed(begun, job=job), Settings())
    night.record(LimitHit(START, Limit.RISK, "slack is low"))
    return night


def test_a_risk_is_told_beside_the_loop_and_recorded_once_it_was() -> None:
    night, called, go = night_at_risk("page me"), [], threading.Event()
    woken = threading.Event()

    def run(command: str, call: HookCall) -> str:
        assert go.wait(5.0)
        called.append((command, call.outcome, call.message))
        return "the hook ran"

    runner = HookRunner(woken.set, run)
    facts = facts_of(night.journal.read("shop-1"))
    runner.look(night, facts, START)
    runner.look(night, facts, START + 1)
    assert due(night.state) == "risk", "not told before it ran: whoever takes over runs it"
    go.set()
    assert woken.wait(5.0)
    runner.look(night, facts, START + 2)
    runner.look(night, facts, START + 3)
    assert called == [("page me", "risk", "slack is low. The shop shows yesterday's list.")]
    assert due(night.state) is None
    assert [h.message for h in facts_of(night.journal.read("shop-1")).hooks] == ["the hook ran"]


def test_no_hook_is_due_where_the_job_has_none() -> None:
    assert due(night_at_risk(None).state) is None


def test_a_passing_fault_is_waited_out_longer_each_time_and_its_traceback_kept(tmp_path: Path) -> None:
    said: list[str] = []
    troubles = Troubles(tmp_path / "faults", said.append)
    waits = [troubles.happened(ValueError("odd"), in_vain=False) for _ in range(FAULTS_IN_A_ROW)]
    assert waits[:3] == [1.0, 2.0, 4.0]
    assert max(waits) == PAUSE_LONGEST_S
    assert "ValueError: odd" in said[0]
    assert list((tmp_path / "faults").iterdir())
    with pytest.raises(ValueError, match="odd"):
        troubles.happened(ValueError("odd"), in_vain=False)
    troubles.over()
    assert troubles.happened(ValueError("odd"), in_vain=False) == 1.0


def test_a_journal_or_backend_in_trouble_is_tried_until_it_would_be_in_vain(tmp_path: Path) -> None:
    troubles = Troubles(tmp_path, lambda _: None)
    for _ in range(5 * FAULTS_IN_A_ROW):
        troubles.happened(JournalError("the disk is full"), in_vain=False)
        troubles.happened(Unsure("no answer"), in_vain=False)
    with pytest.raises(JournalError):
        troubles.happened(JournalError("the disk is full"), in_vain=True)


def test_another_controller_is_no_passing_fault(tmp_path: Path) -> None:
    with pytest.raises(Fenced):
        Troubles(tmp_path, lambda _: None).happened(Fenced("too late"), in_vain=False)


def test_the_loop_reacts_within_what_the_guard_plans_with() -> None:
    assert (pace(1.0, 5.0).reaction_s, pace(1.0, 5.0).retry_s) == (15.0, 60.0)
    assert (pace(600.0, 0.25).reaction_s, pace(600.0, 0.25).sweep_s) == (450.0, 450.0)
