"""`nightspot doctor` and `nightspot iam`, and prices that a night must ask for."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Callable

import pytest

from nightspot.backends.simulated import SimulatedBackends
from nightspot.cli.quoting import quoted
from nightspot.errors import JobFileError, Unsure
from nightspot.jobfile import load_job, plan_night
from nightspot.model.capacity import Pool
from nightspot.model.change import changed
from nightspot.model.job import Job, Limits
from nightspot.night.ports import Finding, Kind, Quote
from tests.cli.conftest import Cli
from tests.cli.nights import Checked, FakeWorlds, local_job, simulated_job

PlayIn = Callable[[FakeWorlds], FakeWorlds]
FINDINGS = (
    Finding("the sky is blue", kind=Kind.FINE),
    Finding("the moon was not seen", kind=Kind.UNCHECKED),
    Finding("the stove is on", "Turn it off."),
)
FATAL = Finding("the quota is 0", "Request an increase: it takes days.", fatal=True)


def test_a_good_local_night_says_what_is_fine_makes_nothing_and_ends_with_0(cli: Cli, tmp_path: Path) -> None:
    assert cli("doctor", local_job(tmp_path)) == 0
    for what in ("fits the window", "the program is there", "can be written to", "GiB are free", "clock is set"):
        assert what in cli.out
    assert "Nothing keeps the night from being run: 0 warnings, 0 not checked" in cli.out
    assert not cli.home.exists()


def test_consent_to_what_no_pool_can_do_is_said_and_to_what_one_can_is_fine(cli: Cli, tmp_path: Path) -> None:
    """On this machine capacity is seen, and nothing queues; two at once can be held."""
    both = ["--set", "policy.second_request=true", "--set", "policy.handover=true", "--json"]
    assert cli("doctor", local_job(tmp_path), *both) == 0
    told = {row["what"]: row["mark"] for row in json.loads(cli.out) if "policy." in row["what"]}
    assert set(told.values()) == {"wrong", "fine"}
    wrong = next(what for what, mark in told.items() if mark == "wrong")
    assert wrong.startswith("policy.second_request is allowed, and ")
    assert cli("doctor", local_job(tmp_path), "--json") == 0
    assert "policy." not in cli.out


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("there is no connection, or no answer in time", "Most could not be checked: there is no connection."),
        ("these credentials may not call GetRole", "Most could not be checked."),
    ],
)
def test_a_night_of_which_little_could_be_seen_is_not_called_good(
    cli: Cli, tmp_path: Path, play_in: PlayIn, why: str, said: str
) -> None:
    unseen = [
        Finding(f"{what} cannot be seen: {why}", kind=Kind.UNCHECKED) for what in ("role", "bucket", "image", "quota")
    ]
    play_in(FakeWorlds(findings=[*unseen, Finding("the clock is set", kind=Kind.FINE)]))
    assert cli("doctor", simulated_job(tmp_path)) == 0
    last = " ".join(cli.out[cli.out.index("Most") :].split())
    assert last.startswith(said)
    assert "Nothing keeps the night" not in cli.out
    assert "1 warning, 4 not checked" in last  # nothing was ever drilled


def test_what_keeps_a_local_night_from_being_run_is_fatal_and_ends_with_8(cli: Cli, tmp_path: Path) -> None:
    job = local_job(tmp_path, 6, **{"{python} train.py": "no-such-program"})
    assert cli("doctor", job) == 8
    assert cli.out.splitlines()[1].split()[0] == "fatal"
    assert "there is no program 'no-such-program'" in cli.out
    assert "Correct `command`" in cli.out
    assert "The night cannot be run so: 1 fatal finding" in cli.out


def test_the_fatal_come_first_then_warnings_then_what_was_not_checked(
    cli: Cli, tmp_path: Path, play_in: PlayIn
) -> None:
    play_in(FakeWorlds(findings=[*FINDINGS, FATAL]))
    job = simulated_job(tmp_path)
    assert cli("doctor", job) == 8
    marks = ["fatal", "wrong", "wrong", "unchecked", "fine", "fine"]
    lines = [line for line in cli.out.splitlines()[1:-1] if not line.startswith(" ")]
    assert [line.split()[0] for line in lines] == marks
    assert "1 fatal finding, 2 warnings, 1 not checked, 2 fine" in cli.out
    play_in(FakeWorlds(findings=FINDINGS))
    assert cli("doctor", job) == 0


def test_json_is_a_list_of_objects_with_the_same_code(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds(findings=[FATAL]))
    assert cli("doctor", simulated_job(tmp_path), "--json") == 8
    rows = json.loads(cli.out)
    assert rows[0] == {"mark": "fatal", "about": "local", "what": FATAL.what, "remedy": FATAL.remedy}
    assert [row["about"] for row in rows[1:]] == ["drill", "job file"]
    assert [set(row) for row in rows] == [{"mark", "about", "what", "remedy"}] * 3


def test_work_that_does_not_fit_hides_no_other_finding(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds(findings=FINDINGS))
    rows = cli.json("doctor", simulated_job(tmp_path, hours=1.5))
    assert (rows[0]["mark"], rows[0]["about"]) == ("fatal", "job file")
    assert "does not fit the window" in rows[0]["what"]
    assert "the sky is blue" in [row["what"] for row in rows]


def test_set_changes_the_job_file_for_the_doctor_too(cli: Cli, tmp_path: Path) -> None:
    assert cli("doctor", local_job(tmp_path), "--set", "command=no-such-program") == 8


@pytest.mark.parametrize(("old", "new"), [("units = 6", "units = 0"), ('market = "on-demand"', 'market = "spot"')])
def test_a_job_file_that_cannot_be_read_is_one_line(cli: Cli, tmp_path: Path, old: str, new: str) -> None:
    assert cli("doctor", local_job(tmp_path, 6, **{old: new})) == 8
    assert (cli.out, cli.err.count("\n")) == ("", 1)


def test_a_backend_that_is_not_installed_or_cannot_be_asked_is_a_finding(
    cli: Cli, tmp_path: Path, play_in: PlayIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = local_job(tmp_path, 6, **{"time_scale = 600": "", 'id = "spot"': 'id = "spot"\nbackend = "batch"'})
    job.write_text(job.read_text().replace('capacity = "always"', ""))
    rows = cli.json("doctor", job)
    (missing,) = [row for row in rows if row["about"] == "batch"]
    assert missing["what"].startswith("no backend is called 'batch'")
    assert any(row["about"] == "local" for row in rows)

    def silent(*_: object) -> list[Finding]:
        raise Unsure("no answer")

    monkeypatch.setattr(Checked, "check", silent)
    play_in(FakeWorlds())
    assert cli("doctor", simulated_job(tmp_path)) == 0
    assert "local could not be asked: no answer" in cli.out


def test_findings_that_are_fine_or_unchecked_are_no_warnings_of_a_run(
    cli: Cli, tmp_path: Path, play_in: PlayIn
) -> None:
    play_in(FakeWorlds(findings=FINDINGS))
    assert cli("run", simulated_job(tmp_path), "--json") == 0
    assert "WARNING: the stove is on. Turn it off." in cli.err
    assert "sky" not in cli.err
    assert "moon" not in cli.err


class Quoting(Checked):
    """Says prices, or does not know them."""

    quotes: dict[str, Quote] = {}  # noqa: RUF012 - each test has its own

    def quote(self, pool: Pool, _job: Job, /) -> Quote | None:
        return self.quotes.get(pool.id)


def unpriced(job: Job, **limits: float) -> Job:
    pools = [changed(pool, price_usd_per_hour=0.0, options={"price_known": False}) for pool in job.pools]
    return changed(job, pools=tuple(pools), limits=Limits(**limits))  # type: ignore[arg-type]


@pytest.fixture
def a_job(tmp_path: Path) -> Job:
    return plan_night(load_job(simulated_job(tmp_path)), time.time()).job


def ask(job: Job, quotes: dict[str, Quote]) -> tuple[Job, list[str]]:
    said: list[str] = []
    backend = Quoting({}, {})
    backend.quotes = quotes
    return quoted(SimulatedBackends(backend), job, "job.toml", 10_000.0, said.append), said


def test_a_price_in_the_job_file_is_never_asked_for(a_job: Job) -> None:
    job, said = ask(a_job, {"spot": Quote(9.0, "list"), "od": Quote(9.0, "list")})
    assert (job, said) == (a_job, [])


def test_prices_are_said_with_source_and_age_and_kept_with_the_pool(a_job: Job) -> None:
    job, said = ask(unpriced(a_job), {"spot": Quote(0.5, "a guess"), "od": Quote(1.5, "AWS's price list", 6_400.0)})
    assert [pool.price_usd_per_hour for pool in job.pools] == [0.5, 1.5]
    assert said == [
        "pool spot costs about 0.5 USD an hour: a guess",
        "pool od costs about 1.5 USD an hour: AWS's price list, 1h old",
    ]
    assert job.pool("od").options["price_as_of_utc"] == 6_400.0
    assert job.pool("spot").options["price_source"] == "a guess"


def test_what_nobody_knows_costs_nothing_and_that_is_said(a_job: Job) -> None:
    job, said = ask(unpriced(a_job, cost_usd=5.0), {})
    assert [pool.price_usd_per_hour for pool in job.pools] == [0.0, 0.0]
    assert said[0].startswith("WARNING: nobody knows what pool spot costs: its bill cannot be told")
    assert "limits.cost does not count it" in said[0]


def test_a_spend_cap_is_held_against_the_prices_that_were_found(a_job: Job) -> None:
    with pytest.raises(JobFileError, match=r"limits\.cost = 5\.0: a night wholly on od costs"):
        ask(unpriced(a_job, cost_usd=5.0), {"od": Quote(100.0, "list")})


def test_iam_of_a_local_job_is_one_line_and_no_json(cli: Cli, tmp_path: Path) -> None:
    assert cli("iam", local_job(tmp_path)) == 8
    assert cli.out == ""
    assert "no pool is on SageMaker" in cli.err
