"""Who a process is, and who belongs to it: pids are given out again, and the dead are not yet buried."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
from pathlib import Path

from nightspot.process.identity import Identity, identify, stat_fields
from nightspot.process.tree import bearers, descendants, kill_until_none, session_of
from tests.process.stage import wait_for

FORK = multiprocessing.get_context("fork")


def test_an_identity_is_one_process_and_not_whoever_has_its_pid_later() -> None:
    me = identify(os.getpid())
    assert me is not None
    assert me.alive()
    assert not Identity(me.boot_id, me.pid, me.start_ticks + 1).alive()
    assert not Identity("another-boot", me.pid, me.start_ticks).alive()
    assert not Identity("another-boot", me.pid, me.start_ticks).send(signal.SIGKILL)
    assert Identity.from_json(json.loads(json.dumps(me.as_json()))) == me


def test_one_that_is_dead_and_not_buried_is_dead() -> None:
    process = FORK.Process(target=os._exit, args=(0,))
    process.start()
    pid = process.pid
    assert pid is not None
    identity = identify(pid)
    assert identity is not None
    wait_for(lambda: (stat_fields(pid) or "Z")[0] == "Z")
    assert not identity.alive()
    process.join()
    assert stat_fields(pid) is None


def test_a_command_with_blanks_and_brackets_in_its_name_is_read_right(tmp_path: Path) -> None:
    shutil.copy("/bin/sleep", tmp_path / "a) R (b")
    process = os.posix_spawn(str(tmp_path / "a) R (b"), ["x", "60"], {})
    try:
        fields = stat_fields(process)
        assert fields is not None
        assert int(fields[1]) == os.getpid()
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def test_nobody_is_in_the_session_of_a_pid_that_was_given_out_again() -> None:
    # A session of its own: the one that runs the tests may have lost its leader, or have it in another pid namespace.
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        leader = identify(process.pid)
        assert leader is not None
        assert session_of(leader) == {process.pid}
        assert session_of(Identity(leader.boot_id, leader.pid, leader.start_ticks + 1)) == set()
        assert session_of(Identity("another-boot", leader.pid, leader.start_ticks)) == set()
        process.kill()


def test_descendants_are_all_generations_and_nobody_else() -> None:
    process = FORK.Process(target=os.execv, args=("/bin/sh", ["sh", "-c", "(sleep 60; true) & wait"]))
    process.start()
    assert process.pid is not None
    pid = process.pid
    try:
        wait_for(lambda: len(descendants(pid)) == 2)
        assert descendants(pid) < descendants(os.getpid())
        assert pid in descendants(os.getpid())
        assert os.getpid() not in descendants(os.getpid())
    finally:
        for one in [*descendants(pid), pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        process.join()


def test_whose_a_process_is_is_told_by_the_whole_path_of_its_progress_file(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in ("run-1", "run-11")]
    given = [{"A": "b", "NIGHTSPOT_PROGRESS": str(home), "NIGHTSPOT_TOKEN": "the-same"} for home in homes]
    sleepers = [os.posix_spawn("/bin/sleep", ["sleep", "60"], one) for one in given]
    try:
        wait_for(lambda: bearers(homes[1]))
        assert bearers(homes[0]) == {sleepers[0]}
        assert bearers(tmp_path / "run-") == set()
    finally:
        for sleeper in sleepers:
            os.kill(sleeper, signal.SIGKILL)
            os.waitpid(sleeper, 0)


def test_killing_gives_up_after_its_budget_and_says_so() -> None:
    assert kill_until_none(set, lambda: None, 1.0)
    assert not kill_until_none(lambda: {2**22 - 1}, lambda: None, 0.05)
