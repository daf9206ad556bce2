"""`nightspot why`: the reason of what a run holds, and what else it would cost, out of the Journal."""

from __future__ import annotations

from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Callable

import pytest
from rich.console import Console

from nightspot.report.why import BeliefRow, ChoiceRow, Why
from nightspot.report.why import why as why_text
from tests.cli.conftest import Cli
from tests.cli.nights import FakeWorlds, simulated_job
from tests.night.worlds import trace

PlayIn = Callable[[FakeWorlds], FakeWorlds]


@pytest.fixture
def night(cli: Cli, tmp_path: Path, play_in: PlayIn) -> tuple[Cli, str]:
    """Spot for half an hour, none after that but for a moment."""
    play_in(FakeWorlds({"spot": trace(0.5, 0.75, 0.8)}))
    return cli, str(cli.json("run", simulated_job(tmp_path, hours=4.0, policy="planned"))["run_id"])


def moment(cli: Cli, run_id: str, hours: float) -> str:
    """So long after it first decided."""
    first = min(decision["at_utc"] for decision in cli.json("report", run_id)["decisions"])
    return (datetime.fromisoformat(first.replace("Z", "+00:00")) + timedelta(hours=hours)).isoformat()


def test_it_tells_what_each_choice_would_cost_at_a_time(night: tuple[Cli, str]) -> None:
    cli, run_id = night
    early = cli.json("why", run_id, "--at", moment(cli, run_id, 0.25))
    assert early["holds"] == ["spot"]
    assert early["policy"] == "planned"
    costs = {row["choice"]: row["expected_usd"] for row in early["choices"]}
    assert set(costs) == {"spot", "od", "nothing"}
    assert costs["spot"] == min(cost for cost in costs.values() if cost is not None)
    assert [row["choice"] for row in early["choices"] if row["taken"]] == ["spot"]
    assert [(row["sight"], row["up"]) for row in early["beliefs"]] == [("up", 1.0)]
    assert early["slack_s"] > 0


def test_a_closed_run_is_shown_as_it_last_decided(night: tuple[Cli, str]) -> None:
    cli, run_id = night
    last = cli.json("why", run_id)
    decided = cli.json("report", run_id)["decisions"][-1]
    assert last["at_utc"] == decided["at_utc"]
    assert last["why"] == decided["why"]


def test_it_is_written_for_people(night: tuple[Cli, str]) -> None:
    cli, run_id = night
    assert cli("why", run_id, "--at", moment(cli, run_id, 0.25)) == 0
    for said in ("holds", "spot", "because", "slack", "expected cost from here on", "the cheapest", "Spot pool"):
        assert said in cli.out


def test_another_policy_has_its_reason_and_no_costs(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds())
    cli("run", simulated_job(tmp_path, policy="greedy"))
    found = cli.json("why")
    assert (found["choices"], found["why"]) == ([], "Spot is there")


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("soon", "is no time"),
        ("25:00", "is no time"),
        ("2001-01-01T00:00", "not open yet"),
        ("2101-01-01T00:00", "was over by then"),
    ],
)
def test_a_time_that_is_none_is_one_clear_error(night: tuple[Cli, str], at: str, said: str) -> None:
    cli, run_id = night
    assert cli("why", run_id, "--at", at) == 2
    assert said in cli.err.replace("\n", " ")


def test_what_the_guard_would_not_allow_is_said() -> None:
    rows = (ChoiceRow("on-demand", 2.0, True), ChoiceRow("nothing", None, False))
    unseen = (BeliefRow("spot", "unknown", 60.0, 3600.0, 0.25, "41 nights"),)
    of = Why("r", 0.0, 9e3, "planned", (), "because", "guard", 0.0, None, None, 60.0, 0.0, rows, unseen, "UTC")
    console = Console(width=120, file=StringIO())
    console.print(why_text(of))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for said in ("not allowed by the guard", "not seen for 1h", "25%", "41 nights", "as long as nothing changes"):
        assert said in text
