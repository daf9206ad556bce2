"""A session saves as often as it was asked to, by its arguments or by the environment, and "auto" says why."""

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from nightspot.checkpoint import ConfigError, Session, manifest
from nightspot.checkpoint.interval import parse
from nightspot.checkpoint.settings import Wishes, read

STEP_S, FLUSH_S = 1.0, 0.1


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that moves by the step, and by each flush to a disk that takes its time."""
    clock = [1000.0]

    def slow(_descriptor: int) -> None:
        clock[0] += FLUSH_S

    monkeypatch.setattr(os, "fsync", slow)
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    return clock


def train(folder: Path, clock: list[float], steps: int, per_unit: int = 10, **settings: Any) -> list[float]:
    """Units done of each checkpoint of a loop, resumed where it was."""
    loop = {"step": 0}
    with Session({"loop": loop}, folder=folder, keep=1000, background=False, **settings) as session:
        session.restore()
        for _ in range(steps):
            clock[0] += STEP_S
            loop["step"] += 1
            session.step(units_done=loop["step"] / per_unit)
    return sorted(manifest.read(folder / name).head.units_done for name in manifest.names(folder))


def test_every_so_many_steps(tmp_path: Path, now_s: list[float]) -> None:
    assert train(tmp_path, now_s, 10, interval="4 steps") == [0.4, 0.8]


def test_every_epoch_whatever_the_clock_and_also_after_a_resume(tmp_path: Path, now_s: list[float]) -> None:
    assert train(tmp_path, now_s, 14, interval="1 epoch") == [1.0]
    assert train(tmp_path, now_s, 21, interval="1 epoch") == [1.0, 2.0, 3.0]


def test_every_so_many_seconds_of_which_a_save_is_not_a_part(tmp_path: Path, now_s: list[float]) -> None:
    saved = train(tmp_path, now_s, 20, per_unit=1, interval="6s")
    assert saved == [6.0, 12.0, 18.0]
    assert train(tmp_path / "old", now_s, 20, per_unit=1, interval_s=6) == saved
    assert train(tmp_path / "number", now_s, 20, per_unit=1, interval=6) == saved


def test_the_environment_comes_first(tmp_path: Path, now_s: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSPOT_CHECKPOINT_INTERVAL_S", "5")
    assert train(tmp_path / "number", now_s, 10, per_unit=1, interval="1 step") == [5.0, 10.0]
    monkeypatch.setenv("NIGHTSPOT_CHECKPOINT_INTERVAL", "3 steps")
    assert train(tmp_path / "words", now_s, 10, per_unit=1, interval="1 step") == [3.0, 6.0, 9.0]


def test_auto_is_the_default_and_tells_once_what_it_does_and_why(
    tmp_path: Path, now_s: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTSPOT_INTERRUPTION_EVERY_S", "7200")
    saved = train(tmp_path, now_s, 1000, per_unit=1)
    said = [line for line in capsys.readouterr().err.splitlines() if "auto interval" in line]
    assert len(said) == 1
    assert "an interruption comes every 2h, as the controller knows this pool; at worst" in said[0]
    apart = {after - before for before, after in itertools.pairwise(saved[2:])}
    assert 20 < min(apart) <= max(apart) <= min(apart) + 1, "it settles, and does not save at every step"


def test_under_auto_no_save_holds_training_up_until_it_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only an interval that means "after every step" waits."""
    waits = {}
    for interval in ("auto", "1 step", "2 steps", 0, "1 epoch"):
        with Session({"loop": {}}, folder=tmp_path, interval=interval) as session:
            waits[interval] = session._waits
    assert waits == {"auto": False, "1 step": True, "2 steps": False, 0: True, "1 epoch": False}


@pytest.mark.parametrize("interval", ["often", -1, "2 fortnights", float("nan")])
def test_an_interval_that_is_none_is_refused_before_anything_is_done(tmp_path: Path, interval: Any) -> None:
    with pytest.raises(SystemExit) as refused, Session({"loop": {}}, folder=tmp_path / "c", interval=interval):
        raise AssertionError
    assert refused.value.code == 78
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NIGHTSPOT_CHECKPOINT_INTERVAL", "often"),
        ("NIGHTSPOT_CHECKPOINT_INTERVAL_S", "-1"),
        ("NIGHTSPOT_INTERRUPTION_EVERY_S", "0"),
        ("NIGHTSPOT_INTERRUPTION_EVERY_S", "nan"),
        ("NIGHTSPOT_TIME_SCALE", "fast"),
    ],
)
def test_a_variable_that_makes_no_sense_is_refused_with_its_value(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=value):
        read({name: value}, Wishes(None, None, None))


def test_a_number_beside_words_is_what_auto_takes_at_most() -> None:
    told = {"NIGHTSPOT_CHECKPOINT_INTERVAL": "auto", "NIGHTSPOT_CHECKPOINT_INTERVAL_S": "15.0"}
    heard = read(told, Wishes(None, "3 steps", None))
    assert (heard.rule, heard.longest_s) == (parse("auto"), 15.0)
    assert read({}, Wishes(None, "3 steps", None)).rule == parse("3 steps")
    assert read({}, Wishes(None, None, None)).rule == parse("auto")
