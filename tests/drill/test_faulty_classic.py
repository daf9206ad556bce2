"""The classic training script and its mended twin through the whole drill: shipped job files, real processes, real sandboxes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from nightspot.drill.judge import agree, judge
from nightspot.drill.play import play
from nightspot.drill.record import Case, CaseResult, Cause, Report, Verdict
from tests.drill.engine_jobs import needs_bwrap, settings_of
from tests.drill.player import REPOSITORY

CLASSIC = REPOSITORY / "examples" / "classic"


def drilled(folder: Path, name: str, *cases: Case) -> Report:
    """Three epochs instead of five."""
    place = folder / "classic"
    shutil.copytree(CLASSIC, place)
    settings = settings_of(place / f"{name}.toml", folder / "root")
    words = tuple("3" if word == "5" else word for word in settings.training.command)
    assert words != settings.training.command
    settings = replace(settings, training=replace(settings.training, command=words))
    played = play(settings, cases, agree, lambda _: None)
    return judge(played.baselines, played.trainings, job=name, notes=played.notes)


def line(result: CaseResult) -> str:
    """Of the script that the diagnosis points at."""
    assert result.diagnosis is not None and result.diagnosis.where is not None
    path, _, number = result.diagnosis.where.rpartition(":")
    return (CLASSIC / Path(path).name).read_text().splitlines()[int(number) - 1]


@needs_bwrap
def test_the_drill_finds_all_three_faults_of_the_classic_script(tmp_path: Path) -> None:
    report = drilled(tmp_path, "train", Case.KILL, Case.TRUNCATED, Case.FLIPPED)
    found = {one.case: one for one in report.cases}
    assert report.deterministic and report.verdict is Verdict.FAILED
    expected = {
        Case.KILL: (Verdict.DIVERGED, Cause.DATA_ORDER, "shuffle=True", "generator.manual_seed(seed + epoch)"),
        Case.TRUNCATED: (Verdict.FAILED, Cause.TORN, "torch.load", "os.replace"),
        Case.FLIPPED: (Verdict.DIVERGED, Cause.CORRUPT, "torch.load", "a hash beside each file"),
    }
    for case, (verdict, cause, code, mend) in expected.items():
        result = found[case]
        assert result.diagnosis is not None
        assert (result.verdict, result.diagnosis.cause) == (verdict, cause)
        assert code in line(result) and mend in result.diagnosis.mend
    assert found[Case.KILL].resumed_at_step == 8 * ((found[Case.KILL].killed_at_step or 0) // 8), "from the epoch's end"


@needs_bwrap
def test_the_mended_script_is_exact(tmp_path: Path) -> None:
    report = drilled(tmp_path, "mended", Case.KILL, Case.FLIPPED)
    assert [(one.verdict, one.loss_match, one.weights_match) for one in report.cases] == [
        (Verdict.EXACT, True, True)
    ] * 2
    assert all(one.diagnosis is None and (one.resumed_at_step or 0) > 0 for one in report.cases)
