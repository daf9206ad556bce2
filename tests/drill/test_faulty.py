"""Each script in examples/faulty has one fault. It is played for real, interrupted, and gets the diagnosis of that fault and no other."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Iterator, Optional, Sequence

import pytest

from nightspot.drill.judge import judge
from nightspot.drill.record import Case, CaseResult, Cause, Report, Training, Verdict
from tests.drill.player import FAULTY, Player, Zygote

EPOCH = 5
LONG = 12  # two epochs and two steps


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    process = Zygote()
    yield process
    process.close()


class Drill:
    """Plays trainings of one script."""

    def __init__(self, zygote: Zygote, script: str, folder: Path) -> None:
        self.zygote, self.script, self.folder = zygote, script, folder
        self.numbers = count()

    def training(self, case: Optional[Case], holds: Sequence[int] = (), *, deaf: bool = False) -> Training:
        folder = self.folder / str(next(self.numbers))
        return Player(self.zygote, FAULTY / f"{self.script}.py", folder, deaf).play(case, holds)

    def report(self, *cases: tuple[Case, Sequence[int]], deaf: bool = False) -> Report:
        baselines = [self.training(None) for _ in range(2)]
        return judge(baselines, [self.training(*case, deaf=deaf) for case in cases], job=self.script)

    def judged(self, case: Case, *holds: int, deaf: bool = False) -> CaseResult:
        return self.report((case, holds or (LONG,)), deaf=deaf).cases[0]


@pytest.fixture
def drill(request: pytest.FixtureRequest, zygote: Zygote, tmp_path: Path) -> Drill:
    """Of the script that the test names."""
    return Drill(zygote, request.param, tmp_path)


script = pytest.mark.parametrize


def cause(result: CaseResult) -> Optional[Cause]:
    return None if result.diagnosis is None else result.diagnosis.cause


@script("drill", ["right"], indirect=True)
def test_a_script_without_fault_is_exact_in_every_case(drill: Drill) -> None:
    killed = [(case, [LONG]) for case in (Case.KILL, Case.NOTICE, Case.TRUNCATED, Case.FLIPPED)]
    report = drill.report(*killed, (Case.BEFORE_FIRST, [2]), (Case.TWICE, [7, 2]))
    assert {one.case.value: one.verdict for one in report.cases} == {
        one.case.value: Verdict.EXACT for one in report.cases
    }
    assert all(one.diagnosis is None and one.loss_match and one.weights_match for one in report.cases)
    assert [(one.killed_at_step, one.resumed_at_step, one.redone_steps) for one in report.cases] == [
        (12, 10, 2),
        (15, 15, 0),  # told within the third epoch, it saved at its end
        (12, 5, 7),  # the newest was damaged: the one before
        (12, 5, 7),
        (2, 0, 2),
        (7, 5, 4),
    ]


@script(
    ("drill", "expected", "line"),
    [
        ("restarted", Cause.RESTARTED, "torch.load"),
        ("wrong_epoch", Cause.WRONG_EPOCH, "torch.load"),
        ("optimizer_lost", Cause.OPTIMIZER, "torch.load"),
        ("random_lost", Cause.RANDOM, "torch.load"),
        ("order_replayed", Cause.DATA_ORDER, "DataLoader("),
        ("scheduler_reset", Cause.SCHEDULER, "LambdaLR("),
    ],
    indirect=["drill"],
)
def test_what_a_script_forgets_is_named_with_the_line(drill: Drill, expected: Cause, line: str) -> None:
    report = drill.report((Case.KILL, [LONG]), (Case.TRUNCATED, [LONG]), (Case.TWICE, [7, 2]), (Case.BEFORE_FIRST, [2]))
    *faulty, before_first = report.cases
    assert [cause(one) for one in faulty] == [expected] * 3
    assert before_first.verdict is Verdict.EXACT
    assert {one.verdict for one in faulty} == {Verdict.RESTARTED if expected is Cause.RESTARTED else Verdict.DIVERGED}
    assert [one.also for one in faulty] == [()] * 3, "a second fault was seen in it"
    assert line in _line(faulty[0])


def _line(result: CaseResult) -> str:
    """The line of the script that the diagnosis points at, or the call that it names."""
    assert result.diagnosis is not None and result.diagnosis.where is not None
    path, _, number = result.diagnosis.where.rpartition(":")
    return Path(path).read_text().splitlines()[int(number) - 1] if path else result.diagnosis.where


@script("drill", ["torn"], indirect=True)
def test_a_script_that_dies_of_a_torn_file_is_told_how_to_save(drill: Drill) -> None:
    report = drill.report((Case.KILL, [LONG]), (Case.TRUNCATED, [LONG]))
    whole, torn = report.cases
    assert whole.verdict is Verdict.EXACT and torn.verdict is Verdict.FAILED is report.verdict
    assert cause(torn) is Cause.TORN and "torch.load" in _line(torn)
    assert (
        torn.diagnosis is not None and "os.replace" in torn.diagnosis.mend and "ckpt-0001.pt" in torn.diagnosis.evidence
    )


@script("drill", ["corrupt"], indirect=True)
def test_a_flipped_bit_that_nobody_noticed_is_named(drill: Drill) -> None:
    report = drill.report((Case.TRUNCATED, [LONG]), (Case.FLIPPED, [LONG]))
    torn, flipped = report.cases
    assert torn.verdict is Verdict.EXACT and flipped.verdict is Verdict.DIVERGED
    assert cause(flipped) is Cause.CORRUPT and "torch.load" in _line(flipped)
    assert flipped.weights_match is False


@script("drill", ["nondeterministic"], indirect=True)
def test_a_script_that_differs_by_itself_is_within_its_own_noise(drill: Drill) -> None:
    baselines = [drill.training(None) for _ in range(8)]
    report = judge(baselines, [drill.training(Case.KILL, [LONG])], job="nondeterministic")
    assert not report.deterministic and report.cases[0].verdict is Verdict.WITHIN_NOISE
    assert cause(report.cases[0]) is Cause.NONDETERMINISTIC
    assert (
        report.cases[0].diagnosis is not None and "seed before the model is made" in report.cases[0].diagnosis.evidence
    )


@script("drill", ["notice_ignored"], indirect=True)
def test_a_notice_that_a_script_lets_pass_is_said_though_it_comes_out_right(drill: Drill) -> None:
    result = drill.judged(Case.NOTICE, deaf=True)
    assert result.verdict is Verdict.EXACT and result.redone_steps == 2
    assert cause(result) is Cause.IGNORED_NOTICE
