"""`nightspot backtest`: what is printed, for people and programs, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nightspot.cli.backtesting import DEFAULT
from nightspot.cli.backtestoptions import each_named
from nightspot.errors import ExitCode
from nightspot.market.generator import Generator
from tests.cli.conftest import Cli

KEYS = {"nights", "late", "mean_cost", "mean_cost_on_demand", "mean_cost_omniscient", "captured", "p95_cost"}
QUICK = ("--policy", "greedy", "--every", "6h", "--jobs", "1")


def write_trace(path: Path, seed: int, days: float = 2.0) -> Path:
    weather = Generator(seed).trace(0.0, days * 86400.0)
    data = [int(weather.up(n * 600.0)) for n in range(int(days * 144))]
    path.write_text(json.dumps({"metadata": {"gap_seconds": 600}, "data": data}))
    return path


@pytest.fixture
def traces(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "pools"
    folder.mkdir()
    return [write_trace(folder / f"zone-{name}.json", seed) for seed, name in enumerate("abc")]


def test_the_json_has_each_policy_with_all_its_keys(cli: Cli, traces: list[Path]) -> None:
    found = cli.json("backtest", *traces, *QUICK, "--policy", "reserve")
    assert list(found["policies"]) == ["greedy", "reserve"]
    for policy in found["policies"].values():
        assert set(policy) == KEYS
        assert policy["late"] == 0 and policy["nights"] == 3 * 7
        assert policy["mean_cost_omniscient"] <= policy["mean_cost"] <= policy["p95_cost"]
        assert policy["mean_cost_on_demand"] == pytest.approx(4.05)
    assert cli.err == ""


def test_without_a_policy_all_the_usual_ones_are_played(cli: Cli, traces: list[Path]) -> None:
    assert cli("backtest", traces[0], "--every", "12h", "--jobs", "1") == 0
    for name in (*DEFAULT, "best possible", "captured"):
        assert name in cli.out


def test_a_folder_is_the_traces_in_it_and_several_windows_are_played(cli: Cli, traces: list[Path]) -> None:
    found = cli.json("backtest", traces[0].parent, *QUICK, "--window", "5h,8h")
    assert found["traces"] == ["zone-a", "zone-b", "zone-c"]
    assert [window["window_s"] for window in found["windows"]] == [5 * 3600.0, 8 * 3600.0]
    nights = [window["policies"]["greedy"]["nights"] for window in found["windows"]]
    assert found["policies"]["greedy"]["nights"] == sum(nights)


def test_what_the_shell_makes_of_a_pattern_after_fit_is_fitted_on_and_not_judged(cli: Cli, traces: list[Path]) -> None:
    found = cli.json("backtest", traces[0], "--fit", traces[1], traces[2], *QUICK)
    assert found["traces"] == ["zone-a"]
    assert found["fitted_on"].startswith("fitted on 2 traces")
    assert each_named(["a", "--fit", "b", "c", "--json", "d"]) == ["a", "--fit", "b", "--fit", "c", "--json", "d"]
    assert each_named(["--fit=b", "c"]) == ["--fit=b", "c"]


def test_who_judges_what_was_fitted_is_warned(cli: Cli, traces: list[Path]) -> None:
    assert cli("backtest", traces[0], "--fit", traces[0], *QUICK) == 0
    assert "WARNING: fitted on, too: zone-a.json" in cli.err


def test_pools_of_one_market_are_one_set_of_nights(cli: Cli, traces: list[Path]) -> None:
    found = cli.json("backtest", *traces, *QUICK, "--multi-pool", "--leave-one-out")
    assert found["multi_pool"] and found["policies"]["greedy"]["nights"] == 7


def test_what_a_backend_can_do_is_said_and_makes_no_policy_late(cli: Cli, traces: list[Path]) -> None:
    abilities = ("--visibility", "request", "--second-request", "--handover", "30s", "--redo", "5m")
    found = cli.json("backtest", *traces, "--every", "9h", "--jobs", "1", "--overhead", "15m", *abilities)
    assert (found["visibility"], found["second_request"]) == ("request", True)
    assert (found["handover_s"], found["redo_s"]) == (30.0, 300.0)
    assert {policy["late"] for policy in found["policies"].values()} == {0}
    plain = cli.json("backtest", *traces, "--every", "9h", "--jobs", "1", "--overhead", "15m", "--policy", "greedy")
    best = "mean_cost_omniscient"  # is without the abilities
    assert plain["policies"]["greedy"][best] == found["policies"]["greedy"][best]
    assert plain["policies"]["greedy"]["mean_cost"] < found["policies"]["greedy"]["mean_cost"]
    assert cli("backtest", traces[0], *QUICK, *abilities) == 0
    assert "handover in 30s" in " ".join(cli.out.split())


def test_counts_need_a_number_and_prices_a_cap(cli: Cli, tmp_path: Path) -> None:
    counts = tmp_path / "counts.json"
    counts.write_text(json.dumps({"metadata": {"gap_seconds": 3600}, "data": [0, 4, 2] * 16}))
    assert cli("backtest", counts, *QUICK) == ExitCode.BAD_JOB_FILE
    two, five = (cli.json("backtest", counts, *QUICK, "--need", n)["policies"]["greedy"] for n in (2, 5))
    assert two["mean_cost"] < five["mean_cost"] == pytest.approx(4.05)


def test_the_picture_is_drawn(cli: Cli, traces: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "cost.svg"
    assert cli("backtest", traces[0], *QUICK, "--window", "5h,8h", "--picture", path) == 0
    drawn = path.read_text()
    assert "best possible" in drawn and "greedy" in drawn and "5h" in drawn


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--window", "4h"), "too short for 4h of work and 3min of start-up"),
        (("--window", "8h,8h"), "twice"),
        (("--window", "8"), "no unit"),
        (("--tick", "0s"), "expected 1s or more"),
        (("--every", "0h"), "expected 1s or more"),
        (("--policy", "lucky"), "there is no policy 'lucky'"),
        (("--from", "0.9"), "no night of 8h fits"),
        (("--from", "0.5", "--to", "0.5"), "no night"),
        (("--window", "60h"), "no night of 2d12h fits"),
        (("--leave-one-out",), "no others to fit on"),
        (("--leave-one-out", "--fit", "nowhere.json"), "--fit"),
        (("--fit", "nowhere.json"), "nowhere.json cannot be read"),
        (("--picture", "cost.gif"), "expected a name that ends in"),
        (("--spot-price", "-1"), "--spot-price"),
        (("--from", "1.5"), "--from"),
        (("--to", "nan"), "--to"),
        (("--visibility", "dark"), "expected free or request"),
        (("--second-request",), "--visibility request"),
        (("--redo", "5"), "--redo"),
        (("--on-demand-price", "inf"), "--on-demand-price"),
    ],
)
def test_what_makes_no_sense_is_said_with_the_option_and_ends_with_2(
    cli: Cli, traces: list[Path], words: tuple[str, ...], said: str
) -> None:
    assert cli("backtest", traces[0], *words) == ExitCode.USAGE
    assert said in " ".join(cli.err.replace("│", " ").split()) and "Traceback" not in cli.err
    assert cli.out == ""


def test_a_file_that_is_no_trace_is_named_with_its_field(cli: Cli, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"metadata": {"gap_seconds": 600}, "data": [0, "?"]}')
    assert cli("backtest", bad) == ExitCode.BAD_JOB_FILE
    assert "bad.json: data[1]" in cli.err
    assert cli("backtest", tmp_path / "none.json") == ExitCode.USAGE
    empty = tmp_path / "empty"
    empty.mkdir()
    assert cli("backtest", empty) == ExitCode.USAGE
    assert "no trace in it" in " ".join(cli.err.replace("│", " ").split())  # wrapped, as long as its path is


def test_a_file_without_anything_is_said_to_be_empty(cli: Cli, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.json"
    nothing.write_text("\n")
    assert cli("backtest", nothing) == ExitCode.BAD_JOB_FILE
    assert "nothing.json: the file = '': it is empty" in cli.err


def test_a_trace_that_is_fitted_on_or_given_twice_is_warned_of_by_name(cli: Cli, traces: list[Path]) -> None:
    assert cli("backtest", traces[0], traces[1], "--fit", traces[0], *QUICK) == 0
    assert "WARNING: fitted on, too: zone-a.json;" in cli.err
    assert "fitted on 1 trace:" in " ".join(cli.out.split())
    assert cli("backtest", traces[0], traces[1], traces[0], "--leave-one-out", *QUICK) == 0
    assert "WARNING: given twice: zone-a.json;" in cli.err


def test_nothing_is_a_negative_nothing(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "two-hours.json"
    path.write_text(json.dumps({"metadata": {"gap_seconds": 180}, "data": [1] * 40 + [0] * 440}))
    assert cli("backtest", path, "--policy", "greedy", "--every", "24h", "--jobs", "1") == 0
    assert "$2.700" in cli.out  # 2 h on Spot, 3 minutes of them start-up; then 2.1 h on on-demand
    assert "-0.0 %" not in cli.out
