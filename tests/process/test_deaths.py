"""Whoever dies, and whenever: one supervisor for each token, nothing left running, and LOST only once that is certain."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time

import pytest

from nightspot.backends import local
from nightspot.errors import Unsure
from nightspot.night.ports import EndKind, Handle, Refused
from nightspot.process import loss, spawn
from nightspot.process.files import read_json
from nightspot.process.folder import AttemptFolder
from nightspot.process.identity import Identity, boot_id, identify
from nightspot.process.tree import bearers
from tests.process.stage import RUN_ID, Show, Stage, wait_for
from tests.process.trainers import SPEAKS, command, program

FORK = multiprocessing.get_context("fork")
# Starts one that stays in the group, and one that leaves group, session and, the second time, the environment behind.
BREEDS = """
    import os, signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    nap = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"]
    found = [subprocess.Popen(nap)]
    found.append(subprocess.Popen(nap, start_new_session=True))
    if "--bare" in sys.argv:
        found.append(subprocess.Popen(nap, start_new_session=True, env={}))
        found.append(subprocess.Popen(nap, env={}))
    open("pids.tmp", "w").write(" ".join(str(p.pid) for p in [*found]) + f" {os.getpid()}")
    os.rename("pids.tmp", "pids")
    while not os.path.exists("leave"):
        time.sleep(0.01)
