"""`nightspot drill`: its exit code is the answer, and it leaves nothing behind but that."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import typer

from nightspot.cli.app import invoke
from nightspot.cli.drill import _end
from nightspot.cli.drillpages import Pages
from nightspot.cli.shell import Shell
from nightspot.drill import proof
from nightspot.drill.record import Case, Verdict
from nightspot.errors import ExitCode
from tests.drill.engine_jobs import TRAINER, needs_bwrap, written
from tests.report.test_drill import case, report

pytestmark = needs_bwrap


def drill(file: Path, home: Path, *words: str) -> int:
    return invoke(["drill", str(file), "--home", str(home), *words])


def test_a_training_that_resumes_is_proven_and_that_is_remembered(tmp_path: Path) -> None:
    file, home = written(tmp_path / "job"), tmp_path / "home"
    assert drill(file, home, "--cases", "kill,clean-machine", "--seed", "3") == ExitCode.OK
    found = proof.read(home, "small")
    assert found is not None and found.passed and found.seed == 3
    assert set(found.cases.values()) == {"EXACT"} and "train.py" in found.standing.files
    assert not list((home / "drills").glob("work-*"))


def test_one_that_begins_anew_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, home = written(tmp_path / "job"), tmp_path / "home"
    (tmp_path / "job/train.py").write_text(
        TRAINER.replace("if saved:", "if False:").replace('f"{state} {step}"', "os.urandom(9).hex()")
    )
    assert drill(file, home, "--cases", "kill", "--json") == ExitCode.NOT_PROVEN
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] != "EXACT" and told["cases"][0]["case"] == "kill"
    found = proof.read(home, "small")
    assert found is not None and not found.passed


def test_nothing_can_be_proven_without_isolation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert drill(written(tmp_path / "job"), tmp_path / "home", "--cases", "kill") == ExitCode.NOT_PROVEN


def test_cases_left_out_for_want_of_time_prove_nothing(tmp_path: Path) -> None:
    assert (
        drill(written(tmp_path / "job", "ckpt", "--steps", "6"), tmp_path / "home", "--time", "1s")
        == ExitCode.NOT_PROVEN
    )


@pytest.mark.parametrize(("wanted", "code"), [(1, ExitCode.OK), (2, ExitCode.NOT_PROVEN)])
def test_exact_cases_prove_it_only_where_none_that_was_wanted_is_missing(
    tmp_path: Path, wanted: int, code: ExitCode
) -> None:
    found = report(case(Case.KILL, Verdict.EXACT), verdict=Verdict.EXACT)
    with pytest.raises(typer.Exit) as left:
        _end(Shell.of(tmp_path), found, Pages(None, None), allow_noise=False, as_json=False, most=wanted)
    assert left.value.exit_code == code


def test_what_the_cases_wrote_is_kept_where_the_user_wants_it(tmp_path: Path) -> None:
    file, kept = written(tmp_path / "job"), tmp_path / "kept"
    drill(file, tmp_path / "home", "--cases", "kill", "--keep", str(kept))
    assert list(kept.glob("cases/kill/**/ckpt-0020.json"))
    assert drill(file, tmp_path / "home", "--cases", "kill", "--keep", str(kept)) == ExitCode.USAGE


@pytest.mark.parametrize("words", [("--cases", "kil"), ("--cases", ""), ("--time", "soon"), ("--seed", "-1")])
def test_options_that_make_no_sense_are_refused_before_anything_is_played(
    tmp_path: Path, words: tuple[str, str]
) -> None:
    assert drill(written(tmp_path / "job"), tmp_path / "home", *words) == ExitCode.USAGE
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_by_the_user_it_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    file, home = written(tmp_path / "job", "ckpt", "--pause", "60"), tmp_path / "home"
    words = [sys.executable, "-m", "nightspot.cli", "drill", str(file), "--home", str(home)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    until(lambda: bool(list(home.rglob("output.log"))))
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == ExitCode.CANCELLED and "nothing of it is left" in said
    assert not list((home / "drills").glob("work-*"))


def test_what_a_killed_drill_left_is_swept_by_the_next(tmp_path: Path) -> None:
    file, home = written(tmp_path / "job", "ckpt", "--pause", "60"), tmp_path / "home"
    words = [sys.executable, "-m", "nightspot.cli", "drill", str(file), "--home", str(home)]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    until(lambda: bool(list(home.rglob("output.log"))))
    process.kill()
    process.wait()
    (left,) = (home / "drills").glob("work-*")
    drill(written(tmp_path / "job", "ckpt", "--steps", "2"), home, "--cases", "kill")
    assert not left.exists() and bearing(left) == []


def bearing(folder: Path) -> list[str]:
    """Processes that were given something in that folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"={folder}/".encode() in (entry / "environ").read_bytes():
                found.append(entry.name)
    return found


def until(condition: object, patience_s: float = 60.0) -> None:
    assert callable(condition)
    end_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end_s, "it never came"
        time.sleep(0.02)
