"""The engine plays each case as it is named, on a script that knows nothing of nightspot, by what is seen and not by time."""

from __future__ import annotations

from pathlib import Path

import pytest

from nightspot.drill.play import Drilled
from nightspot.drill.record import Blow, Case, Cause, Durable, Training
from tests.drill.engine_jobs import by_case, needs_bwrap, needs_strace, play_all, settings_of, written

pytestmark = needs_bwrap
STEPS, EVERY = 24, 8  # what is counted by lines is struck a little late: room for that


@pytest.fixture(scope="module")
def drilled(tmp_path_factory: pytest.TempPathFactory) -> Drilled:
    """All cases of a script that saves in pieces, and so can be met within a save."""
    folder = tmp_path_factory.mktemp("cases")
    file = written(folder / "job", "ckpt", "--pieces", "0.02", "--steps", str(STEPS), "--every", str(EVERY))
    return play_all(settings_of(file, folder / "root", failures=2), list(Case))


def step_of(durable: Durable) -> int:
    """As its name tells."""
    return int(durable.name[5:9])


def the(drilled: Drilled, case: Case) -> Training:
    return by_case(drilled)[case]


def blow_of(training: Training, life: int = 0) -> Blow:
    blow = training.lives[life].blow
    assert blow is not None
    return blow


def test_baselines_run_to_their_end_in_one_life_and_tell_what_they_saved(drilled: Drilled) -> None:
    assert len(drilled.baselines) == 2
    for baseline in drilled.baselines:
        (life,) = baseline.lives
        assert (life.exit_code, life.blow, baseline.fault) == (0, None, None)
        assert [one.name for one in life.durables] == [f"ckpt-{step:04d}.json" for step in (8, 16, 24)]
        for one in life.durables:  # counted by lines: perhaps a step late, never early
            assert step_of(one) <= one.at_index <= step_of(one) + 3
        assert [(one.step, one.loss) for one in life.logged][:1] == [(1.0, life.logged[0].loss)]
        assert len(life.logged) == STEPS
    assert drilled.baselines[0].artefact == drilled.baselines[1].artefact is not None


def test_every_case_that_leaves_a_whole_checkpoint_ends_with_the_baselines_model(drilled: Drilled) -> None:
    spoiled = {Case.DURING_SAVE, Case.TRUNCATED, Case.FLIPPED}
    for case in set(Case) - spoiled:
        assert the(drilled, case).artefact == drilled.baselines[0].artefact, case


def test_a_kill_falls_between_two_saves_and_leaves_what_was_saved(drilled: Drilled) -> None:
    training = the(drilled, Case.KILL)
    first, second = training.lives
    blow = blow_of(training)
    assert (blow.how, first.exit_code, second.exit_code) == ("kill", 137, 0)
    assert step_of(first.durables[-1]) < blow.at_index == len(first.logged)
    assert blow.left == tuple(reversed([one.name for one in first.durables]))
    assert len(second.logged) == STEPS - step_of(first.durables[-1])


def test_a_notice_that_nobody_hears_ends_the_script_as_sigterm_does(drilled: Drilled) -> None:
    training = the(drilled, Case.NOTICE)
    assert (blow_of(training).how, training.lives[0].exit_code) == ("notice", 143)


def test_a_save_is_met_unfinished_and_the_file_is_left_torn(drilled: Drilled) -> None:
    training = the(drilled, Case.DURING_SAVE)
    blow = blow_of(training)
    assert blow.torn and "ckpt-0016.json" in blow.event
    assert training.cause is Cause.CRASHED and "is torn" in (training.fault or "")


def test_a_script_that_fails_twice_on_the_same_files_is_not_started_a_third_time(drilled: Drilled) -> None:
    assert [life.exit_code for life in the(drilled, Case.DURING_SAVE).lives] == [137, 1, 1]


def test_after_a_save_means_that_it_is_whole_and_no_step_went_by(drilled: Drilled) -> None:
    blow = blow_of(the(drilled, Case.AFTER_SAVE))
    assert blow.left and f"after {blow.left[0]}" in blow.event and not blow.torn
    assert blow.at_index % EVERY in range(4)


def test_the_newest_checkpoint_is_cut_short(drilled: Drilled) -> None:
    training = the(drilled, Case.TRUNCATED)
    blow = blow_of(training)
    newest = training.lives[0].durables[-1].name
    assert blow.damaged == newest and f"{newest} was cut to" in blow.detail


def test_one_bit_of_the_newest_checkpoint_is_flipped(drilled: Drilled) -> None:
    training = the(drilled, Case.FLIPPED)
    blow = blow_of(training)
    assert blow.damaged == training.lives[0].durables[-1].name and "bit" in blow.detail
    assert training.artefact != drilled.baselines[0].artefact


def test_twice_strikes_again_before_another_save(drilled: Drilled) -> None:
    training = the(drilled, Case.TWICE)
    assert [life.exit_code for life in training.lives] == [137, 137, 0]
    assert len(training.lives[1].logged) >= 1
    assert training.lives[1].durables == () or training.lives[1].durables[0].at_index > 0


def test_before_the_first_there_is_nothing_to_go_on_from(drilled: Drilled) -> None:
    training = the(drilled, Case.BEFORE_FIRST)
    assert blow_of(training).left == ()
    assert len(training.lives[1].logged) == STEPS


