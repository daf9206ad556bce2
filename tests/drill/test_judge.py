"""Verdicts and exit rules, on trainings of which every state is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from nightspot.drill.compare.noise import Band, band
from nightspot.drill.compare.place import Trail, same_batch
from nightspot.drill.judge import agree, judge, worst
from nightspot.drill.record import Artefact, Case, CaseResult, Cause, Life, Report, Step, Training, Verdict
from tests.drill.paper import EPOCH, STEPS, Paper


def paper(**how: Any) -> Paper:
    how["lost"] = frozenset(how.get("lost", ()))
    return Paper(**how)


def drill(*trainings: Training, baselines: int = 2, **how: Any) -> Report:
    return judge([paper(**{**how, "run": number}).train() for number in range(baselines)], trainings, job="paper")


def killed(*stops: int, case: Case = Case.KILL, **how: Any) -> CaseResult:
    """The baselines are the same script's; it forgets only after an interruption."""
    return drill(paper(**how).train(case, stops), **how).cases[0]


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("stops", [(1,), (5,), (7,), (12,), (19,), (20,), (7, 2), (7, 6, 3), (1, 1)])
def test_a_training_that_forgets_nothing_is_exact_wherever_it_is_killed(stops: tuple[int, ...], *, seen: bool) -> None:
    result = killed(*stops, seen=seen)
    assert (result.verdict, result.loss_match, result.weights_match, result.diagnosis) == (
        Verdict.EXACT,
        True,
        True,
        None,
    )


@pytest.mark.parametrize(("stop", "resumed"), [(1, 0), (4, 0), (5, 5), (7, 5), (12, 10), (19, 15)])
def test_steps_are_counted_over_the_whole_training(stop: int, resumed: int) -> None:
    result = killed(stop)
    assert (result.killed_at_step, result.resumed_at_step, result.redone_steps) == (stop, resumed, stop - resumed)


def test_redone_steps_of_all_interruptions_add_up() -> None:
    result = killed(7, 6, 3)  # 7 -> 5, 11 -> 10, 13 -> 10
    assert (result.killed_at_step, result.resumed_at_step, result.redone_steps) == (13, 10, 2 + 1 + 3)


def test_killed_after_the_last_step_nothing_is_left_to_do() -> None:
    result = killed(STEPS)
    assert (result.resumed_at_step, result.redone_steps, result.verdict) == (STEPS, 0, Verdict.EXACT)


def test_before_the_first_checkpoint_beginning_anew_is_no_fault() -> None:
    result = killed(3, case=Case.BEFORE_FIRST)
    assert result.verdict is Verdict.EXACT and result.notes == ("began anew: no whole checkpoint was left",)


def test_beginning_anew_is_restarted_even_if_it_comes_out_the_same() -> None:
    result = killed(7, lost=["all"])
    assert (result.verdict, result.loss_match, result.weights_match) == (Verdict.RESTARTED, True, True)


def test_an_older_checkpoint_than_the_newest_is_said() -> None:
    script = paper()
    first, _ = script.live(0, 12)
    del script.kept["ckpt-0002.pt"]  # it cannot be loaded, say
    last, state = script.live(1, None)
    training = Training(Case.KILL, (first, last), Artefact("model.pt", state.weights))
    result = drill(training).cases[0]
    assert result.resumed_at_step == EPOCH and result.redone_steps == 7
    assert result.notes[-1] == "resumed at step 5, though ckpt-0002.pt held 10 steps"


def test_losses_that_are_the_same_with_other_weights_are_not_exact() -> None:
    training = paper().train(Case.KILL, [7])
    other = replace(training, artefact=Artefact("model.pt", "other", {"a.weight": "same", "b.weight": "other"}))
    result = drill(other).cases[0]
    assert (result.verdict, result.loss_match, result.weights_match) == (Verdict.DIVERGED, True, False)
    assert "weights first differ in b.weight" in result.notes


def test_without_an_artefact_losses_alone_decide() -> None:
    baseline, training = (replace(one, artefact=None) for one in (paper().train(), paper().train(Case.KILL, [7])))
    result = judge([baseline, baseline], [training], job="paper").cases[0]
    assert (result.verdict, result.weights_match) == (Verdict.EXACT, None)


