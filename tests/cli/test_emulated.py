"""What the drill through the emulator decides before anything runs: where to strike, and what a training job can be told."""

from __future__ import annotations

from dataclasses import replace
from typing import Sequence

import pytest

from nightspot.cli.emulatedaws import hyperparameters
from nightspot.cli.emulatedstrikes import Strike, strikes_of
from nightspot.drill.cases import FIRST_STEP, NEVER_SAVED, NO_STEPS, TOO_SHORT
from nightspot.drill.record import Case
from nightspot.drill.seen.facts import Chooser, Facts
from nightspot.emulator.orders import KILL, NOTICE

FACTS = Facts(
    steps=20,
    saves=(5, 10, 15, 20),
    by_protocol=True,
    by_lines=False,
    units=4.0,
    usual_bytes={},
    beside=frozenset(),
    seconds=9,
)
SEEDS = range(30)
SPOILED = (Case.TRUNCATED, Case.FLIPPED)
BY_STEP = [case for case in Case if case is not Case.DURING_SAVE]


def struck(case: Case, seed: int) -> Sequence[Strike]:
    strikes = strikes_of(case, FACTS, seed)
    assert not isinstance(strikes, str)
    return strikes


@pytest.mark.parametrize("case", BY_STEP)
def test_each_case_strikes_within_the_training_and_the_same_seed_at_the_same_steps(case: Case) -> None:
    for seed in SEEDS:
        strikes = struck(case, seed)
        assert strikes == struck(case, seed)
        assert len(strikes) == (2 if case is Case.TWICE else 1)
        assert all(0 < one.hold < FACTS.steps for one in strikes)
        assert {one.how for one in strikes} == {NOTICE if case is Case.NOTICE else KILL}
        assert [one.spoils for one in strikes] == [case if case in SPOILED else None] * len(strikes)


def test_a_checkpoint_is_damaged_where_an_older_one_is_left_to_go_on_from() -> None:
    for case in SPOILED:
        for seed in SEEDS:
            (strike,) = struck(case, seed)
            assert strike.hold > FACTS.saves[1] and strike.synced


def test_within_a_save_no_step_is_waited_for() -> None:
    assert strikes_of(Case.DURING_SAVE, FACTS, 0) == []


def test_a_kill_falls_where_it_falls_without_an_emulator() -> None:
    for seed in SEEDS:
        (strike,) = struck(Case.KILL, seed)
        assert strike.hold == Chooser(FACTS, seed).step(Case.KILL)


def test_before_the_first_checkpoint_nothing_is_waited_for_and_after_a_save_it_is() -> None:
    for seed in SEEDS:
        (first,) = struck(Case.BEFORE_FIRST, seed)
        assert first.hold < FACTS.saves[0] and not first.synced
        (after,) = struck(Case.AFTER_SAVE, seed)
        assert after.hold - 1 in FACTS.saves and after.synced


def test_the_second_strike_comes_before_another_save() -> None:
    for seed in SEEDS:
        first, second = struck(Case.TWICE, seed)
        done = max(save for save in FACTS.saves if save < first.hold)
        assert done + second.hold <= max(first.hold + 1, done + 1)


@pytest.mark.parametrize(
    ("case", "facts", "why"),
    [
        (Case.KILL, replace(FACTS, steps=0), NO_STEPS),
        (Case.KILL, replace(FACTS, by_lines=True), NO_STEPS),
        (Case.AFTER_SAVE, replace(FACTS, saves=()), NEVER_SAVED),
        (Case.DURING_SAVE, replace(FACTS, saves=()), NEVER_SAVED),
        (Case.FLIPPED, replace(FACTS, saves=()), NEVER_SAVED),
        (Case.AFTER_SAVE, replace(FACTS, saves=(20,)), TOO_SHORT),
        (Case.BEFORE_FIRST, replace(FACTS, saves=(0, 5)), FIRST_STEP),
    ],
)
def test_a_moment_that_cannot_be_had_is_said_in_the_drills_words(case: Case, facts: Facts, why: str) -> None:
    assert strikes_of(case, facts, 0) == why


def test_arguments_become_hyperparameters() -> None:
    assert hyperparameters(["--epochs", "4", "--lr=-0.1", "--name", "--x"]) == {
        "epochs": "4",
        "lr": "-0.1",
        "name": "--x",
    }
    assert hyperparameters([]) == {}


@pytest.mark.parametrize("words", [["4"], ["--epochs"], ["-e", "4"], ["--", "x"], ["--epochs", "4", "more"]])
def test_what_is_no_hyperparameter_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match="only --name value can"):
        hyperparameters(words)