"""


def family(stage: Stage) -> list[Identity]:
    """Everybody BREEDS has brought into the world, and itself."""
    text = wait_for(lambda: (stage.folder / "pids").exists() and (stage.folder / "pids").read_text())
    return [found for pid in text.split() if (found := identify(int(pid))) is not None]


def supervisor_of(show: Show) -> Identity:
    return Identity.from_json(read_json(show.folder.supervisor))


def test_killing_the_supervisor_kills_the_training_and_only_then_it_is_lost(stage: Stage) -> None:
    show = stage.launch(SPEAKS, 1e6, 0.05)
    show.until(lambda report: report.units_done >= 2)
    child = Identity.from_json(read_json(show.folder.child))
    supervisor_of(show).send(signal.SIGKILL)
    wait_for(lambda: not child.alive())  # the kernel's doing: nobody has looked yet
    ended = show.to_the_end()
    assert ended.kind is EndKind.LOST
    assert "supervisor is gone" in ended.detail
    assert show.look().units_done >= 2
    assert stage.backend().poll(show.handle, 0, stage.now_utc() + 999).ended == ended
    assert list(stage.backend().live(RUN_ID)) == []


@pytest.mark.parametrize("bare", [(), ("--bare",)])
def test_when_the_supervisor_is_killed_those_that_left_the_group_die_before_it_is_called_lost(
    stage: Stage, bare: tuple[str, ...]
) -> None:
    show = stage.launch(BREEDS, *bare)
    everybody = family(stage)
    stranger = (
        everybody[2] if bare else None
    )  # left session and environment: nobody but a living supervisor can know it
    supervisor_of(show).send(signal.SIGKILL)
    try:
        assert show.to_the_end().kind is EndKind.LOST
        assert [one for one in everybody if one.alive() and one != stranger] == []
    finally:
        if stranger is not None:
            stranger.send(signal.SIGKILL)


@pytest.mark.parametrize("word", ["stop", "exit"])
def test_nobody_outlives_the_attempt_wherever_he_has_gone(stage: Stage, word: str) -> None:
    show = stage.launch(BREEDS, "--bare")
    everybody = family(stage)
    assert len(everybody) == 5
    if word == "stop":
        show.tell("stop")
    else:
        (stage.folder / "leave").touch()
    ended = show.to_the_end()
    assert ended.kind is (EndKind.STOPPED if word == "stop" else EndKind.SUCCEEDED)
    assert [one for one in everybody if one.alive()] == []


@pytest.mark.parametrize("after_s", [0.0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15])
def test_a_supervisor_killed_at_any_moment_leaves_nobody(stage: Stage, after_s: float) -> None:
    show = stage.launch(BREEDS)
    time.sleep(after_s)
    supervisor_of(show).send(signal.SIGKILL)
    assert show.to_the_end().kind is EndKind.LOST
    assert bearers(show.folder.progress) == set()
    assert list(stage.backend().live(RUN_ID)) == []


def test_what_cannot_be_killed_is_not_called_lost(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    show = stage.launch(SPEAKS, 1e6, 0.05)
    supervisor_of(show).send(signal.SIGKILL)
    wait_for(lambda: not supervisor_of(show).alive())
    monkeypatch.setattr(loss, "BUDGET_S", 0.1)
    monkeypatch.setattr(loss, "remains", lambda _folder: {2**22 - 1})
    with pytest.raises(Unsure, match="cannot be killed"):
        show.look()
    assert [handle.token for handle in stage.backend().live(RUN_ID)] == [show.handle.token]
    monkeypatch.undo()
    assert show.to_the_end().kind is EndKind.LOST


def test_after_a_reboot_it_is_lost_and_whoever_has_the_pids_now_is_left_alone(stage: Stage) -> None:
    folder = AttemptFolder(stage.home / "attempts" / f"{RUN_ID}-nonce-001")
    folder.make()
    folder.spec.write_text(json.dumps({**_spec_of(stage), "token": folder.token}))
    bystander = os.posix_spawn("/bin/sleep", ["sleep", "60"], {}, setsid=True)
    try:
        now = identify(bystander)
        assert now is not None
        before = Identity("before-the-reboot", now.pid, now.start_ticks).as_json()
        folder.supervisor.write_text(json.dumps(before))
        folder.child.write_text(json.dumps(before))
        handle = stage.backend().find(folder.token)
        assert handle is not None
        report = stage.backend().poll(handle, 0, stage.now_utc())
        assert report.ended is not None
        assert report.ended.kind is EndKind.LOST
        assert now.alive()
        assert now.boot_id == boot_id()
    finally:
        os.kill(bystander, signal.SIGKILL)
        os.waitpid(bystander, 0)


def _spec_of(stage: Stage) -> dict[str, object]:
    other = stage.launch("pass", number=9)
    other.to_the_end()
    document: dict[str, object] = read_json(other.folder.spec)
    return document


def test_a_supervisor_that_gives_no_sign_is_neither_alive_nor_dead(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = stage.launch(SPEAKS, 1e6, 0.05)
    show.until(lambda report: report.units_done >= 1)
    supervisor = supervisor_of(show)
    supervisor.send(signal.SIGSTOP)
    monkeypatch.setattr(local, "SILENT_S", 0.3)
    time.sleep(0.5)
    with pytest.raises(Unsure, match="no sign"):
        show.look()
    supervisor.send(signal.SIGCONT)
    time.sleep(0.3)
    monkeypatch.undo()
    assert show.look().ended is None


def test_a_fault_of_the_supervisor_ends_everything_and_is_told(stage: Stage) -> None:
    stage.options = {"launch_delay_s": 60.0}
    show = stage.launch(BREEDS)
    show.folder.child.mkdir()  # where its child's identity would be written
    try:
        ended = show.to_the_end()
    finally:
        show.folder.child.rmdir()
    assert ended.kind is EndKind.LOST
    assert "its supervisor failed" in ended.detail
    assert "Traceback" in show.folder.log.read_text()
    wait_for(lambda: bearers(show.folder.progress) == set())  # the supervisor itself is on its way out


def test_an_attempt_whose_folder_is_deleted_ends_and_is_lost(stage: Stage) -> None:
    show = stage.launch(BREEDS)
    everybody, supervisor = family(stage), supervisor_of(show)
    shutil.rmtree(show.folder.path, ignore_errors=True)
    wait_for(lambda: not supervisor.alive())
    assert [one for one in everybody if one.alive()] == []
    shutil.rmtree(show.folder.path, ignore_errors=True)
    report = stage.backend().poll(show.handle, 0, stage.now_utc())
    assert report.ended is not None
    assert report.ended.kind is EndKind.LOST


def _launch_and_tell(stage: Stage, words: tuple[str, ...], gate: object) -> None:
    gate.wait()  # type: ignore[attr-defined]
    stage.backend().launch(stage.spec(words), stage.now_utc())


# Says who it is, in a file of its own, before anything else.
COUNTS = """
    import os, sys, time
    open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
    time.sleep(600)
