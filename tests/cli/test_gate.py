"""The gate of `nightspot run`: a new night on Spot wants a drill that has passed, with the training as it is now."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Sequence

import pytest

from nightspot.cli import emulation, gate
from nightspot.cli.home import Home
from nightspot.drill import proof
from nightspot.drill.record import Case, CaseResult, Report, Verdict
from nightspot.errors import ExitCode
from nightspot.jobfile import JobFile, load_job, plan_night
from nightspot.model.events import RunOpened
from nightspot.model.job import Job
from nightspot.policy.names import POLICY_OPTIONS
from tests.cli.conftest import Cli
from tests.cli.nights import FakeWorlds, hours_from_now, simulated_job
from tests.examples.on_sagemaker import POOLS, SAGEMAKER, write_request

PlayIn = Callable[[FakeWorlds], FakeWorlds]
REFUSE, ON_DEMAND = "[drill]\nunproven = 'refuse'\n", "[drill]\nunproven = 'on-demand'\n"


def remember(
    cli: Cli,
    file: Path,
    *,
    cases: Sequence[Case] = tuple(Case),
    verdict: Verdict = Verdict.EXACT,
    standing: Callable[[proof.Standing], proof.Standing] = lambda now: now,
    emulated: bool = False,
    finished_utc: float = 1_800_000_000.0,
) -> None:
    """A drill of that job, as `nightspot drill` keeps it."""
    results = [CaseResult(case, verdict, 1, 1, 0, True, True, None) for case in cases]
    name = load_job(file).name
    report = Report(name, verdict, 0, tuple(results), 2, True, (), {}, None, {}, finished_utc, 1.0)
    now = standing(proof.standing_of(load_job(file), emulated=emulated))
    proof.write(cli.home, report, now, passed=proof.passes(report, allow_noise=False), emulated=emulated)


def opened(cli: Cli) -> list[Job]:
    """The Jobs of all Runs, as they were begun."""
    journal = Home(cli.home).read_journal()
    events = [record.event for run_id in journal.runs() for record in journal.read(run_id)]
    return [event.job for event in events if isinstance(event, RunOpened)]


@pytest.fixture
def job(tmp_path: Path, play_in: PlayIn) -> Path:
    """A night with one Spot Pool, whose training is two files."""
    play_in(FakeWorlds())
    for name in ("train.py", "net.py"):
        (tmp_path / name).write_text(f"# {name}\n")
    return simulated_job(tmp_path)


def strict(job: Path, table: str) -> Path:
    job.write_text(job.read_text() + table)
    return job


def test_where_nothing_was_ever_drilled_one_line_says_so_and_what_to_run(cli: Cli, job: Path) -> None:
    assert cli("run", job) == ExitCode.OK
    assert cli.err == (f"WARNING: resume was never proven: `nightspot drill {job} --home {cli.home}` takes minutes\n")
    assert [pool.id for pool in opened(cli)[0].pools] == ["spot", "od"]


def test_after_a_passed_drill_of_this_very_training_nothing_is_said(cli: Cli, job: Path) -> None:
    remember(cli, job)
    assert cli("run", job) == ExitCode.OK and cli.err == ""


def test_what_counts_is_what_the_files_hold_and_not_their_age(cli: Cli, job: Path) -> None:
    remember(cli, job)
    for path in (job.with_name("train.py"), job.with_name("net.py")):
        path.write_bytes(path.read_bytes())
        os.utime(path, (time.time() + 99, time.time() + 99))
    assert cli("run", job) == ExitCode.OK and cli.err == ""


def test_what_changed_since_is_said_by_name(cli: Cli, job: Path) -> None:
    older = lambda now: replace(now, dependencies={**now.dependencies, "torch": "1.0"})  # noqa: E731
    remember(cli, job, standing=older)
    job.with_name("net.py").write_text("another net\n")
    job.with_name("new.py").write_text("")
    cli("run", job)
    torch = proof.standing_of(load_job(job)).dependencies["torch"]
    assert f"(net.py changed, new.py is new, torch was 1.0 and is {torch})" in cli.err
    assert cli.err.count("\n") == 1


def test_of_many_changes_the_first_are_named(cli: Cli, job: Path) -> None:
    remember(cli, job)
    for number in range(7):
        job.with_name(f"part{number}.py").write_text("")
    cli("run", job)
    assert "part0.py is new, part1.py is new, part2.py is new and 4 more" in cli.err


def test_another_command_is_another_training(cli: Cli, job: Path) -> None:
    remember(cli, job)
    cli("run", job, "--set", "command=sleep 1")
    assert "(the command changed)" in cli.err


@pytest.mark.parametrize("verdict", [Verdict.DIVERGED, Verdict.WITHIN_NOISE])
def test_a_drill_that_did_not_pass_proves_nothing(cli: Cli, job: Path, verdict: Verdict) -> None:
    remember(cli, job, verdict=verdict)
    cli("run", job)
    assert f"the last drill did not pass ({verdict.value})" in cli.err


def test_nor_does_one_that_left_cases_out_which_the_job_file_asks_for(cli: Cli, job: Path) -> None:
    remember(cli, job, cases=[Case.KILL, Case.NOTICE])
    cli("run", job)
    assert "the last drill left out during-save, after-save, truncated and 4 more" in cli.err
    cli("run", strict(job, "[drill]\ncases = ['kill']\n"), "--fresh")
    assert cli.err == ""


def test_refuse_starts_nothing_and_ends_with_15_until_a_drill_has_passed(cli: Cli, job: Path) -> None:
    strict(job, REFUSE)
    assert cli("run", job) == ExitCode.NOT_PROVEN
    assert cli.err.startswith("nightspot: resume was never proven: `nightspot drill") and cli.err.count("\n") == 1
    assert opened(cli) == [] and not list((cli.home / "attempts").iterdir())
    remember(cli, job)
    assert cli("run", job) == ExitCode.OK and cli.err == ""


@pytest.mark.parametrize("policy", POLICY_OPTIONS)
def test_on_demand_plays_the_whole_night_without_spot_whatever_the_policy(
    cli: Cli, job: Path, tmp_path: Path, policy: str
) -> None:
    facts = cli.json("run", strict(simulated_job(tmp_path, policy=policy), ON_DEMAND))
    assert (facts["outcome"], facts["late"]) == ("completed", False)
    assert {attempt["pool"] for attempt in facts["attempts"]} == {"od"}
    assert "this night is on od from its beginning; left out, until a drill has passed: spot" in cli.err
    (begun,) = opened(cli)
    assert ([pool.id for pool in begun.pools], begun.policy.name) == (["od"], "on-demand")


def test_a_night_that_has_a_proof_plays_on_spot(cli: Cli, job: Path) -> None:
    remember(cli, strict(job, ON_DEMAND))
    facts = cli.json("run", job)
    assert {attempt["pool"] for attempt in facts["attempts"]} == {"spot"}


@pytest.mark.parametrize("table", ["", REFUSE, ON_DEMAND])
def test_a_job_without_spot_pools_needs_no_proof(cli: Cli, job: Path, table: str) -> None:
    strict(job, table).write_text(job.read_text().replace('market = "spot"', 'market = "on-demand"'))
    assert cli("run", job) == ExitCode.OK and cli.err == ""


def test_a_play_in_compressed_time_is_not_asked(cli: Cli, job: Path) -> None:
    words = ("--set", "time_scale=600", "--set", 'deadline.at="08:00"', "--set", 'deadline.start="20:00"')
    assert cli("run", strict(job, REFUSE), *words) == ExitCode.OK and cli.err == ""


def test_neither_is_an_emulated_night(cli: Cli, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulation, "check_emulated", lambda _: None)
    monkeypatch.setattr(emulation, "start", lambda *_: time.time())
    monkeypatch.setattr(emulation, "end", lambda *_: None)
    assert cli("run", strict(job, REFUSE), "--emulate") == ExitCode.OK
    assert "proven" not in cli.err


class Dead(BaseException):
    """The controller is killed."""


def test_a_run_that_is_open_goes_on_as_it_began(cli: Cli, job: Path, play_in: PlayIn) -> None:
    def die(nap: int) -> None:
        if nap == 1:
            raise Dead

    worlds = play_in(FakeWorlds(on_nap=die))
    with pytest.raises(Dead):
        cli("run", job)
    worlds.on_nap = None
    cli.capture.readouterr()
    facts: Any = cli.json("run", strict(job, REFUSE))
    assert facts["outcome"] == "completed" and {attempt["pool"] for attempt in facts["attempts"]} == {"spot"}
    assert "goes on as it began: `unproven` of [drill] is for new runs" in cli.err
    assert "never proven" not in cli.err and len(opened(cli)) == 1


def test_the_doctor_tells_of_the_last_drill(cli: Cli, job: Path) -> None:
    def of_drill() -> tuple[str, str]:
        (row,) = [row for row in cli.json("doctor", job) if row["about"] == "drill"]
        return row["mark"], row["what"]

    assert of_drill() == ("wrong", "resume was never proven")
    strict(job, REFUSE)
    assert of_drill() == ("fatal", "resume was never proven; `run` refuses the night")
    remember(cli, job)
    mark, what = of_drill()
    assert mark == "fine" and what.startswith("the last drill passed on Fri 15 Jan 2027 08:00 UTC, and neither")
    job.with_name("train.py").write_text("trains otherwise\n")
    assert of_drill()[0] == "fatal" and "train.py changed" in of_drill()[1]
    job.write_text(job.read_text().replace("'refuse'", "'on-demand'"))
    assert of_drill()[0] == "wrong" and of_drill()[1].endswith("; the night is played without Spot")


def test_it_has_nothing_to_say_where_nothing_is_at_stake(cli: Cli, job: Path) -> None:
    job.write_text(job.read_text().replace('market = "spot"', 'market = "on-demand"'))
    assert [row for row in cli.json("doctor", job) if row["about"] == "drill"] == []


def test_the_command_can_be_copied_whatever_the_file_is_called(cli: Cli, tmp_path: Path, play_in: PlayIn) -> None:
    play_in(FakeWorlds())
    cli("run", simulated_job(tmp_path, name="my job.toml"))
    assert f"drill '{tmp_path}/my job.toml'" in cli.err


def test_the_refusal_is_an_error_of_its_own() -> None:
    assert gate.NotProvenError("why").exit_code is ExitCode.NOT_PROVEN


ON_SAGEMAKER = """
name = "trained-there"
work = {{ units = 4, unit = "epoch", each = "4min" }}
deadline = {{ at = "{at}", timezone = "UTC" }}
[emulator]
source = "source"
"""


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A job whose Pools are SageMaker's, and whose source lies here."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source/train.py").write_text("trains\n")
    write_request(tmp_path, {"lr": "0.1"}, "train.py")
    job = tmp_path / "job.toml"
    job.write_text(ON_SAGEMAKER.format(at=hours_from_now(9)) + POOLS + SAGEMAKER)
    return job


def planned(cli: Cli, job: Path) -> tuple[Home, JobFile, Job]:
    job_file = load_job(job)
    return Home(cli.home), job_file, plan_night(job_file, time.time(), "", lambda _: cli.home / "run").job


def doubt(cli: Cli, job: Path) -> str | None:
    return gate.doubt(*planned(cli, job))


def test_a_drill_through_the_emulator_is_proof_for_pools_on_sagemaker(cli: Cli, there: Path) -> None:
    assert doubt(cli, there) == "resume was never proven"
    remember(cli, there, emulated=True)
    assert doubt(cli, there) is None


def test_it_is_none_for_other_spot_pools(cli: Cli, job: Path) -> None:
    remember(cli, job, emulated=True)
    cli("run", job)
    assert "resume was proven through the emulator alone, which says nothing of spot: " in cli.err


def test_the_source_and_the_request_are_what_was_proven(cli: Cli, there: Path) -> None:
    remember(cli, there, emulated=True)
    (there.parent / "source/train.py").write_text("trains otherwise\n")
    write_request(there.parent, {"lr": "0.2"}, "train.py")
    changed = "(the request changed, source/train.py changed)"
    assert doubt(cli, there) == f"resume is not proven for what changed since the last drill {changed}"


def test_what_either_way_of_drilling_has_passed_counts_together(cli: Cli, there: Path) -> None:
    remember(cli, there, cases=[Case.KILL], emulated=True)
    assert (doubt(cli, there) or "").startswith("the last drill left out notice, during-save")
    remember(cli, there, cases=[case for case in Case if case is not Case.KILL])
    assert doubt(cli, there) is None


@pytest.mark.parametrize("emulated", [False, True])
def test_the_later_one_has_the_last_word(cli: Cli, there: Path, emulated: bool) -> None:
    remember(cli, there, emulated=not emulated)
    remember(cli, there, emulated=emulated, verdict=Verdict.RESTARTED, finished_utc=1_800_000_001.0)
    assert doubt(cli, there) == "the last drill did not pass (RESTARTED)"


def test_where_nothing_is_said_that_could_train_here_the_emulator_is_recommended(cli: Cli, there: Path) -> None:
    (found,) = gate.finding(*planned(cli, there))
    assert f"drill {there} --emulate" in found.remedy
    remember(cli, there, emulated=True)
    (found,) = gate.finding(*planned(cli, there))
    assert found.what.startswith("the last drill passed through the emulator on ")
