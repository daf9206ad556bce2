"""`nightspot run` in simulated worlds: what it prints, what it ends with, and what a second one does."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from nightspot.market.trace import NEVER
from nightspot.night.ports import Finding
from tests.cli.conftest import Cli
from tests.cli.nights import FakeWorlds, hours_from_now, simulated_job
from tests.night.worlds import trace

PlayIn = Callable[[FakeWorlds], FakeWorlds]
CONTRACT = {
    "run_id", "outcome", "late", "deadline_utc", "finished_utc", "attempts", "interruptions", "lost_work_s", "cost_usd",
    "on_demand_cost_usd", "model_sha256",
}  # fmt: skip
OF_ATTEMPTS = {"number", "pool", "market", "outcome", "started_utc", "ended_utc", "billable_s", "cost_usd"}


def test_a_night_prints_last_one_object_with_all_that_others_rely_on(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds({"spot": trace(0.5, 0.75)}))
    assert cli("run", simulated_job(tmp_path), "--json") == 0
    facts = json.loads(cli.out)
    assert set(facts) >= CONTRACT
    assert all(set(attempt) >= OF_ATTEMPTS for attempt in facts["attempts"])
    assert (facts["outcome"], facts["late"], facts["interruptions"]) == ("completed", False, 1)
    assert facts["deadline_utc"].endswith("Z")
    assert facts["model_sha256"] == "simulated"


def test_the_same_command_again_reports_the_night_and_plays_nothing(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds())
    job = simulated_job(tmp_path)
    first = cli.json("run", job)
    assert cli("run", job) == 0
    assert "is over" in cli.err
    assert first["run_id"] in cli.out
    assert cli.json("report") == first


def test_fresh_plays_the_night_again_as_another_run(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds())
    job = simulated_job(tmp_path)
    ids = [cli.json("run", job, *fresh)["run_id"] for fresh in ([], ["--fresh"], ["--fresh"])]
    assert ids[1:] == [f"{ids[0]}-2", f"{ids[0]}-3"]
    assert cli.json("run", job)["run_id"] == ids[2]


def test_fresh_without_a_first_night_is_the_first_night(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds())
    job = simulated_job(tmp_path)
    assert cli.json("run", job, "--fresh")["run_id"] == cli.json("run", job)["run_id"]


def test_a_night_that_is_late_says_so_and_ends_with_3(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    """On-demand takes far longer to start than its bound says: nobody could have known."""
    play_in(FakeWorlds(lead_s=1.5 * 3600.0))
    assert cli("run", simulated_job(tmp_path, hours=3.0)) == 3
    assert "completed LATE" in cli.out
    assert "Yesterday's model." in cli.out


def test_a_night_without_any_capacity_ends_with_5(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds({"spot": NEVER, "od": NEVER}))
    assert cli("run", simulated_job(tmp_path)) == 5
    assert "no capacity" in cli.out


def test_a_night_whose_time_is_up_ends_with_6(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    """It trained a little, and then there was nothing any more."""
    play_in(FakeWorlds({"spot": trace(0.5), "od": NEVER}))
    assert cli("run", simulated_job(tmp_path)) == 6


def test_a_night_that_fails_for_good_ends_with_4(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds({"od": trace(0.3, 0.4, 0.6)}))
    assert cli("run", simulated_job(tmp_path, policy="on-demand", more="[limits]\nattempts = 2\n")) == 4
    assert "limit of 2 attempts" in cli.out


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("units = 10", "units = -1", "work.units"),
        ("price = 1.0", "prise = 1.0", "prise"),
        ('market = "on-demand"', 'market = "spot"', "no on-demand pool"),
    ],
)
def test_a_bad_job_file_is_one_line_ends_with_8_and_starts_nothing(
    cli: Cli, tmp_path: Path, play_in: PlayIn, right: str, wrong: str, said: str
) -> None:
    worlds = play_in(FakeWorlds())
    job = simulated_job(tmp_path)
    job.write_text(job.read_text().replace(right, wrong))
    assert cli("run", job) == 8
    assert said in cli.err
    assert cli.err.count("\n") == 1
    assert worlds.backend is None
    assert not (cli.home / "attempts").exists() or not list((cli.home / "attempts").iterdir())


def test_work_that_does_not_fit_tonight_starts_nothing(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds())
    assert cli("run", simulated_job(tmp_path, hours=1.5)) == 8
    assert "does not fit" in cli.err
    assert cli.json("history") == []


def test_what_a_backend_finds_fatal_starts_nothing_and_what_it_finds_odd_is_said(
    cli: Cli, tmp_path: Path, play_in: PlayIn
) -> None:
    play_in(FakeWorlds(findings=[Finding("there is no such program", "Name another.", fatal=True)]))
    assert cli("run", simulated_job(tmp_path)) == 8
    assert "there is no such program" in cli.err
    assert cli.json("history") == []
    play_in(FakeWorlds(findings=[Finding("the disk is nearly full", "Make room.")]))
    assert cli("run", simulated_job(tmp_path)) == 0
    assert "the disk is nearly full" in cli.out


def test_plain_lines_tell_the_night_in_the_jobs_own_time(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds({"spot": trace(0.5, 0.75)}))
    assert cli("run", simulated_job(tmp_path)) == 0
    for said in ("begins: 10 epochs", "attempt 1 on spot trains, from 0 of 10 epochs", "interrupted", "run completed"):
        assert said in cli.out
    assert cli.err.startswith("WARNING: resume was never proven") and cli.err.count("\n") == 1


def test_with_json_the_lines_go_to_stderr(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds())
    cli("run", simulated_job(tmp_path), "--json")
    assert "run completed" in cli.err
    json.loads(cli.out)


def test_set_changes_one_key_for_this_command(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds())
    assert cli.json("run", simulated_job(tmp_path), "--set", "work.units=3", "--set", "policy=on-demand")["units"] == 3


def left_open(cli: Cli, job: Path, play_in: PlayIn, monkeypatch: pytest.MonkeyPatch, *words: str) -> FakeWorlds:
    """A night whose controller died at its first nap, its first Attempt just launched."""

    class Died(BaseException):
        pass

    def die(_nap: int) -> None:
        raise Died

    worlds = play_in(FakeWorlds(on_nap=die))
    with pytest.raises(Died):
        cli("run", job, *words)
    worlds.on_nap = None
    cli.capture.readouterr()
    return worlds


def test_a_dead_controllers_night_goes_on_and_doubles_nothing(
    cli: Cli, tmp_path: Path, play_in: PlayIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = simulated_job(tmp_path)
    left_open(cli, job, play_in, monkeypatch)
    [row] = cli.json("status")
    assert (row["pool"], row["attempt"], row["controller_pid"]) == ("spot", 1, None)
    facts = cli.json("run", job)
    assert "goes on" in cli.err
    assert (facts["outcome"], len(facts["attempts"])) == ("completed", 1)
    assert "asked for" not in cli.err, "what the first controller told is not told again"
    assert "attempt 1 on spot completed" in cli.err, "and yet not forgotten"


def test_a_changed_program_does_not_go_on_with_another_ones_night(
    cli: Cli, tmp_path: Path, play_in: PlayIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = simulated_job(tmp_path)
    left_open(cli, job, play_in, monkeypatch)
    assert cli("run", job, "--set", "command=cat") == 8
    assert "began with true" in cli.err
    assert "--fresh" in cli.err
    assert cli("run", job, "--set", "command=cat", "--fresh", "--plain") == 0
    assert "is open, too, and may bill" in cli.err


def test_an_open_night_is_not_paid_for_twice_by_a_moved_deadline(
    cli: Cli, tmp_path: Path, play_in: PlayIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = simulated_job(tmp_path)
    left_open(cli, job, play_in, monkeypatch)
    assert cli("run", job, "--set", f"deadline.at={hours_from_now(9.0)}") == 8
    assert "is open with another deadline" in cli.err


def at_time(monkeypatch: pytest.MonkeyPatch, worlds: FakeWorlds, utc: float) -> None:
    """Let it be later, for the commands and for the world."""
    monkeypatch.setattr(time, "time", lambda: utc)
    assert worlds.clock is not None
    worlds.clock.utc = utc


def test_a_forgotten_night_is_closed_before_the_next_one_begins(
    cli: Cli, tmp_path: Path, play_in: PlayIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = simulated_job(tmp_path)
    worlds = left_open(cli, job, play_in, monkeypatch)
    assert worlds.clock is not None
    at_time(monkeypatch, worlds, worlds.clock.utc + 24 * 3600)
    simulated_job(tmp_path, hours=8.0)
    assert cli("run", job) == 0
    assert "closing it first" in cli.err
    assert [night["outcome"] for night in cli.json("history")] == ["completed", "completed"]


def test_a_dated_night_that_is_over_is_reported_after_its_deadline(
    cli: Cli, tmp_path: Path, play_in: PlayIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = simulated_job(tmp_path)
    worlds = play_in(FakeWorlds())
    first = cli.json("run", job)
    at_time(monkeypatch, worlds, time.time() + 30 * 24 * 3600)
    assert cli.json("run", job) == first


def test_a_dated_night_that_nobody_played_is_an_error_after_its_deadline(
    cli: Cli, tmp_path: Path, play_in: PlayIn
) -> None:
    play_in(FakeWorlds())
    assert cli("run", simulated_job(tmp_path, hours=-1.0)) == 8
    assert "ago" in cli.err


def told(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_hooks_run_once_each_and_say_what_happened(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    said = tmp_path / "said"
    line = f'echo "$NIGHTSPOT_OUTCOME $NIGHTSPOT_MESSAGE" >> {said}'
    hooks = f"[hooks]\nsuccess = '''{line}'''\nfailure = '''{line}'''\nrisk = '''{line}'''\nrisk_slack = \"20h\"\n"
    play_in(FakeWorlds())
    job = simulated_job(tmp_path, more=hooks)
    facts: Any = cli.json("run", job)
    cli.json("run", job)
    assert sorted(line.split()[0] for line in told(said)) == ["completed", "risk"]
    assert "Yesterday's model." in next(line for line in told(said) if line.startswith("risk"))
    assert {hook["kind"] for hook in facts["hooks"]} == {"hook:risk", "hook:success"}


def test_a_hook_that_a_dying_controller_did_not_run_is_run_by_the_next(
    cli: Cli, tmp_path: Path, play_in: PlayIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "said"
    play_in(FakeWorlds({"spot": NEVER, "od": NEVER}))
    job = simulated_job(tmp_path, more=f'[hooks]\nfailure = "echo $NIGHTSPOT_OUTCOME >> {said}"\n')
    with monkeypatch.context() as dying:
        dying.setattr("nightspot.cli.hooks.HookRunner._run", lambda *_: None)
        cli("run", job)
    assert told(said) == []
    assert cli("run", job) == 5
    assert told(said) == ["no-capacity"]