"""


def test_of_many_controllers_that_launch_one_token_at_once_one_training_comes(stage: Stage) -> None:
    seen = stage.folder / "seen"
    seen.mkdir()
    words, gate = command(program(stage.folder, COUNTS), seen), FORK.Event()
    controllers = [FORK.Process(target=_launch_and_tell, args=(stage, words, gate)) for _ in range(6)]
    for controller in controllers:
        controller.start()
    gate.set()
    for controller in controllers:
        controller.join(60)
        assert controller.exitcode == 0
    wait_for(lambda: list(seen.iterdir()))
    time.sleep(0.5)
    assert len(list(seen.iterdir())) == 1
    assert len(stage.backend().live(RUN_ID)) == 1


@pytest.mark.parametrize("after_s", [0.0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12])
def test_a_controller_killed_while_it_launches_leaves_one_training_or_none_for_ever(
    stage: Stage, after_s: float
) -> None:
    seen = stage.folder / "seen"
    seen.mkdir()
    words, gate = command(program(stage.folder, COUNTS), seen), FORK.Event()
    controller = FORK.Process(target=_launch_and_tell, args=(stage, words, gate))
    controller.start()
    gate.set()
    time.sleep(after_s)
    controller.kill()
    controller.join()
    asked = stage.spec(words)
    handle = stage.backend().find(asked.token)
    if handle is None:
        assert isinstance(stage.backend().launch(asked, stage.now_utc()), Refused)
        time.sleep(0.4)  # a supervisor on its way would have come by now
        assert list(seen.iterdir()) == []
        assert list(stage.backend().live(RUN_ID)) == []
    else:
        assert stage.backend().launch(asked, stage.now_utc()) == handle
        wait_for(lambda: list(seen.iterdir()))
        time.sleep(0.2)
        assert len(list(seen.iterdir())) == 1


def test_the_training_goes_on_when_its_controllers_group_is_killed(stage: Stage) -> None:
    words, gate = command(program(stage.folder, SPEAKS), 20, 0.05), FORK.Event()

    def lead() -> None:
        os.setsid()
        _launch_and_tell(stage, words, gate)
        time.sleep(600)

    controller = FORK.Process(target=lead)
    controller.start()
    gate.set()
    folder = AttemptFolder(stage.home / "attempts" / stage.spec(words).token)
    wait_for(folder.supervisor.exists)
    assert controller.pid is not None
    os.killpg(controller.pid, signal.SIGKILL)
    controller.join()
    handle = stage.backend().find(folder.token)
    assert handle is not None
    assert Show(stage, stage.backend(), handle).to_the_end().kind is EndKind.SUCCEEDED


def test_a_late_supervisor_of_a_token_given_up_does_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its interpreter took longer to start than the controller waited."""
    late = []
    monkeypatch.setattr(spawn, "_start", lambda folder, _budget_s: late.append(folder))
    monkeypatch.setattr(spawn, "BUDGET_S", 0.1)
    monkeypatch.setattr(local, "begin", lambda folder, spec: spawn.begin(folder, spec, 0.1))
    asked = stage.spec(command(program(stage.folder, SPEAKS), 1, 0.01))
    with pytest.raises(Unsure, match="has not begun"):
        stage.backend().launch(asked, stage.now_utc())
    assert stage.backend().find(asked.token) is None
    monkeypatch.undo()
    spawn._start(late[0], 20.0)
    time.sleep(0.4)
    assert not late[0].supervisor.exists()
    assert not late[0].news.exists()
    bill = stage.backend().bill(Handle(asked.token, "pool"), stage.now_utc() + 3600.0)
    assert bill is not None
    assert bill.billable_s == 0.0


@pytest.mark.parametrize("held_s", [0.5, 3.0])
def test_a_short_look_at_the_lock_keeps_nobody_from_beginning_and_whoever_holds_it_on_does(
    stage: Stage, held_s: float
) -> None:
    folder = AttemptFolder(stage.home / "attempts" / f"{RUN_ID}-nonce-001")
    folder.make()
    folder.spec.write_text(json.dumps({**_spec_of(stage), "token": folder.token}))
    with folder.locked():
        spawn._start(folder, 10.0)
        time.sleep(held_s)
        assert not folder.supervisor.exists()
    if held_s < 2.0:
        wait_for(folder.exit.exists)
    else:
        time.sleep(0.5)
        assert not folder.supervisor.exists()


def test_a_supervisor_that_is_about_to_begin_is_found_and_one_that_never_did_is_settled(stage: Stage) -> None:
    folder = AttemptFolder(stage.home / "attempts" / f"{RUN_ID}-nonce-001")
    folder.make()
    backend = stage.backend()
    with folder.locked():
        handle = backend.find(folder.token)
        assert handle is not None
        assert backend.poll(handle, 0, stage.now_utc()).ended is None
    ended = backend.poll(handle, 0, stage.now_utc()).ended
    assert ended is not None
    assert (ended.kind, ended.detail) == (EndKind.LOST, "it never began")
    bill = backend.bill(handle, stage.now_utc())
    assert bill is not None
    assert bill.billable_s == 0.0


def test_a_handle_outlives_the_backend_object(stage: Stage) -> None:
    show = stage.launch(SPEAKS, 2, 0.02)
    assert isinstance(show.handle, Handle)
    again = Show(stage, stage.backend(), Handle(show.handle.token, "pool", show.handle.name))
    assert again.to_the_end().kind is EndKind.SUCCEEDED
