"""The commands that look, and the errors every command may meet."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Callable

import pytest

from nightspot.cli import app as app_module
from nightspot.cli.app import globals_first
from nightspot.cli.home import Home
from nightspot.market.trace import NEVER
from tests.cli.conftest import Cli
from tests.cli.nights import FakeWorlds, simulated_job
from tests.night.worlds import trace

PlayIn = Callable[[FakeWorlds], FakeWorlds]


def test_init_writes_a_job_file_that_loads_and_never_overwrites_one(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "shop" / "nightspot.toml"
    assert cli("init", file) == 0
    assert f"nightspot run {file}" in cli.out
    assert 'name = "shop"' in file.read_text()
    file.write_text("mine")
    assert cli("init", file) == 2
    assert "--force" in cli.err
    assert file.read_text() == "mine"
    assert cli("init", file.parent, "--force", "--name", "Other Job") == 0
    assert 'name = "other-job"' in file.read_text()


def test_schema_is_json_that_knows_the_keys(cli: Cli) -> None:
    assert cli("schema") == 0
    assert {"name", "command", "pools", "deadline"} <= set(json.loads(cli.out)["properties"])


def test_before_the_first_night_looking_says_so_and_makes_nothing(cli: Cli) -> None:
    assert cli("status") == 0
    assert "no run is open" in cli.out
    assert cli("history") == 0
    assert "no runs yet" in cli.out
    assert cli("report") == 11
    assert "nothing has been run yet" in cli.err
    assert not cli.home.exists()


def test_history_lists_the_nights_of_one_job_the_latest_so_many(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds({"spot": trace(0.5, 0.75)}))
    job = simulated_job(tmp_path)
    for _ in range(3):
        cli("run", job, "--fresh")
    assert [night["run_id"][-2:] for night in cli.json("history", "--limit", 2)] == ["-2", "-3"]
    assert cli.json("history", "--job", "other") == []
    cli("history", "--job", "sim")
    assert cli.out.count("completed") == 3


def test_report_shows_every_attempt_and_decision(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds({"spot": trace(0.5, 0.75)}))
    cli("run", simulated_job(tmp_path))
    assert cli("report", "sim-") == 0
    for said in (
        "completed in time",
        "interrupted",
        "Spot is there",
        "no Spot: waiting for it",
        "Decisions",
        "Lineage",
    ):
        assert said in cli.out


def test_a_run_is_found_by_its_beginning_its_job_file_or_last(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds())
    job = simulated_job(tmp_path)
    first = cli.json("run", job)["run_id"]
    second = cli.json("run", job, "--fresh")["run_id"]
    assert cli.json("report", job)["run_id"] == second
    assert cli.json("report", "last")["run_id"] == second
    assert cli.json("report", first)["run_id"] == first, "a whole id is no mere beginning"
    assert cli("report", "sim") == 11
    assert "is the beginning of 2 runs" in cli.err
    assert cli("report", first.replace("sim", "sum")) == 11
    assert first in cli.err, "the nearest is named"
    other = tmp_path / "other.toml"
    other.write_text('name = "other"')
    assert cli("report", other) == 11


def test_status_of_a_closed_run_points_to_its_report(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds({"spot": NEVER}))
    cli("run", simulated_job(tmp_path))
    assert cli("status", "last") == 0
    assert "is closed: completed" in cli.out
    assert cli.json("status", "last") == []


def test_logs_of_what_left_none_say_so(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds())
    cli("run", simulated_job(tmp_path))
    assert cli("logs") == 11
    assert "left no log on this machine" in cli.err
    assert cli("logs", "last", "--attempt", 7) == 11
    assert "has no attempt 7; it has 1" in cli.err


def test_stopping_what_is_over_changes_nothing(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds())
    facts = cli.json("run", simulated_job(tmp_path))
    assert cli.json("stop", "last")["outcome"] == "completed"
    assert cli.json("report") == facts


def journal_of_the_future(home: Path) -> None:
    home.mkdir()
    with sqlite3.connect(home / "journal.sqlite") as database:
        database.execute("PRAGMA user_version=99")


@pytest.mark.parametrize("words", [["status"], ["history"], ["report"], ["stop", "last"], ["logs"], ["run"]])
def test_a_journal_of_a_newer_nightspot_is_refused_by_every_command(cli: Cli, tmp_path: Path, words: list[str]) -> None:
    journal_of_the_future(cli.home)
    given = [*words, str(simulated_job(tmp_path))] if words == ["run"] else words
    assert cli(*given) == 10
    assert "newer nightspot" in cli.err
    assert cli.err.count("\n") == 1


def test_a_file_that_is_no_journal_is_one_line(cli: Cli) -> None:
    cli.home.mkdir()
    (cli.home / "journal.sqlite").write_text("this is no database, and long enough to be seen to be none" * 20)
    assert cli("history") == 10
    assert cli.err.startswith("nightspot: the journal")
    assert cli.err.count("\n") == 1


def test_a_fault_of_our_own_is_one_line_and_its_traceback_is_kept(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_home: Home) -> None:
        raise ZeroDivisionError("seven by nothing")

    monkeypatch.setattr(Home, "read_journal", broken)
    assert cli("history") == 1
    assert "a fault in nightspot itself: ZeroDivisionError: seven by nothing" in cli.err
    assert cli.err.count("\n") == 1
    [kept] = (cli.home / "faults").iterdir()
    assert "Traceback" in kept.read_text()
    assert str(kept) in cli.err
    cli("history", "--debug")
    assert "Traceback" in cli.err


def test_a_missing_job_file_is_one_line(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", tmp_path / "nowhere.toml") == 8
    assert cli.err.count("\n") == 1


def test_an_unknown_command_or_option_ends_with_2(cli: Cli) -> None:
    assert cli("fly") == 2
    assert cli("run", "--backwards") == 2


def test_the_version_is_printed(cli: Cli) -> None:
    assert cli("--version") == 0
    assert cli.out.startswith("nightspot ")


def test_options_of_nightspot_itself_may_stand_anywhere_before_a_double_dash() -> None:
    assert globals_first(["run", "f", "--home", "h", "--json"]) == ["--home", "h", "run", "f", "--json"]
    assert globals_first(["run", "--home=h", "--debug"]) == ["--home=h", "--debug", "run"]
    assert globals_first(["run", "--", "--home", "h"]) == ["run", "--", "--home", "h"]


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"NIGHTSPOT_HOME": "/a/b"}, "/a/b"),
        ({"XDG_STATE_HOME": "/state"}, "/state/nightspot"),
        ({"NIGHTSPOT_HOME": "", "XDG_STATE_HOME": "/state"}, "/state/nightspot"),
    ],
)
def test_the_home_is_where_the_environment_says(environ: dict[str, str], place: str) -> None:
    assert Home.of(None, environ).path == Path(place)
    assert Home.of(Path("/c"), environ).path == Path("/c")


def test_the_default_home_is_in_the_users_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home-of-somebody")
    assert Home.of(None, {}).path == Path("/home-of-somebody/.local/state/nightspot")


def test_help_flows_and_names_every_command(cli: Cli) -> None:
    assert cli("--help") == 0
    for command in ("init", "schema", "run", "status", "history", "logs", "stop", "report"):
        assert command in cli.out
    assert app_module.flowing("One\ntwo.\n\nThree.") == "One two.\n\nThree."
