"""A right file becomes checked settings; how it is written does not matter, and what it says does."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import datetime, time, timezone
from pathlib import Path

import pytest

from nightspot.jobfile import JobFile, check_fits, load_job, plan_night
from nightspot.jobfile.document import Document
from tests.jobfile.files import EVENING_UTC, JOB, job_in, written
from tests.jobfile.requests import REQUEST

MANUAL = (Path(__file__).parents[2] / "docs" / "job-file.md").read_text("utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", MANUAL, re.DOTALL)


def test_a_file_is_known_by_the_name_the_user_gave_and_its_paths_count_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs" / "training").mkdir(parents=True)
    written(tmp_path / "jobs")
    monkeypatch.chdir(tmp_path)
    job_file = load_job("jobs/night.toml", ["directory=training"])
    assert job_file.file == "jobs/night.toml"
    assert job_file.path == tmp_path / "jobs" / "night.toml"
    assert (job_file.base, job_file.directory) == (tmp_path / "jobs", tmp_path / "jobs" / "training")
    assert job_file.name == "demo"


def test_a_tilde_is_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path)
    assert load_job("~/night.toml", ["directory=~"]).directory == tmp_path


def test_a_byte_order_mark_and_line_ends_of_windows_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "night.toml"
    path.write_bytes(b"\xef\xbb\xbf" + JOB.replace("\n", "\r\n").encode())
    assert load_job(path).document == job_in(tmp_path).document


def test_short_forms_mean_their_tables(tmp_path: Path) -> None:
    short = job_in(tmp_path, "policy=greedy", "artifact=model.pt", "command=python 'my train.py' -v").document
    long = job_in(
        tmp_path, 'policy={name="greedy"}', 'artifact={path="model.pt"}', 'command=["python", "my train.py", "-v"]'
    ).document
    assert short.policy_table == long.policy_table
    assert short.artifact_table == long.artifact_table
    assert short.command == long.command == ["python", "my train.py", "-v"]


@pytest.mark.parametrize("setting", ["8:00", '"08:00:00"', "08:00:00", '" 08:00 "'])
def test_a_time_of_day_may_be_written_in_several_ways(tmp_path: Path, setting: str) -> None:
    assert job_in(tmp_path, f"deadline.at={setting}").document.deadline.at == time(8)


@pytest.mark.parametrize("setting", ["2026-11-25T08:00:00Z", '"2026-11-25T08:00z"', '"2026-11-25 09:00+01:00"'])
def test_a_date_may_be_written_in_several_ways(tmp_path: Path, setting: str) -> None:
    at = job_in(tmp_path, f"deadline.at={setting}").document.deadline.at
    assert at == datetime(2026, 11, 25, 8, tzinfo=timezone.utc)


def test_what_was_read_cannot_be_changed(tmp_path: Path) -> None:
    job_file = job_in(tmp_path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        job_file.file = "other"  # type: ignore[misc]  # that is the claim
    with pytest.raises(ValueError, match="frozen"):
        job_file.document.name = "other"


def test_nothing_is_written_by_reading(tmp_path: Path) -> None:
    path = written(tmp_path)
    load_job(path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text("utf-8") == JOB


def whole(block: str) -> str:
    """An example of the manual as a whole file: a piece of one replaces that piece of ours."""
    if "name =" in block:
        return block
    return block + "\n".join([JOB.partition("[work]")[0], "[deadline]", JOB.partition("[deadline]")[2]])


def with_request(folder: Path, block: str) -> Path:
    """The folder, with a request in it where the example names one."""
    if "request.json" in block:
        (folder / "request.json").write_text(json.dumps(REQUEST))
    return folder


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0] for block in BLOCKS])
def test_every_example_of_the_manual_can_be_run_tonight(tmp_path: Path, block: str) -> None:
    job_file = load_job(written(with_request(tmp_path, block), whole(block)))
    night = plan_night(job_file, EVENING_UTC, folder_of=tmp_path.joinpath)
    check_fits(night.job, job_file.file, night.start_utc, night.deadline_utc)
    assert night.job.work.total_s == 4 * 3600


def test_the_manual_has_a_whole_example_and_its_setting_changes_do_work(tmp_path: Path) -> None:
    example = next(block for block in BLOCKS if "name =" in block)
    settings = re.findall(r"--set (\S+=[^\s`]+)", MANUAL.partition("nightspot run ")[2])
    documents = [load_job(written(tmp_path, example), [setting]).document for setting in settings]
    unchanged = load_job(written(tmp_path, example)).document
    assert len(settings) >= 3
    assert all(document != unchanged for document in documents)


def test_the_manual_says_every_error_as_it_is(tmp_path: Path) -> None:
    shown = re.search(r"^nightspot\.toml: (pools\[1\].*)$", MANUAL, re.MULTILINE)
    assert shown is not None
    with pytest.raises(Exception, match=re.escape(shown[1])):
        load_job(written(tmp_path, JOB.replace("price = 3.0", "prise = 3.06\nprice = 3.0")))


def test_a_document_is_equal_however_it_came_about(tmp_path: Path) -> None:
    job_file = job_in(tmp_path)
    again = Document.model_validate(
        {
            "name": "demo",
            "command": ["{python}", "train.py"],
            "work": {"units": 20, "unit": "epoch", "each": "12min"},
            "deadline": {"start": time(20), "at": time(8), "timezone": "Europe/Berlin"},
            "pools": [
                {"id": "spot", "market": "spot", "price": 1},
                {"id": "backup", "market": "on-demand", "price": 3.0},
            ],
        }
    )
    assert job_file == JobFile(job_file.file, job_file.path, again, tmp_path)
