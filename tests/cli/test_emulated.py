"""What the drill through the emulator decides before anything runs: where to strike, and what a training job can be told."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Iterator, Sequence

import pytest

from nightspot.cli.emulatedaws import hyperparameters
from nightspot.cli.emulatedlife import PROBE, Incarnation
from nightspot.cli.emulatedsave import Saving
from nightspot.cli.emulatedstrikes import Strike, strikes_of
from nightspot.drill.apart.tree import children_of
from nightspot.drill.cases import FIRST_STEP, NEVER_SAVED, NO_STEPS, TOO_SHORT
from nightspot.drill.record import Case
from nightspot.drill.seen.facts import Chooser, Facts
from nightspot.drill.seen.said import Told
from nightspot.drill.settings import Place
from nightspot.drill.strikes import InSave, Usual
from nightspot.emulator.orders import KILL, NOTICE
from nightspot.process.identity import STATE, stat_fields
from nightspot.process.tree import DEAD

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


PLACES = ("ml/.nightspot", "ml/.nightspot-staging", "ml/checkpoints")
WRITER = "read -r name; mkdir ml/.nightspot-staging/$name; read -r never"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[tuple[Incarnation, subprocess.Popen[bytes]]]:
    """One whose program begins a save when it is told a name. The outer shell, with the disk in its words, stands for bubblewrap."""
    disk = tmp_path / "disk"
    for place in PLACES:
        (disk / place).mkdir(parents=True)
    (disk / PLACES[0] / PROBE).touch()
    words = ["sh", "-c", f"sh -c '{WRITER}'; true", str(disk)]
    with subprocess.Popen(words, cwd=disk, stdin=subprocess.PIPE) as program:
        yield Incarnation.begin(disk, tmp_path / "own", None), program
        program.kill()


def begun(instance: tuple[Incarnation, subprocess.Popen[bytes]], name: str, taken: list[str]) -> Saving:
    """That instance, watched, and a folder of that name in its staging made by its program."""
    incarnation, program = instance
    saving = Saving.begin(incarnation, Place(incarnation.disk / PLACES[2]), os.getpid(), lambda: taken.append("taken"))
    assert saving is not None and program.stdin is not None
    program.stdin.write(f"{name}\n".encode())
    program.stdin.flush()
    while not (incarnation.staging / name).exists():
        saving.wait(0.01)
    return saving


def states(program: subprocess.Popen[bytes]) -> set[str]:
    """Of all below the outer shell: T where it is stopped."""
    found = [stat_fields(pid) for pid in children_of(program.pid)]
    return {fields[STATE] for fields in found if fields is not None and fields[STATE] not in DEAD}


def test_a_save_beside_the_synced_folder_is_met_and_all_stands_still(
    instance: tuple[Incarnation, subprocess.Popen[bytes]],
) -> None:
    taken: list[str] = []
    with closing(begun(instance, "step-000000002.tmp-a", taken)) as saving:
        blow = saving.meet(InSave(Usual({}, frozenset()), after=0))
        assert blow is not None and blow.torn
        assert blow.event == "killed while it saved: step-000000002.tmp-a is not yet what it will be called"
        assert (taken, states(instance[1])) == (["taken"], {"T"})


@pytest.mark.parametrize("name", ["step-000000001.tmp-b", "trial.tmp-c"])
def test_neither_an_old_checkpoint_that_goes_nor_a_trial_is_a_save(
    instance: tuple[Incarnation, subprocess.Popen[bytes]], name: str
) -> None:
    taken: list[str] = []
    instance[0].ears.told.append(Told("step-000000001", "", 1.0, 1))
    with closing(begun(instance, name, taken)) as saving:
        assert saving.meet(InSave(Usual({}, frozenset()), after=1)) is None
        assert taken == [] and "T" not in states(instance[1])
