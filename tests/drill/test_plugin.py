"""The fixture in a team's test-suite, in a pytest of its own that finds it by its entry point."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nightspot.cli import drilltest
from nightspot.cli.drilltest import Refused, Wishes
from nightspot.drill.record import Case, CaseResult, Report, Verdict
from tests.drill.engine_jobs import needs_bwrap, written

ROOT = Path(__file__).resolve().parents[2]
FAULTY = ROOT / "examples/faulty"
# Tells at the end what was imported of ours, and of what costs time.
CONFTEST = """
import sys

def pytest_terminal_summary(terminalreporter):
    ours = sorted(name for name in sys.modules if name.startswith("nightspot"))
    heavy = sorted({"pydantic", "rich.table", "typer", "psutil", "torch", "boto3", "numpy"} & set(sys.modules))
    terminalreporter.write_line(f"IMPORTED {ours} {heavy}")
"""


class Suite:
    """A project with a job and tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(self._entry_point()), str(ROOT / "src")])}

    def _entry_point(self) -> Path:
        """As an installation declares it: pyproject.toml's own line, whether or not it is installed here already."""
        text = (ROOT / "pyproject.toml").read_text()
        section = text.partition("[project.entry-points.pytest11]\n")[2].partition("\n\n")[0]
        folder = self.folder.with_name("site")
        info = folder / "as_declared-0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: as-declared\nVersion: 0\n")
        (info / "entry_points.txt").write_text("[pytest11]\n" + section.replace('"', "") + "\n")
        return folder

    def run(self, test: str, *words: str) -> tuple[int, str]:
        (self.folder / "tests").mkdir(exist_ok=True)
        (self.folder / "tests/test_resume.py").write_text(test)
        (self.folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-ra", "--color=no", *words, "tests"],
            cwd=self.folder,
            env={**self.environment, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Of the small training without torch."""
    written(tmp_path / "project")
    return Suite(tmp_path / "project")


@needs_bwrap
def test_one_line_proves_a_training_and_tells_the_fault_of_another(tmp_path: Path) -> None:
    shutil.copytree(FAULTY, tmp_path / "project")
    code, said = Suite(tmp_path / "project").run(
        """
def test_right(nightspot_drill):
    report = nightspot_drill("faulty.toml", cases=["kill"])
    assert [(case.case.value, case.verdict.value) for case in report.cases] == [("kill", "EXACT")]

def test_wrong(nightspot_drill):
    nightspot_drill("faulty.toml", cases=["kill"], changes=["drill.command={python} optimizer_lost.py"])
"""
    )
    assert code == 1 and "1 failed, 1 passed" in said, said
    assert "faulty  DIVERGED" in said and "optimizer state not restored" in said
    assert 'optimizer.load_state_dict(checkpoint["optimizer"])' in said and "tiny.py:" in said
    assert "Traceback" not in said and "drilltest.py" not in said and "During handling" not in said


@needs_bwrap
def test_options_go_before_the_job_file_and_nothing_is_left_or_remembered(suite: Suite, tmp_path: Path) -> None:
    job = suite.folder / "job.toml"
    job.write_text(job.read_text().replace("[drill]", "[drill]\ncases = ['notice']\nseed = 1"))
    before = sorted(str(path) for path in suite.folder.rglob("*"))
    code, said = suite.run(
        """
def test_it(nightspot_drill, monkeypatch, tmp_path):
    report = nightspot_drill("job.toml", cases=["kill", "clean-machine"], seed=9, time="10min")
    assert report.seed == 9 and [case.case.value for case in report.cases] == ["kill", "clean-machine"]
""",
        f"--basetemp={tmp_path / 'base'}",
        "-p",
        "no:cacheprovider",
    )
    assert code == 0, said
    after = {str(path) for path in suite.folder.rglob("*") if "tests" not in path.parts and path.name != "pytest.ini"}
    assert after == set(before)
    assert [path for path in (tmp_path / "base").rglob("*") if path.is_file()] == []


def test_noise_is_enough_where_the_test_or_the_job_file_says_so(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict is the judge's, proven elsewhere; here: what a test makes of it."""
    case = CaseResult(Case.KILL, Verdict.WITHIN_NOISE, 3, 2, 1, False, False, None)
    report = Report("small", Verdict.WITHIN_NOISE, 0, (case,), 5, False, (), {}, None, {}, 0.0, 1.0)
    monkeypatch.setattr(drilltest, "drilled", lambda *_: report)
    monkeypatch.setattr(drilltest, "why_not", lambda: None)
    job = suite.folder / "job.toml"
    assert drilltest.proven(job, tmp_path / "1", Wishes(allow_noise=True)) is report
    assert drilltest.proven(job, tmp_path / "2", Wishes(changes=("drill.allow_noise=true",))) is report
    for number, wishes in enumerate([Wishes(), Wishes(allow_noise=False, changes=("drill.allow_noise=true",))], 3):
        with pytest.raises(Refused, match="small  WITHIN_NOISE"):
            drilltest.proven(job, tmp_path / str(number), wishes)


def test_without_bubblewrap_it_fails_with_the_reason_or_is_skipped_with_it(suite: Suite, tmp_path: Path) -> None:
    suite.environment["PATH"] = str(tmp_path / "nothing")
    code, said = suite.run(
        """
def test_fails(nightspot_drill):
    nightspot_drill("job.toml")

def test_skips(nightspot_drill):
    nightspot_drill("job.toml", skip=True)

def test_another():
    pass
"""
    )
    assert code == 1 and "1 failed, 1 passed, 1 skipped" in said, said
    reasons = [line for line in said.splitlines() if line.startswith(("FAILED", "SKIPPED"))]
    assert all("nightspot cannot play a drill here" in line and "bwrap" in line for line in reasons), said
    assert len(reasons) == 2 and "Traceback" not in said


def test_mistakes_are_told_in_a_line_each(suite: Suite) -> None:
    code, said = suite.run(
        """
import pytest

def test_no_file(nightspot_drill):
    nightspot_drill("another.toml")

def test_bad_value(nightspot_drill):
    nightspot_drill("job.toml", changes=["work.units=-1"])

def test_no_case(nightspot_drill):
    with pytest.raises(ValueError, match="'kil' is no case"):
        nightspot_drill("job.toml", cases=["kil"])

def test_no_time(nightspot_drill):
    with pytest.raises(ValueError):
        nightspot_drill("job.toml", time="soon")
"""
    )
    assert code == 1 and "2 failed, 2 passed" in said, said
    assert "another.toml" in said and "work.units" in said and "Traceback" not in said


def test_a_suite_that_does_not_use_it_imports_next_to_nothing(suite: Suite) -> None:
    (suite.folder / "conftest.py").write_text(CONFTEST)
    code, said = suite.run("def test_it():\n    pass\n")
    assert code == 0, said
    (line,) = [line for line in said.splitlines() if line.startswith("IMPORTED")]
    assert line == "IMPORTED ['nightspot', 'nightspot.cli', 'nightspot.cli.pytest_plugin'] []"


def test_the_fixture_is_listed_with_its_explanation(suite: Suite) -> None:
    code, said = suite.run("", "--fixtures")
    assert code in (0, 5) and "nightspot_drill" in said and "Plays a drill of a nightspot job file" in said
