"""What the script is started as, and which machine speaks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sagemaker_training import _entry_point_type, environment, process

from nightspot.backends.aws.sourcedir import entry_name
from nightspot.inside.command import command
from nightspot.inside.places import orders

PROGRAMS = ("train.py", "bin/train.py", "run.sh", "bin/run.sh", "train", "bin/train")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("package", [False, True])
def test_the_command_is_the_toolkits_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, package: bool
) -> None:
    monkeypatch.setattr(environment, "code_dir", str(tmp_path))
    if package:
        (tmp_path / "setup.py").write_text("")
    theirs = process.ProcessRunner(program, ["--a", "it's $x"], {}, 1)._create_command()
    ours = command(program, ["--a", "it's $x"], tmp_path)
    assert ours == [word for word in theirs if word != "--"]  # only newer toolkits write it


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("package", [False, True])
def test_the_toolkit_treats_our_entry_as_it_would_treat_the_program(
    tmp_path: Path, program: str, package: bool
) -> None:
    if package:
        (tmp_path / "setup.py").write_text("")
    kind = _entry_point_type.get
    assert kind(str(tmp_path), entry_name(program)) is kind(str(tmp_path), program)


def test_a_command_may_be_executed(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("")
    command("run.sh", [], tmp_path)
    assert (tmp_path / "run.sh").stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("hosts", "here", "speaks"),
    [
        ('["algo-1"]', "algo-1", True),
        ('["algo-1","algo-2"]', "algo-2", False),
        ('["algo-1","algo-10"]', "algo-1", True),
        ("", "", True),
    ],
)
def test_of_several_machines_the_first_speaks(hosts: str, here: str, speaks: bool) -> None:
    given = {"NIGHTSPOT_SCRIPT": "train.py", "SM_HOSTS": hosts, "SM_CURRENT_HOST": here}
    assert orders(given).speaks is speaks


def test_no_interpreter_but_our_own_is_used(tmp_path: Path) -> None:
    assert command("train.py", [], tmp_path)[0] == sys.executable
