"""What `nightspot init` writes runs as it stands, and so does every line of it that is commented out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.jobfile import check_fits, load_job, plan_night, starter
from nightspot.policy.names import POLICY_OPTIONS
from tests.jobfile.files import EVENING_UTC, written

OPTION = re.compile(r"# ([a-z_]+ = .*)")
OPTIONS = [line for line in starter().splitlines() if OPTION.fullmatch(line)]


def plan(folder: Path, text: str) -> str:
    """The run's id, if that file could be run tonight."""
    job_file = load_job(written(folder, text))
    night = plan_night(job_file, EVENING_UTC, folder_of=folder.joinpath)
    check_fits(night.job, job_file.file, night.start_utc, night.deadline_utc)
    return night.run_id


@pytest.mark.parametrize("scale", ["", "time_scale = 600\n"])
def test_the_starter_runs_as_it_stands_compressed_or_not(tmp_path: Path, scale: str) -> None:
    assert plan(tmp_path, scale + starter()) == "my-model-20261125T0800Z"


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_folders_name_makes_a_job_that_runs(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    assert plan(tmp_path_factory.getbasetemp(), starter(name)).endswith("-20261125T0800Z")


def test_every_policy_is_named_in_it() -> None:
    line = next(line for line in starter().splitlines() if line.startswith("# What weighs Spot and on-demand"))
    assert all(name in line for name in POLICY_OPTIONS)


def test_the_answers_are_in_it(tmp_path: Path) -> None:
    text = starter(
        "Shop Window",
        'python "my train.py"',
        units=8.5,
        unit='half "epoch"',
        each="1h",
        start="18:00",
        at="06:30",
        timezone="Asia/Tokyo",
    )
    assert plan(tmp_path, text) == "shop-window-20261124T2130Z"
    document = load_job(written(tmp_path, text)).document
    assert document.command == ["python", "my train.py"]
    assert (document.work.units, document.work.unit, document.work.each) == (8.5, 'half "epoch"', 3600.0)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_that_is_commented_out_is_right_where_it_stands(tmp_path: Path, option: str) -> None:
    (tmp_path / "src").mkdir()
    for name in ("train.py", "src/net.py"):
        (tmp_path / name).write_text("")
    text = starter().replace(option, OPTION.sub(r"\1", option))
    if option.startswith("# total"):
        text = re.sub(r"^each = .*$", "", text, flags=re.MULTILINE)
    assert text != starter()
    assert plan(tmp_path, text)


def test_it_is_short_enough_to_read_and_says_where_to_read_more() -> None:
    assert len(OPTIONS) > 15
    assert starter().count("\n") < 90
    assert "docs/job-file.md" in starter()
    assert max(len(line) for line in starter().splitlines()) <= 120
