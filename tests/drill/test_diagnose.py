"""Each way to forget a state is named as what it is, and only as that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from nightspot.drill.diagnose.words import MENDS
from nightspot.drill.judge import judge
from nightspot.drill.record import Artefact, Case, CaseResult, Cause, Diagnosis, Durable, Touch, Training, Verdict
from tests.drill.paper import LOAD, LOADER, SAVE, SCHEDULER, Paper


def paper(**how: Any) -> Paper:
    how["lost"] = frozenset(how.get("lost", ()))
    return Paper(**how)


def judged(training: Training, **how: Any) -> CaseResult:
    baselines = [paper(**{**how, "lost": (), "late": 0, "run": number}).train() for number in range(2)]
    return judge(baselines, [training], job="paper").cases[0]


def diagnosis(result: CaseResult) -> Diagnosis:
    assert result.diagnosis is not None
    return result.diagnosis


FAULTS = [
    ({"lost": ["all"]}, Cause.RESTARTED, "torch.load"),
    ({"late": 1}, Cause.WRONG_EPOCH, LOAD),
    ({"late": -1}, Cause.WRONG_EPOCH, LOAD),
    ({"lost": ["optimizer"]}, Cause.OPTIMIZER, LOAD),
    ({"lost": ["random"]}, Cause.RANDOM, LOAD),
    ({"lost": ["random"], "shuffled": True}, Cause.DATA_ORDER, LOADER),
    ({"lost": ["scheduled"]}, Cause.SCHEDULER, SCHEDULER),
]


@pytest.mark.parametrize(("how", "cause", "where"), FAULTS)
@pytest.mark.parametrize("stops", [(7,), (12,), (7, 2), (7, 6, 3)])
def test_each_fault_is_named_and_no_other(
    how: dict[str, Any], cause: Cause, where: str, stops: tuple[int, ...]
) -> None:
    result = judged(paper(**how).train(Case.KILL, stops), **how)
    assert diagnosis(result).cause is cause and diagnosis(result).where == where
    assert result.also == ()
    assert diagnosis(result).mend == MENDS[cause]


def test_every_cause_has_a_mend() -> None:
    assert set(MENDS) == set(Cause)


def test_several_faults_are_named_in_the_order_in_which_they_hide_each_other() -> None:
    how = {"lost": ["optimizer", "scheduled", "random"], "shuffled": True}
    result = judged(paper(**how).train(Case.KILL, [12]), **how)
    assert diagnosis(result).cause is Cause.OPTIMIZER
    assert [(one.cause, one.where, one.mend) for one in result.also] == [
        (Cause.SCHEDULER, SCHEDULER, MENDS[Cause.SCHEDULER]),
        (Cause.DATA_ORDER, LOADER, MENDS[Cause.DATA_ORDER]),
    ]


@pytest.mark.parametrize("case", [Case.TRUNCATED, Case.FLIPPED])
def test_a_script_that_keeps_one_file_is_exact_and_told_that_all_its_work_is_lost(case: Case) -> None:
    result = judged(paper(single=True).train(case, [12], spoil="last.pth"))
    assert (result.verdict, result.resumed_at_step, result.redone_steps) == (Verdict.EXACT, 0, 12)
    found = diagnosis(result)
    assert (found.cause, found.where) == (Cause.ONLY_ONE, SAVE)
    assert "2 saves" in found.evidence and "last.pth" in found.evidence and "held 10 steps" in found.evidence
    assert "temporary name, fsync, rename, keep two" in found.mend


def test_one_that_was_damaged_before_there_could_be_a_second_is_no_fault_of_the_script() -> None:
    result = judged(paper(single=True).train(Case.TRUNCATED, [7], spoil="last.pth"))
    assert (result.verdict, result.diagnosis, result.also) == (Verdict.EXACT, None, ())


def test_a_single_file_is_told_of_beside_a_chief_fault_too() -> None:
    trained = paper(single=True).train(Case.TRUNCATED, [12], spoil="last.pth")
    other = replace(trained, artefact=Artefact("model.pt", "x", {"a.weight": "other"}))
    result = judged(other)
    assert result.verdict is Verdict.DIVERGED
    assert [one.cause for one in result.also] == [Cause.ONLY_ONE]


def test_the_evidence_says_what_was_seen() -> None:
    def evidence(**how: Any) -> str:
        return diagnosis(judged(paper(**how).train(Case.KILL, [12]), **how)).evidence

    assert "ckpt-0002.pt held 10 steps" in evidence(lost=["all"]) and "Nothing was loaded" in evidence(lost=["all"])
    assert "10 steps are left, and made 5: one epoch was left out" in evidence(late=1)
    assert "10 steps are left, and made 15: one epoch came twice" in evidence(late=-1)
    assert "optimizer.load_state_dict was never called" in evidence(lost=["optimizer"])
    assert "At step 10 the learning rate was 1 where it should be 0.25" in evidence(lost=["scheduled"])
    assert "At step 10 it got the batch of step 0 again" in evidence(lost=["random"], shuffled=True)
    assert "the random state of torch was not" in evidence(lost=["random"])


def struck(case: Case, code: int = 0, tail: str = "", spoil: str = "ckpt-0002.pt") -> Training:
    """Killed at step 12, the newest checkpoint damaged; where `code` is not 0 the next start dies of it."""
    training = paper().train(case, [12], spoil)
    if not code:
        return training
    first, last = training.lives
    touches = (Touch("load", 0, f"/checkpoints/{spoil}", LOAD, "failed: RuntimeError: no archive"),)
    dead = replace(last, steps=(), logged=(), touches=touches, durables=(), exit_code=code, tail=tail)
    return replace(training, lives=(first, dead, replace(dead, number=2)), artefact=None)


def test_a_corrupt_file_that_was_loaded_is_told_from_one_that_was_not() -> None:
    result = judged(struck(Case.FLIPPED))
    assert (result.verdict, diagnosis(result).cause, diagnosis(result).where) == (Verdict.DIVERGED, Cause.CORRUPT, LOAD)
    assert "ckpt-0002.pt" in diagnosis(result).evidence
    assert (result.killed_at_step, result.resumed_at_step) == (12, 10), "placed by counting from the end"
    unharmed = judged(struck(Case.FLIPPED, spoil="ckpt-0001.pt"))
    assert unharmed.verdict is Verdict.EXACT and unharmed.diagnosis is None


def test_a_torn_file_that_was_loaded_without_a_word() -> None:
    assert diagnosis(judged(struck(Case.TRUNCATED))).cause is Cause.TORN


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        (Case.TRUNCATED, Cause.TORN),
        (Case.DURING_SAVE, Cause.TORN),
        (Case.FLIPPED, Cause.CRASHED),
        (Case.KILL, Cause.CRASHED),
    ],
)
def test_a_start_that_dies_is_named_by_what_was_done_to_its_file(case: Case, cause: Cause) -> None:
    result = judged(struck(case, 1, "Traceback\n  ...\nRuntimeError: no archive. This may be long."))
    assert (result.verdict, diagnosis(result).cause, diagnosis(result).where) == (Verdict.FAILED, cause, LOAD)
    assert diagnosis(result).evidence.endswith("RuntimeError: no archive")
    assert (result.killed_at_step, result.resumed_at_step, result.redone_steps) == (12, None, None)


@pytest.mark.parametrize("case", [Case.TRUNCATED, Case.DURING_SAVE, Case.FLIPPED])
def test_a_start_that_dies_of_what_no_file_can_hold_is_not_put_down_to_the_file(case: Case) -> None:
    result = diagnosis(judged(struck(case, 1, "FileExistsError: [Errno 17] File exists: '/tmp/train.pid'")))
    assert (result.cause, result.mend) == (Cause.CRASHED, MENDS[Cause.CRASHED])


def overwritten(case: Case, *, saves: bool = True) -> Training:
    """Killed at step 12, and begun anew, for nothing was left: checkpoints are written over each other, or never made."""
    lost, name = paper().train(case, [12]), "last.pt"
    anew = paper().train().lives[0]
    lives = []
    for life in (lost.lives[0], replace(anew, number=1)):
        durables = tuple(replace(one, name=name, life=life.number) for one in life.durables) if saves else ()
        blow = None if life.blow is None else replace(life.blow, left=(), torn=case is Case.DURING_SAVE)
        lives.append(replace(life, durables=durables, blow=blow))
    return replace(lost, lives=tuple(lives))


def test_a_save_that_does_away_with_the_only_checkpoint_loses_all_work_and_is_not_exact() -> None:
    result = judged(overwritten(Case.DURING_SAVE))
    assert (result.verdict, diagnosis(result).mend) == (Verdict.RESTARTED, MENDS[Cause.TORN])
    assert "last.pt had held 10 steps" in diagnosis(result).evidence and diagnosis(result).where == SAVE


@pytest.mark.parametrize("case", [Case.KILL, Case.NOTICE, Case.TWICE, Case.CLEAN_MACHINE])
def test_a_script_that_never_saves_does_not_resume_though_it_comes_out_the_same(case: Case) -> None:
    result = judged(overwritten(case, saves=False))
    assert (result.verdict, diagnosis(result).cause) == (Verdict.RESTARTED, Cause.RESTARTED)
    assert "[drill] checkpoints" in diagnosis(result).evidence


def test_a_crash_points_at_the_innermost_line_of_the_users_own() -> None:
    tail = (
        'File "/home/me/train.py", line 12, in <module>\nFile "/home/me/state.py", line 3, in load\n'
        "File \"/usr/lib/python3.11/site-packages/torch/serialization.py\", line 9, in load\nKeyError: 'x'"
    )
    training = struck(Case.KILL, 1, tail)
    bare = replace(training, lives=(training.lives[0], *(replace(one, touches=()) for one in training.lives[1:])))
    assert diagnosis(judged(bare)).where == "/home/me/state.py:3"


def test_a_start_that_failed_once_and_then_came_out_right_is_exact() -> None:
    """As with a load that is tried again, or a file that the first start moved aside."""
    training = paper().train(Case.TRUNCATED, [12])
    first, last = training.lives
    failed = replace(last, number=1, steps=(), logged=(), touches=(), durables=(), exit_code=1)
    result = judged(replace(training, lives=(first, failed, replace(last, number=2))))
    assert (result.verdict, result.redone_steps, result.resumed_at_step) == (Verdict.EXACT, 2, 10)
    assert result.killed_at_step == 12


def told(training: Training, code: int) -> Training:
    first, *rest = training.lives
    assert first.blow is not None
    first = replace(first, exit_code=code, blow=replace(first.blow, how="notice"))
    return replace(training, lives=(first, *rest))


@pytest.mark.parametrize(
    ("stop", "code", "cause"), [(12, 143, Cause.IGNORED_NOTICE), (12, 137, Cause.IGNORED_NOTICE), (10, 75, None)]
)
def test_a_notice_that_was_let_pass_costs_no_exactness_but_is_said(
    stop: int, code: int, cause: Optional[Cause]
) -> None:
    result = judged(told(paper().train(Case.NOTICE, [stop]), code))
    assert result.verdict is Verdict.EXACT
    assert (result.diagnosis and result.diagnosis.cause) == cause


@pytest.mark.parametrize(("code", "cause"), [(75, None), (143, Cause.IGNORED_NOTICE)])
def test_a_script_that_saved_on_notice_is_not_to_blame_for_a_sync_that_came_too_late(
    code: int, cause: Optional[Cause]
) -> None:
    first, *rest = told(paper().train(Case.NOTICE, [12]), code).lives
    assert first.blow is not None
    left = tuple(one.name for one in first.durables)
    saved = (*first.durables, Durable("saved-on-notice", "digest", 1, 12))
    first = replace(first, durables=saved, blow=replace(first.blow, left=left))
    result = judged(replace(paper().train(Case.NOTICE, [12]), lives=(first, *rest)))
    assert (result.verdict, result.redone_steps) == (Verdict.EXACT, 2)
    assert (result.diagnosis and result.diagnosis.cause) == cause


def test_what_was_different_before_any_interruption_is_the_scripts_own() -> None:
    training = paper(noise=0.001, run=3).train(Case.KILL, [12])
    result = judged(training)
    assert diagnosis(result).cause is Cause.NONDETERMINISTIC
    assert "before anything was done to it" in diagnosis(result).evidence


def test_what_nothing_explains_is_said_to_be_unexplained() -> None:
    training = paper().train(Case.KILL, [12])
    last = training.lives[-1]
    steps = (replace(last.steps[0], loss="7.0"), *last.steps[1:])
    result = judged(replace(training, lives=(training.lives[0], replace(last, steps=steps))))
    assert diagnosis(result).cause is Cause.UNKNOWN and "From step 10 on" in diagnosis(result).evidence


def test_a_script_that_cannot_be_looked_into_gets_no_made_up_cause() -> None:
    result = judged(paper(lost=["random"], seen=False).train(Case.KILL, [12]), seen=False)
    assert diagnosis(result).cause is Cause.UNKNOWN
    assert "cannot look into scripts without torch" in diagnosis(result).evidence


def itself(**how: Any) -> str:
    baselines = [paper(**how, noise=0.001, run=number).train() for number in range(2)]
    return diagnosis(
        judge(baselines, [paper(**how, noise=0.001, run=9).train(Case.KILL, [12])], job="paper").cases[0]
    ).evidence


def test_what_differs_between_two_uninterrupted_trainings_names_the_switch() -> None:
    assert "the kernels differ" in itself()
    assert "Seed every source" in itself(seen=False)


def test_workers_and_seeds_are_told_apart_where_batches_differ() -> None:
    def evidence(*touches: Touch) -> str:
        one, other = paper().train(), paper(noise=0.001, run=1).train()
        life = replace(one.lives[0], touches=touches)
        steps = tuple(replace(step, batch="x") for step in other.lives[0].steps)
        second = replace(other, lives=(replace(other.lives[0], steps=steps),))
        return judge([replace(one, lives=(life,)), second], [], job="paper").notes[0]

    assert "worker_init_fn" in evidence(Touch("loader", 0, detail="DataLoader: shuffle=True workers=2 generator=False"))
    assert "nothing seeds the order" in evidence()
    assert "PYTHONHASHSEED" in evidence(Touch("seed", 0, detail="torch: 0"))