def test_an_artefact_that_is_missing_is_a_failure() -> None:
    assert drill(replace(paper().train(Case.KILL, [7]), artefact=None)).cases[0].verdict is Verdict.FAILED


def test_nothing_to_compare_is_not_exact() -> None:
    bare = replace(paper().train(), artefact=None)
    blind = replace(bare, lives=tuple(replace(life, steps=(), logged=(), probed=False) for life in bare.lives))
    twice = replace(blind, case=Case.KILL, lives=(*blind.lives, replace(blind.lives[0], number=1)))
    assert judge([blind, blind], [twice], job="paper").cases[0].verdict is Verdict.DIVERGED


def test_a_case_that_could_not_be_played_is_a_failure_with_its_cause() -> None:
    unplayed = Training(Case.DURING_SAVE, (), None, "no save was seen", Cause.NOT_CAUGHT)
    report = drill(unplayed, paper().train(Case.KILL, [7]))
    assert [one.verdict for one in report.cases] == [Verdict.FAILED, Verdict.EXACT]
    assert report.verdict is Verdict.FAILED
    assert report.cases[0].diagnosis is not None and report.cases[0].diagnosis.cause is Cause.NOT_CAUGHT


def ended(life: Life, code: int) -> Life:
    return replace(life, exit_code=code)


def test_a_baseline_that_failed_fails_everything_and_says_how() -> None:
    baseline = paper().train()
    broken = replace(baseline, lives=(replace(ended(baseline.lives[0], 1), tail="Traceback\nKeyError: 'x'"),))
    report = judge([broken], [paper().train(Case.KILL, [7])], job="paper")
    assert report.verdict is Verdict.FAILED and report.cases[0].verdict is Verdict.FAILED
    assert "KeyError: 'x'" in report.notes[0] and not report.deterministic
    assert judge([], [], job="paper").verdict is Verdict.FAILED


def test_the_jobs_verdict_is_its_worst_cases() -> None:
    assert worst([Verdict.EXACT, Verdict.DIVERGED, Verdict.WITHIN_NOISE]) is Verdict.DIVERGED
    assert worst(list(Verdict)) is Verdict.FAILED
    report = drill(paper().train(Case.KILL, [7]), paper(lost=["all"]).train(Case.TWICE, [7, 2]))
    assert report.verdict is Verdict.RESTARTED


def test_baselines_agree_only_bit_for_bit() -> None:
    assert agree([paper().train(), paper().train()])
    assert not agree([paper(noise=0.1, run=0).train(), paper(noise=0.1, run=1).train()])
    other = replace(paper().train(), artefact=Artefact("model.pt", "other"))
    assert not agree([paper().train(), other])


def noisy(stop: int, baselines: int = 5, **how: Any) -> CaseResult:
    """Kernels that differ from run to run by a little; the interrupted training is one more run."""
    return drill(paper(noise=0.001, run=77, **how).train(Case.KILL, [stop]), baselines=baselines, noise=0.001).cases[0]


@pytest.mark.parametrize("stop", [7, 10, 12])
def test_a_noisy_script_that_resumes_exactly_is_within_noise(stop: int) -> None:
    result = noisy(stop)
    assert (result.verdict, result.loss_match, result.weights_match) == (Verdict.WITHIN_NOISE, False, False)
    assert result.diagnosis is not None and result.diagnosis.cause is Cause.NONDETERMINISTIC


@pytest.mark.parametrize(
    ("lost", "cause"),
    [
        ("optimizer", Cause.OPTIMIZER),
        ("random", Cause.RANDOM),
        ("scheduled", Cause.SCHEDULER),
        ("all", Cause.RESTARTED),
    ],
)
def test_noise_excuses_no_state_that_was_not_restored(lost: str, cause: Cause) -> None:
    result = noisy(12, lost=[lost])
    assert result.verdict in (Verdict.DIVERGED, Verdict.RESTARTED)
    assert result.diagnosis is not None and result.diagnosis.cause is cause


