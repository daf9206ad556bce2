"""When an Attempt ends and why, and what is made of it: arithmetic and a table, no processes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from nightspot.process.ending import Endings, grace_s
from nightspot.process.markettime import MarketTime
from nightspot.process.spec import AttemptSpec
from nightspot.process.verdict import Done, Past, described, judge, last_words

SPEC = AttemptSpec(
    token="run-n-001",
    run_id="run",
    number=1,
    pool_id="spot",
    price_usd_per_hour=1.0,
    command=("true",),
    directory="/",
    environment={"A": "b"},
    anchor_market_utc=0.0,
    anchor_real_utc=0.0,
    time_scale=1.0,
    launched_utc=0.0,
    ready_utc=0.0,
    taken_utc=1000.0,
    notice_s=120.0,
    grace_s=20.0,
    not_after_utc=5000.0,
    checkpoint_dir="/c",
    lineage={"job": "j"},
)


def test_a_spec_comes_back_from_its_file_as_it_was_endless_times_included() -> None:
    endless = replace(SPEC, taken_utc=math.inf, not_after_utc=math.inf, silent_utc=math.inf)
    for spec in (SPEC, endless):
        assert AttemptSpec.from_json(spec.as_json()) == spec


def test_the_market_gives_notice_once_and_kills_later() -> None:
    endings = Endings.of(SPEC)
    assert endings.notice(879.9) is None
    given = endings.notice(880.0)
    assert given is not None and (given.reason, given.kill_utc) == ("interruption", 1000.0)
    assert endings.notice(881.0) is None
    assert endings.killer(999.9) is None
    killer = endings.killer(1000.0)
    assert killer is not None and killer.reason == "interruption"


def test_without_notice_there_is_only_the_kill() -> None:
    endings = Endings.of(replace(SPEC, notice_s=0.0))
    assert endings.notice(1000.0) is None
    assert endings.killer(1000.0) is not None


def test_its_own_limit_gives_notice_before_it_and_kills_at_it() -> None:
    endings = Endings.of(replace(SPEC, taken_utc=math.inf))
    given = endings.notice(4980.0)
    assert given is not None and (given.reason, given.kill_utc) == ("limit", 5000.0)
    assert endings.killer(5000.0) == given


def test_a_stop_that_kills_later_than_the_market_is_not_told_but_one_that_kills_earlier_is() -> None:
    endings = Endings.of(SPEC)
    endings.notice(990.0)
    endings.stop(990.0, 20.0)
    assert endings.notice(990.0) is None
    earlier = Endings.of(SPEC)
    earlier.notice(880.0)
    earlier.stop(885.0, 20.0)
    given = earlier.notice(885.0)
    assert given is not None and given.kill_utc == 905.0
    assert earlier.given[0].reason == "interruption"


def test_a_stop_said_again_does_not_put_off_the_kill() -> None:
    endings = Endings.of(SPEC)
    endings.stop(100.0, 20.0)
    endings.stop(119.0, 20.0)
    killer = endings.killer(120.0)
    assert killer is not None and killer.reason == "stop"


def test_the_next_thing_due_is_the_next_in_time() -> None:
    endings = Endings.of(SPEC)
    assert [endings.next_utc(now) for now in (0.0, 880.0, 1000.0, 5000.0)] == [880.0, 1000.0, 4980.0, math.inf]


@pytest.mark.parametrize(("scale", "expected_s"), [(1.0, 20.0), (60.0, 120.0), (0.5, 20.0)])
def test_however_fast_time_passes_a_process_gets_two_real_seconds_to_save(scale: float, expected_s: float) -> None:
    assert grace_s(replace(SPEC, time_scale=scale)) == expected_s


DONE = Done({"loss": 0.1})
CASES = [
    (Past(0), "succeeded", False),
    (Past(0, done=DONE), "succeeded", False),
    (Past(0, "interruption", DONE), "succeeded", False),
    (Past(0, "stop", DONE), "succeeded", False),
    (Past(0, "interruption"), "taken", False),
    (Past(0, "stop"), "stopped", False),
    (Past(75, "interruption"), "taken", False),
    (Past(75, "stop"), "stopped", False),
    (Past(75, "limit"), "stopped", False),
    (Past(75), "failed", False),
    (Past(78), "failed", True),
    (Past(78, "interruption"), "failed", True),
    (Past(1), "failed", False),
    (Past(1, "interruption"), "taken", False),
    (Past(137), "failed", False),
    (Past(137, "interruption"), "taken", False),
    (Past(None, "interruption"), "taken", False),
    (Past(None, "stop"), "stopped", False),
    (Past(None, fault="there is no program"), "failed", True),
    (Past(0, done=Done({"loss": math.nan})), "failed", True),
    (Past(0, done=Done({"loss": math.inf})), "failed", True),
]


@pytest.mark.parametrize(("past", "kind", "final"), CASES, ids=str)
def test_what_is_made_of_how_it_ended(past: Past, kind: str, final: bool) -> None:
    verdict = judge(past)
    assert (verdict.kind, verdict.final) == (kind, final)
    assert verdict.detail or kind in ("succeeded", "taken", "stopped")


def test_a_failure_says_what_the_program_said_last() -> None:
    assert judge(Past(1), "CUDA out of memory").detail == "exit code 1; it said: CUDA out of memory"
    assert "loss = nan" in judge(Past(0, done=Done({"loss": math.nan}))).detail


def test_a_signal_is_named() -> None:
    assert described(137).startswith("killed by SIGKILL")
    assert described(139).startswith("killed by SIGSEGV")
    assert described(255) == "exit code 255"


def test_the_last_words_are_the_last_lines_and_short(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    assert last_words(log) == ""
    log.write_bytes(b"first\n" * 10_000 + b"\xff second \n\n third\nfourth\n")
    assert last_words(log) == "� second | third | fourth"
    log.write_text("x" * 100_000)
    assert len(last_words(log)) == 400


def test_market_time_does_not_move_with_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = MarketTime(1000.0, __import__("time").time(), 60.0)
    before = clock.now_utc()
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert before <= clock.now_utc() < before + 60.0


def test_market_time_is_compressed_and_needs_to_go_forward() -> None:
    clock = MarketTime(0.0, 0.0, 60.0)
    assert (clock.real_s(120.0), clock.market_s(2.0)) == (2.0, 120.0)
    for scale in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="time_scale"):
            MarketTime(0.0, 0.0, scale)
