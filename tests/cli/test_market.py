"""`nightspot market`: what is learned of Spot capacity is kept, shown, drawn, and put into tonight's job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nightspot.cli.home import Home
from nightspot.cli.learning import knowledge_if_any, knowledge_of, taught
from nightspot.errors import ExitCode
from nightspot.market.climate import Climate
from nightspot.model.capacity import Market, Pool
from nightspot.model.job import Job, PolicyChoice, Training, Work
from nightspot.night.journal import MemoryJournal
from tests.cli.conftest import Cli

SPOT = Pool("spot", "sagemaker", Market.SPOT, 10.0, instance_type="ml.p4d.24xlarge", place="us-east-1")
DEAR = Pool("dear", "sagemaker", Market.ON_DEMAND, 33.0, instance_type="ml.p4d.24xlarge", place="us-east-1")
JOB = Job("learns", Training(("true",)), Work(4.0, "hour", 3600.0), (SPOT, DEAR), PolicyChoice("reserve"))
KEY = "sagemaker:us-east-1:ml.p4d.24xlarge"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return recorded(tmp_path / "zone-a.json", seed=1)


def recorded(path: Path, seed: int) -> Path:
    ticks = Climate(seed, zones=(1,)).ticks(14, 600.0)[0]
    path.write_text(json.dumps({"metadata": {"gap_seconds": 600}, "data": [int(tick) for tick in ticks]}))
    return path


def test_what_was_fitted_is_kept_and_shown_with_its_source(cli: Cli, trace: Path) -> None:
    assert cli("market", "fit", trace) == 0
    assert "market.json" in cli.err
    (row,) = cli.json("market", "show")
    assert row["pool"] == "zone-a"
    assert row["watched_h"] > 300
    assert 0 < row["available"] < 1
    assert len(row["loss_per_hour"]) == len(row["ages_h"]) == 8
    assert "trace zone-a.json" in row["source"]


def test_each_pool_has_its_own_and_all_are_drawn_towards_each_other(cli: Cli, tmp_path: Path, trace: Path) -> None:
    assert cli("market", "fit", trace, recorded(tmp_path / "zone-b.json", seed=2)) == 0
    rows = cli.json("market", "show")
    assert [row["pool"] for row in rows] == ["zone-a", "zone-b"]
    assert "of other pools" in rows[0]["source"]


def test_the_same_trace_does_not_count_twice_unless_it_replaces_what_was(cli: Cli, trace: Path) -> None:
    cli("market", "fit", trace)
    (before,) = cli.json("market", "show")
    assert cli("market", "fit", trace) == ExitCode.USAGE
    assert "count it twice" in cli.err
    assert cli("market", "fit", trace, "--replace") == 0
    assert cli.json("market", "show") == [before]


def test_tonights_job_gets_the_rates_of_its_pool_and_on_demand_gets_none(cli: Cli, trace: Path) -> None:
    assert all(pool.flips is None for pool in taught(JOB, MemoryJournal()).pools)
    cli("market", "fit", trace, "--pool", KEY)
    spot, dear = taught(JOB, MemoryJournal(), knowledge_of(Home(cli.home))).pools
    assert spot.flips is not None
    assert "of this pool" in spot.flips.source
    assert dear.flips is None


def test_a_jobs_pools_are_shown_as_tonight_would_plan_with_them(cli: Cli, trace: Path, tmp_path: Path) -> None:
    cli("market", "fit", trace)
    assert cli("init", tmp_path / "job.toml") == 0
    rows = cli.json("market", "show", tmp_path / "job.toml")
    assert rows
    assert all("of other pools" in row["source"] for row in rows)


def test_nothing_fitted_says_so(cli: Cli) -> None:
    assert cli("market", "show") == 0
    assert "nothing was fitted yet" in cli.err
    assert cli.json("market", "show") == []


def test_it_is_drawn(cli: Cli, trace: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib")
    cli("market", "fit", trace)
    assert cli("market", "show", "--picture", tmp_path / "market.svg") == 0
    drawn = (tmp_path / "market.svg").read_text()
    assert "zone-a" in drawn
    assert "still there after" in drawn


def test_a_price_history_needs_a_cap(cli: Cli, tmp_path: Path) -> None:
    price = {"AvailabilityZone": "us-east-1a", "InstanceType": "p4d.24xlarge", "ProductDescription": "Linux/UNIX"}
    times = [("2023-10-01T10:00:00Z", "10.1"), ("2023-10-03T10:00:00Z", "40"), ("2023-10-04T10:00:00Z", "9")]
    entries = [{**price, "SpotPrice": usd, "Timestamp": at} for at, usd in times]
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"SpotPriceHistory": entries}))
    assert cli("market", "fit", path) == ExitCode.BAD_JOB_FILE
    assert "--price-cap" in cli.err
    assert cli("market", "fit", path, "--price-cap", "32.77") == 0
    assert [row["pool"] for row in cli.json("market", "show")] == ["us-east-1a p4d.24xlarge"]


@pytest.mark.parametrize(
    ("content", "wrong"),
    [(None, "cannot be read"), (b"\xff\xfe\x00", "it is no text"), (b'{"data": [1]}', "metadata.gap_seconds")],
)
def test_what_is_no_trace_is_one_clear_line(cli: Cli, tmp_path: Path, content: bytes | None, wrong: str) -> None:
    path = tmp_path / "trace.json"
    if content is not None:
        path.write_bytes(content)
    assert cli("market", "fit", path) == ExitCode.BAD_JOB_FILE
    assert wrong in cli.err and "is missing: cannot" not in cli.err
    assert cli.err.count("\n") == 1


def test_a_damaged_file_of_ours_is_said_by_name_and_nothing_is_lost(cli: Cli, trace: Path) -> None:
    cli("market", "fit", trace)
    kept = cli.home / "market.json"
    kept.write_text(kept.read_text()[:100])
    assert cli("market", "show") == ExitCode.BAD_JOB_FILE
    assert "market.json" in cli.err
    before = kept.read_text()
    assert cli("market", "fit", trace) == ExitCode.BAD_JOB_FILE
    assert kept.read_text() == before


def test_a_picture_is_refused_before_anything_is_done_where_it_cannot_be_one(cli: Cli, tmp_path: Path) -> None:
    assert cli("market", "show", "--picture", tmp_path / "market.txt") == ExitCode.USAGE


def test_a_damaged_file_of_ours_keeps_no_night_from_being_run(cli: Cli, tmp_path: Path) -> None:
    cli("init", tmp_path / "job.toml")
    cli.home.mkdir(exist_ok=True)
    (cli.home / "market.json").write_text("{")
    rows = cli.json("doctor", tmp_path / "job.toml")
    (row,) = [row for row in rows if row["about"] == "market"]
    assert row["mark"] == "wrong"
    assert "market.json" in row["what"]
    said: list[str] = []
    assert knowledge_if_any(Home(cli.home), said.append) == {}
    assert "goes on without it" in said[0]