def test_on_a_clean_machine_there_are_only_the_checkpoints(drilled: Drilled) -> None:
    training = the(drilled, Case.CLEAN_MACHINE)
    assert blow_of(training).left == tuple(one.name for one in reversed(training.lives[0].durables))
    assert training.lives[1].logged[0].step == step_of(training.lives[0].durables[-1]) + 1


def test_a_notice_that_is_heard_saves_and_leaves(tmp_path: Path) -> None:
    file = written(tmp_path / "job", "ckpt", "--on-notice", "save")
    training = by_case(play_all(settings_of(file, tmp_path / "root"), [Case.NOTICE]))[Case.NOTICE]
    first, second = training.lives
    assert first.exit_code == 75 and blow_of(training).event == "it left by itself"
    assert step_of(first.durables[-1]) == len(first.logged)
    assert second.logged[0].step == len(first.logged) + 1


def test_a_notice_that_is_passed_over_is_no_way_to_the_end(tmp_path: Path) -> None:
    file = written(tmp_path / "job", "ckpt", "--on-notice", "ignore")
    training = by_case(play_all(settings_of(file, tmp_path / "root"), [Case.NOTICE]))[Case.NOTICE]
    assert training.lives[0].exit_code == 137 and "trained on" in blow_of(training).event
    assert len(training.lives[0].logged) < 20


@needs_strace
def test_a_save_too_quick_to_be_met_is_met_once_writes_are_slow(tmp_path: Path) -> None:
    """One write call of everything: without delays the file is never seen unfinished, unless by luck."""
    file = written(tmp_path / "job", "ckpt", "--pause", "0")
    training = by_case(play_all(settings_of(file, tmp_path / "root", failures=1), [Case.DURING_SAVE]))[Case.DURING_SAVE]
    assert blow_of(training).torn


def test_a_script_that_never_saves_cannot_be_met_saving_and_that_is_said(tmp_path: Path) -> None:
    file = written(tmp_path / "job", "ckpt", "--every", "100")
    cases = [Case.DURING_SAVE, Case.TRUNCATED]
    for training in play_all(settings_of(file, tmp_path / "root"), cases).trainings:
        assert training.cause is Cause.NOT_CAUGHT and "[drill] checkpoints" in (training.fault or "")


def test_a_script_that_hangs_when_it_resumes_is_a_finding_and_no_hang_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightspot.drill.play.LIMIT_MORE_S", 1.0)
    file = written(tmp_path / "job", "ckpt", "--hang-on-resume")
    settings = settings_of(file, tmp_path / "root", failures=1)
    training = by_case(play_all(settings, [Case.KILL]))[Case.KILL]
    assert training.cause is Cause.CRASHED and "it did not end" in training.lives[-1].tail


def test_saves_of_a_script_without_torch_that_are_moved_in_count_by_its_lines(tmp_path: Path) -> None:
    file = written(tmp_path / "job", "ckpt", "--moved-in", "--every", "8", "--pause", "0.03")
    drilled = play_all(settings_of(file, tmp_path / "root"), [Case.BEFORE_FIRST])
    first, *_ = drilled.baselines[0].lives[0].durables
    assert step_of(first) <= first.at_index <= step_of(first) + 3
    assert the(drilled, Case.BEFORE_FIRST).fault is None and blow_of(the(drilled, Case.BEFORE_FIRST)).left == ()


def test_what_was_too_quick_to_be_killed_before_its_first_checkpoint_is_not_said_to_have_been(tmp_path: Path) -> None:
    """A save is begun at once, and a kill by lines waits for it."""
    file = written(tmp_path / "job", "ckpt", "--every", "2", "--pause", "0", "--pieces", "0.03", "--moved-in")
    training = by_case(play_all(settings_of(file, tmp_path / "root"), [Case.BEFORE_FIRST]))[Case.BEFORE_FIRST]
    kept = blow_of(training).left
    assert (training.cause is Cause.NOT_CAUGHT) == bool(kept) and (not kept or "too quick" in (training.fault or ""))


def test_a_script_that_fails_undisturbed_is_not_interrupted(tmp_path: Path) -> None:
    file = written(tmp_path / "job", "ckpt", "--no-such-option")
    drilled = play_all(settings_of(file, tmp_path / "root"), [Case.KILL])
    assert len(drilled.baselines) == 1 and len(drilled.baselines[0].lives) == 1
    assert "--no-such-option" in (by_case(drilled)[Case.KILL].fault or "")
    assert by_case(drilled)[Case.KILL].cause is Cause.UNDISTURBED, "not: when it was started again"


def test_baselines_that_differ_are_played_as_often_as_the_job_file_says(tmp_path: Path) -> None:
    file = written(tmp_path / "job", "ckpt", "--steps", "3", drill="noise = 4")
    from nightspot.drill.play import play

    drilled = play(settings_of(file, tmp_path / "root"), [], lambda _: False, lambda _: None)
    assert len(drilled.baselines) == 4


def test_what_there_is_no_time_for_is_left_out_by_value(tmp_path: Path) -> None:
    file = written(tmp_path / "job", "ckpt", "--steps", "3", "--every", "1")
    drilled = play_all(settings_of(file, tmp_path / "root", time_s=0.001, parallel=1), [Case.BEFORE_FIRST, Case.KILL])
    assert drilled.left_out == [Case.KILL, Case.BEFORE_FIRST] and drilled.trainings == []
