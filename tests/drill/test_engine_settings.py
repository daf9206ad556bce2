"""`[drill]` of the job file: what is played, where it writes, and one clear error for what is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from nightspot.drill.record import Case, Durable, Life, Touch
from nightspot.drill.seen.discover import checkpoints_of
from nightspot.drill.settings import Place
from nightspot.errors import JobFileError
from nightspot.jobfile.drilltable import CASE_NAMES
from tests.drill.engine_jobs import settings_of, written
from tests.jobfile.requests import NIGHT, REQUEST


def changed(file: Path, old: str, new: str) -> Path:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return file


def test_the_job_file_knows_the_cases_that_there_are() -> None:
    assert tuple(case.value for case in Case) == CASE_NAMES


def test_the_jobs_own_command_gets_more_arguments(tmp_path: Path) -> None:
    settings = settings_of(written(tmp_path / "job", "ckpt", drill='args = "--steps {{3}} {name}"'), tmp_path / "root")
    assert settings.training.command == (sys.executable, "train.py", "ckpt", "--steps", "{3}", "small")


def test_another_command_and_other_variables_take_the_place_of_the_jobs(tmp_path: Path) -> None:
    file = written(tmp_path / "job", drill='command = "sh run.sh {checkpoint_dir}"\nenvironment = { A = "2" }')
    changed(file, 'artifact = "model.json"', 'artifact = "model.json"\nenvironment = { A = "1", B = "1" }')
    settings = settings_of(file, tmp_path / "root")
    assert settings.training.command == ("sh", "run.sh", str(tmp_path / "root/run/checkpoints"))
    assert settings.training.environment == {"A": "2", "B": "1"}


def test_hyperparameters_are_passed_before_the_drills_own_arguments_and_so_are_overruled(tmp_path: Path) -> None:
    file = written(
        tmp_path / "job",
        "ckpt",
        drill='args = "--epochs 2"',
        more="""
        [training]
        sagemaker = true
        hyperparameters = { epochs = 90 }
    """,
    )
    assert settings_of(file, tmp_path / "root").training.command[-4:] == ("--epochs", "90", "--epochs", "2")


@pytest.mark.parametrize(
    ("named", "place"),
    [
        ("ckpt", Place(Path("ckpt"))),
        ("out/ckpt-*.pt", Place(Path("out"), "ckpt-*.pt")),
        ("{run_folder}/c", Place(Path("../root/run/c"))),
    ],
)
def test_checkpoints_are_a_folder_or_files_in_one(tmp_path: Path, named: str, place: Place) -> None:
    file = changed(written(tmp_path / "job"), 'checkpoints = "ckpt"', f'checkpoints = "{named}"')
    settings = settings_of(file, tmp_path / "root")
    assert settings.watched == Place((tmp_path / "job" / place.folder).resolve(), place.pattern)
    assert settings.survives == (settings.watched.folder,)


def test_without_a_name_they_are_where_nightspot_says(tmp_path: Path) -> None:
    file = changed(written(tmp_path / "job"), 'checkpoints = "ckpt"', "")
    settings = settings_of(file, tmp_path / "root")
    assert settings.watched.folder == settings.given == tmp_path / "root/run/checkpoints"


@pytest.mark.parametrize(
    ("line", "key", "remedy"),
    [
        ('cases = ["kil"]', "drill.cases[0]", "kill"),
        ("cases = []", "drill.cases", "leave the key out"),
        ("loss_pattern = 'loss (\\d+'", "drill.loss_pattern", "single quotes"),
        ("loss_pattern = 'loss (\\d+)'", "drill.loss_pattern", "(?P<loss>"),
        ('losses = "a.jsonl"', "drill.loss_pattern", "Keep one"),
        ("time = 10", "drill.time", "10min"),
        ("noise = 1", "drill.noise", "2"),
        ('args = "--x {nigth}"', "drill.args", "'night'"),
        ('paths = ["{python}"]', "drill.paths[0]", "placeholder"),
        ("every = 0", "drill.every", "1"),
        ("patience = 3", "drill.patience", "no such key"),
    ],
)
def test_what_is_wrong_is_one_error_with_its_remedy(tmp_path: Path, line: str, key: str, remedy: str) -> None:
    file = written(tmp_path / "job", drill=line)
    if line.startswith("loss_pattern"):
        changed(file, "loss_pattern = 'step (?P<step>\\d+) loss (?P<loss>\\S+)'\n", "")
    with pytest.raises(JobFileError) as error:
        settings_of(file, tmp_path / "root")
    assert error.value.field == key and remedy in str(error.value)


def job_on_sagemaker(folder: Path) -> Path:
    (folder / "request.json").write_text(json.dumps(REQUEST))
    (folder / "job.toml").write_text(NIGHT)
    return folder / "job.toml"


def test_a_job_on_sagemaker_has_to_say_what_runs_here(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match="what runs here is not said") as error:
        settings_of(job_on_sagemaker(tmp_path), tmp_path / "root")
    assert error.value.field == "drill.command"


def life(*touches: Touch, durables: tuple[Durable, ...] = ()) -> Life:
    return Life(1, (), (), touches, durables, 0, None, True, 1.0, "")


def test_a_folder_that_nobody_named_is_found_by_what_was_saved(tmp_path: Path) -> None:
    settings = settings_of(changed(written(tmp_path / "job"), 'checkpoints = "ckpt"', ""), tmp_path / "root")
    saves = [Touch("save", n, str(tmp_path / f"job/out/ckpt-{n}.pt")) for n in (1, 2)]
    found = checkpoints_of(settings, [life(*saves, Touch("save", 3, str(settings.artifact)))])
    assert found is not None and found.watched == Place(tmp_path / "job/out")
    assert found.survives == (tmp_path / "job/out",)


def test_files_beside_the_program_are_found_by_their_names_and_by_the_last_of_them(tmp_path: Path) -> None:
    settings = settings_of(changed(written(tmp_path / "job"), 'checkpoints = "ckpt"', ""), tmp_path / "root")
    job = tmp_path / "job"
    touches = [
        Touch("save", 1, str(job / "x.tmp")),
        Touch("rename", 1, str(job / "ckpt-07.pt"), detail=str(job / "x.tmp")),
    ]
    found = checkpoints_of(settings, [life(*touches)])
    assert found is not None and found.watched == Place(job, "ckpt-*.pt")


def test_nothing_is_looked_for_where_it_is_known_or_our_library_saves(tmp_path: Path) -> None:
    named = settings_of(written(tmp_path / "job"), tmp_path / "root")
    unnamed = settings_of(changed(written(tmp_path / "job"), 'checkpoints = "ckpt"', ""), tmp_path / "root")
    save = Touch("save", 1, "/x/ckpt-1.pt")
    assert checkpoints_of(named, [life(save)]) is None
    assert checkpoints_of(unnamed, [life(save, Touch("snapshot", 1))]) is None
    assert checkpoints_of(unnamed, [life(save, durables=(Durable("a", "", 1, 1),))]) is None
    assert checkpoints_of(unnamed, [life(Touch("load", 1, "/x/ckpt-1.pt"))]) is None
