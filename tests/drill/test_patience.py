"""A long wait is not a silent one."""

from __future__ import annotations

import threading

import pytest

from nightspot.drill.patience import told


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
