"""A long wait is not a silent one."""

from __future__ import annotations

import threading

import pytest

from nightspot.drill.patience import playing, told


def test_a_long_wait_is_told_again_and_again() -> None:
    heard: list[str] = []
    twice = threading.Event()

    def say(line: str) -> None:
        heard.append(line)
        if len(heard) == 2:
            twice.set()

    with told("baseline 1", say, every_s=0.001):
        assert twice.wait(30)
    assert heard[0] == "baseline 1: 0 min so far"


def test_a_short_one_is_not() -> None:
    heard: list[str] = []
    with told("baseline 1", heard.append):
        pass
    assert heard == []


def test_it_falls_silent_with_the_block_however_that_ends() -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), told("baseline 1", print):
        raise KeyboardInterrupt
    assert threading.active_count() == before


def test_what_is_played_is_told_when_it_begins_and_when_it_is_over() -> None:
    heard: list[str] = []
    with playing("kill", heard.append):
        assert heard == ["kill: playing"]
    assert heard[1:] == ["kill: played in 0 s"]


def test_what_was_broken_off_is_not_said_to_have_been_played() -> None:
    heard: list[str] = []
    with pytest.raises(KeyboardInterrupt), playing("kill", heard.append):
        raise KeyboardInterrupt
    assert heard == ["kill: playing"]
