"""What is said to type next can be typed, and does what was said."""

from __future__ import annotations

from pathlib import Path

import pytest

from nightspot.cli.home import Home
from nightspot.cli.leaving import left_sentence
from nightspot.cli.lock import OtherControllerError, controlling
from nightspot.model.attempt import Role
from nightspot.model.events import AttemptSeen, Event, LaunchRequested
from nightspot.model.facts import facts_of
from nightspot.model.state import RunState, apply, open_run
from nightspot.night.journal import MemoryJournal
from tests.report.nights import opened


def test_a_hint_names_the_home_where_it_is_not_the_usual_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSPOT_HOME", str(tmp_path / "usual"))
    assert Home(tmp_path / "usual").command("report last") == "`nightspot report last`"
    odd = tmp_path / "another home"
    assert Home(odd).command("report last") == f"`nightspot report last --home '{odd}'`"


def left(home: Home, *, seen: bool) -> str:
    begun = opened()
    journal = MemoryJournal(lambda: 0.0)
    requested = LaunchRequested(begun.at_utc, 1, "t", begun.job.pools[0].id, Role.TRAIN, begun.deadline_utc)
    events: list[Event] = [begun, requested, *([AttemptSeen(begun.at_utc, 1, "h")] if seen else [])]
    journal.append(begun.run_id, 0, events)
    state: RunState = open_run(begun)
    for event in events[1:]:
        state = apply(state, event)
    return left_sentence(home, state, facts_of(journal.read(begun.run_id)), begun.at_utc)


def test_an_emulated_night_is_gone_on_with_as_one_and_never_as_a_real_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTSPOT_HOME", str(tmp_path))
    assert "`nightspot run --emulate` with the same job file and options" in left(
        Home(tmp_path / "emulated"), seen=True
    )
    assert "`nightspot run` with the same job file and options" in left(Home(tmp_path), seen=True)


def test_of_a_launch_without_an_answer_it_is_not_said_that_it_goes_on(tmp_path: Path) -> None:
    assert "goes on by itself" in left(Home(tmp_path), seen=True)
    assert "nobody knows yet whether it runs" in left(Home(tmp_path), seen=False)
    assert "goes on by itself" not in left(Home(tmp_path), seen=False)


def test_another_controller_is_shown_with_the_home_it_works_in(tmp_path: Path) -> None:
    home = Home(tmp_path / "here")
    home.make()
    with (
        controlling(home, "run-1"),
        pytest.raises(OtherControllerError, match=str(home.path)),
        controlling(home, "run-1", patience_s=0.0),
    ):
        pass
