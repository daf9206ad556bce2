"""The last drill is remembered with what it is true of: files and packages, by what they hold and not by their age."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Iterator

import pytest

from nightspot.drill import proof
from nightspot.drill.proof import Standing
from nightspot.drill.record import Case, CaseResult, Report, Verdict
from nightspot.jobfile import load_job
from tests.drill.engine_jobs import written


def report(verdict: Verdict, played: Case = Case.KILL) -> Report:
    case = CaseResult(played, verdict, 1, 1, 0, True, True, None)
    return Report("small", verdict, 3, (case,), 2, True, (), {}, None, {}, 5.0, 1.0)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    standing = Standing({"train.py": "ab"}, {"torch": "2.3"})
    proof.write(tmp_path, report(Verdict.EXACT), standing, passed=True)
    found = proof.read(tmp_path, "small")
    assert found is not None and found.passed and found.standing == standing
    assert (found.verdict, found.seed, found.cases, found.finished_utc) == ("EXACT", 3, {"kill": "EXACT"}, 5.0)
    assert (tmp_path / "drills/small.json").exists() and proof.read(tmp_path, "another") is None


def test_a_file_that_makes_no_sense_proves_nothing(tmp_path: Path) -> None:
    for text in ("", "{}", "[]", '{"format": 99}', '{"format": 1, "files": 3}'):
        path = proof.file_of(tmp_path, "small")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        assert proof.read(tmp_path, "small") is None


def test_within_noise_proves_it_only_where_that_is_allowed() -> None:
    assert proof.passes(report(Verdict.EXACT), allow_noise=False)
    assert not proof.passes(report(Verdict.WITHIN_NOISE), allow_noise=False)
    assert proof.passes(report(Verdict.WITHIN_NOISE), allow_noise=True)
    for verdict in (Verdict.DIVERGED, Verdict.RESTARTED, Verdict.FAILED):
        assert not proof.passes(report(verdict), allow_noise=True)


def test_every_python_file_counts_where_the_job_file_names_none(tmp_path: Path) -> None:
    file = written(tmp_path)
    for path in (
        "lib/net.py",
        ".venv/x.py",
        "env/pyvenv.cfg",
        "env/lib/y.py",
        "lib/__pycache__/z.py",
        "requirements.txt",
        "notes.md",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("1")
    assert set(proof.standing_of(load_job(file)).files) == {"train.py", "lib/net.py", "requirements.txt"}


def test_a_folder_that_may_not_be_read_keeps_nobody_from_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, listed = written(tmp_path), Path.iterdir
    (tmp_path / "secret").mkdir()

    def iterdir(folder: Path) -> Iterator[Path]:
        if folder.name == "secret":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert set(proof.standing_of(load_job(file)).files) == {"train.py"}


def test_else_those_that_it_names(tmp_path: Path) -> None:
    file = written(tmp_path, more="[training]\ncode = ['train.py', 'config/*']")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/a.yaml").touch()
    (tmp_path / "other.py").touch()
    assert set(proof.standing_of(load_job(file)).files) == {"train.py", "config/a.yaml"}


def test_content_makes_a_change_and_time_does_not(tmp_path: Path) -> None:
    job = load_job(written(tmp_path))
    before = proof.standing_of(job)
    (tmp_path / "train.py").touch()
    assert proof.standing_of(job) == before and proof.standing_of(job).hash == before.hash
    (tmp_path / "train.py").write_text("pass")
    (tmp_path / "new.py").touch()
    now = proof.standing_of(job)
    assert now.hash != before.hash
    assert proof.changed(before, now) == ["new.py is new", "train.py changed"]
    assert proof.changed(now, before) == ["new.py is gone", "train.py changed"]


def test_another_program_of_the_same_folder_is_another_training(tmp_path: Path) -> None:
    """Its files are all there before, and all the same."""
    file = written(tmp_path)
    (tmp_path / "other.py").write_text("pass")
    before = proof.standing_of(load_job(file))
    shorter = proof.standing_of(load_job(file, ["drill.args=--steps 3"]))
    assert proof.changed(before, shorter) == [] and shorter == before
    for change in ("command={python} other.py", "drill.command={python} other.py"):
        assert proof.changed(before, proof.standing_of(load_job(file, [change]))) == ["the command changed"]


def cases(home: Path) -> dict[str, str]:
    found = proof.read(home, "small")
    assert found is not None
    return dict(found.cases)


def test_a_few_cases_more_take_nothing_from_what_is_proven(tmp_path: Path) -> None:
    standing = Standing({"train.py": "ab"}, {}, "c")
    proof.write(tmp_path, report(Verdict.EXACT, Case.NOTICE), standing, passed=True)
    proof.write(tmp_path, report(Verdict.EXACT), standing, passed=True)
    assert cases(tmp_path) == {"notice": "EXACT", "kill": "EXACT"}


def test_but_of_another_training_or_after_a_failure_nothing_is_kept(tmp_path: Path) -> None:
    standing = Standing({"train.py": "ab"}, {}, "c")
    for later, verdict in ((Standing({"train.py": "cd"}, {}, "c"), Verdict.EXACT), (standing, Verdict.DIVERGED)):
        proof.write(tmp_path, report(Verdict.EXACT, Case.NOTICE), standing, passed=True)
        proof.write(tmp_path, report(verdict), later, passed=verdict is Verdict.EXACT)
        assert cases(tmp_path) == {"kill": verdict.value}
    proof.write(tmp_path, report(Verdict.EXACT, Case.NOTICE), standing, passed=True)
    assert cases(tmp_path) == {"notice": "EXACT"}


def test_packages_of_the_python_that_trains_count(tmp_path: Path) -> None:
    standing = proof.standing_of(load_job(written(tmp_path)))
    assert "torch" in standing.dependencies and "pydantic" in standing.dependencies
    newer = replace(standing, dependencies={**standing.dependencies, "torch": "99", "brand-new": "1"})
    gone = replace(standing, dependencies={k: v for k, v in standing.dependencies.items() if k != "torch"})
    assert proof.changed(standing, newer) == [
        "brand-new was not installed and is 1",
        f"torch was {standing.dependencies['torch']} and is 99",
    ]
    assert proof.changed(standing, gone) == [f"torch was {standing.dependencies['torch']} and is gone"]


def test_another_python_is_asked_for_its_packages(tmp_path: Path) -> None:
    """One that says what it has; and one that cannot say, of which nothing is known."""
    python = tmp_path / "python3"
    python.write_text("""#!/bin/sh\necho '{"torch": "1.0"}'\n""")
    python.chmod(0o755)
    file = written(tmp_path)
    file.write_text(file.read_text().replace("{python}", str(python)))
    assert proof.standing_of(load_job(file)).dependencies == {"torch": "1.0"}
    python.write_text("#!/bin/sh\nexit 3\n")
    assert proof.standing_of(load_job(file)).dependencies == {}