def test_noise_excuses_no_loss_outside_the_band() -> None:
    training = paper(noise=0.001, run=77).train(Case.KILL, [12])
    last = training.lives[-1]
    far = (*last.steps[:-1], replace(last.steps[-1], loss="9.0"))
    result = drill(
        replace(training, lives=(training.lives[0], replace(last, steps=far))), baselines=5, noise=0.001
    ).cases[0]
    assert result.verdict is Verdict.DIVERGED


def test_what_cannot_be_looked_into_is_never_within_noise() -> None:
    result = drill(
        paper(noise=0.001, run=77, seen=False).train(Case.KILL, [12]), baselines=5, noise=0.001, seen=False
    ).cases[0]
    assert result.verdict is Verdict.DIVERGED


def test_a_random_stream_that_nobody_draws_from_does_not_count() -> None:
    """Python's own stream is seeded anew in each process, and stands still."""
    assert noisy(12).verdict is Verdict.WITHIN_NOISE


def test_trajectories_have_a_line_for_each_life_where_it_belongs() -> None:
    report = drill(paper().train(Case.TWICE, [7, 2]))
    lines = report.trajectories["twice"]
    assert [(int(line[0][0]), len(line)) for line in lines] == [(0, 7), (5, 2), (5, 15)]
    (whole,) = report.trajectories["baseline"]
    assert dict(lines[2]).items() <= dict(whole).items()


def test_what_was_given_is_passed_on() -> None:
    report = judge(
        [paper().train()] * 2, [], job="j", seed=3, notes=["n"], fingerprint="f", versions={"torch": "2"}, seconds=1.5
    )
    assert (report.job, report.seed, report.notes, report.fingerprint) == ("j", 3, ("n",), "f")
    assert (report.versions, report.seconds, report.baselines, report.deterministic) == ({"torch": "2"}, 1.5, 2, True)


def resumed(result: CaseResult) -> Optional[int]:
    return result.resumed_at_step


def test_steps_that_a_script_numbers_itself_place_a_life_that_cannot_be_looked_into() -> None:
    def numbered(training: Training, starts: list[int]) -> Training:
        lives = []
        for life, start in zip(training.lives, starts, strict=True):
            told = tuple(replace(one, step=start + at) for at, one in enumerate(life.logged))
            lives.append(replace(life, logged=told))
        return replace(training, lives=tuple(lives))

    baseline = numbered(paper(seen=False).train(), [0])
    training = numbered(paper(seen=False, lost=["random"]).train(Case.KILL, [12]), [0, 10])
    result = judge([baseline, baseline], [training], job="paper").cases[0]
    assert (result.verdict, resumed(result), result.redone_steps) == (Verdict.DIVERGED, 10, 2)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("x,y,a", "a", True),  # batches skipped, or fetched and thrown away, to come to the place
        ("a", "v,a", True),  # a validation between two epochs, which the earlier Life made
        ("a,b", "a", False),
        ("a,b", "b,a", False),
        (None, "a", True),  # not known
    ],
)
def test_the_last_of_what_was_handed_out_is_the_batch(one: Optional[str], other: Optional[str], *, same: bool) -> None:
    assert same_batch(one, other) is same is same_batch(other, one)


def test_a_step_that_leaves_the_weights_as_they_are_is_told_by_the_rest() -> None:
    """A learning rate of 0, say: several steps begin with the same weights."""

    def still(training: Training) -> Training:
        lives = []
        for life in training.lives:
            steps = tuple(replace(step, before="same", after="same") for step in life.steps)
            lives.append(replace(life, steps=steps))
        return replace(training, lives=tuple(lives))

    result = judge([still(paper().train())] * 2, [still(paper().train(Case.KILL, [12]))], job="paper").cases[0]
    assert (result.resumed_at_step, result.verdict) == (10, Verdict.EXACT)


def test_a_band_is_wider_than_what_was_seen_and_needs_equal_lengths() -> None:
    rows = [[Step(at, loss=repr(loss + at)) for at in range(3)] for loss in (1.0, 1.5)]
    trails = [Trail(tuple(row), (None,) * 3, seen=True) for row in rows]
    found = band(trails)
    assert found == Band((0.0, 1.0, 2.0), (2.5, 3.5, 4.5))
    assert band(trails[:1]) is None
    assert band([trails[0], Trail(trails[1].steps[:2], (None,) * 2, seen=True)]) is None
