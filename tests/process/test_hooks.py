"""Hooks tell somebody; whatever they do, the night goes on."""

from __future__ import annotations

import os
import time
from pathlib import Path

from nightspot.process.hooks import HookCall, run_hook
from tests.process.stage import wait_for

CALL = HookCall("run-1", "completed", "the model is ready; it's 'fine' $HOME")


def test_a_hook_is_told_what_happened_in_its_environment(tmp_path: Path) -> None:
    told = tmp_path / "told"
    said = run_hook(f'printf "%s|%s|%s" "$NIGHTSPOT_RUN_ID" "$NIGHTSPOT_OUTCOME" "$NIGHTSPOT_MESSAGE" > {told}', CALL)
    assert said == "the hook ran"
    assert told.read_text() == "run-1|completed|the model is ready; it's 'fine' $HOME"


def test_a_hook_that_fails_is_told_of_with_what_it_said() -> None:
    assert run_hook("echo no network >&2; exit 7", CALL) == "the hook failed with code 7: no network"
    assert run_hook("echo sent", CALL) == "the hook ran: sent"


def test_a_hook_that_says_much_is_cut_short() -> None:
    said = run_hook("head -c 1000000 /dev/zero | tr '\\0' x", CALL)
    assert len(said) < 400
    assert said.endswith("...")


def test_a_hook_that_hangs_is_killed_with_all_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    began_s = time.monotonic()
    said = run_hook(f"sleep 300 & echo $! > {pid}; wait", CALL, timeout_s=0.5)
    assert "longer than 0.5 s" in said
    assert time.monotonic() - began_s < 5.0
    number = int(pid.read_text())
    wait_for(lambda: not _runs(number))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state not in ("Z", "X")


def test_what_left_the_hooks_group_does_not_hold_up_the_night() -> None:
    began_s = time.monotonic()
    said = run_hook("setsid sleep 5 & sleep 300", CALL, timeout_s=0.5)
    assert "killed" in said
    assert time.monotonic() - began_s < 4.0


def test_a_hook_that_cannot_be_run_is_told_of() -> None:
    assert run_hook("a\0b", CALL).startswith("the hook could not be run")
    assert "failed with code 127" in run_hook("no-such-program-at-all", CALL)
