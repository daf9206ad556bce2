"""On notice: one more save where it can be finished, else what is in flight, else leaving; and the user is told why."""

import itertools
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from nightspot.checkpoint.grace import LEAVING_S, Action, Grace, Standing, decide
from nightspot.checkpoint.notice import Notice

NOW = Standing(saves_s=(6.0, 9.0, 7.0), durable="step-000000012", unsaved_s=41.0)
IN_FLIGHT = replace(NOW, flying="step-000000013", flown_s=4.0)


def action(left_s: float | None, now: Standing) -> Action:
    return decide(Grace(left_s), now).action


def test_with_time_enough_it_saves_once_more() -> None:
    said = decide(Grace(120.0, 5.0), NOW)
    assert said.action is Action.SAVE
    assert said.why == "1min55s are left and a save takes 9s: saving once more"


def test_with_too_little_time_it_leaves_and_says_what_is_lost() -> None:
    said = decide(Grace(4.0, 2.0), NOW)
    assert said.action is Action.LEAVE
    assert said.why == "2s are left and a save takes 9s: step-000000012 is durable, 41s of work are lost"


def test_where_only_the_quickest_save_would_fit_one_is_tried() -> None:
    said = decide(Grace(8.0), NOW)
    assert said.action is Action.SAVE
    assert "the quickest 6s: trying one" in said.why


def test_a_save_in_flight_is_finished_where_there_is_no_time_for_another() -> None:
    said = decide(Grace(7.0), IN_FLIGHT)
    assert said.action is Action.WAIT_FOR_FLIGHT
    assert said.why == "7s are left and a save takes 9s: step-000000013, 4s old, is finished instead"


def test_a_save_in_flight_that_may_not_be_finished_is_waited_for_all_the_same() -> None:
    said = decide(Grace(2.0), IN_FLIGHT)
    assert said.action is Action.WAIT_FOR_FLIGHT
    assert said.why.endswith("is finished instead, if there is time for it")


def test_what_is_left_of_the_flight_counts_before_another_save() -> None:
    # 5 s of the flight and 9 s of the next, or 2 s and 6 s where all goes quickly.
    needed_s = 5.0 + 9.0 + LEAVING_S
    assert "saving once more" in decide(Grace(needed_s), IN_FLIGHT).why
    assert "trying one" in decide(Grace(needed_s - 0.1), IN_FLIGHT).why
    assert action(2.0 + 6.0 + LEAVING_S - 0.1, IN_FLIGHT) is Action.WAIT_FOR_FLIGHT


def test_where_nothing_is_durable_one_is_tried_however_little_time_there_is() -> None:
    said = decide(Grace(1.0), replace(NOW, durable=None))
    assert said.action is Action.SAVE
    assert "nothing is durable yet" in said.why


def test_where_nobody_said_when_the_kill_comes_one_is_tried_however_long_it_takes() -> None:
    slow = replace(NOW, saves_s=(600.0,))
    assert action(None, slow) is Action.SAVE
    assert "not known" in decide(Grace(None), slow).why


def test_a_kill_that_should_have_come_by_now_is_not_reckoned_with() -> None:
    assert Grace(2.0, 1.5).left_s == 0.5
    assert Grace(2.0, 2.5).left_s is None
    assert decide(Grace(2.0, 2.5), NOW).action is Action.SAVE


def test_where_no_save_was_measured_one_is_tried() -> None:
    assert action(1.0, replace(NOW, saves_s=())) is Action.SAVE


@pytest.mark.parametrize("flown_s", [None, 0.0, 3.0, 50.0])
def test_more_time_never_means_doing_less(flown_s: float | None) -> None:
    now = replace(NOW, flying=None if flown_s is None else "step-000000013", flown_s=flown_s)
    order = [Action.LEAVE, Action.WAIT_FOR_FLIGHT, Action.SAVE]
    done = [order.index(action(left_s / 4, now)) for left_s in range(120)]
    assert all(before <= after for before, after in itertools.pairwise(done))
    assert done[-1] == order.index(Action.SAVE)
    assert done[0] < done[-1]


def test_the_verdict_stays_the_same_while_time_passes_on_the_way_to_it() -> None:
    assert action(120.0, NOW) is decide(Grace(240.0, 120.0), NOW).action


def notice(path: Path, said: object, at_utc: float = 1000.0) -> Notice:
    path.write_text(said if isinstance(said, str) else json.dumps(said))
    os.utime(path, (at_utc, at_utc))
    return Notice(path)


def test_the_time_left_counts_from_when_the_notice_was_written(tmp_path: Path) -> None:
    heard = notice(tmp_path / "n", {"reason": "interruption", "kill_in_s": 120.0})
    assert heard.grace(lambda: 1030.0) == Grace(120.0, 30.0)
    assert heard.grace(lambda: 1030.0).left_s == 90.0


def test_a_clock_that_was_put_back_takes_no_time_away(tmp_path: Path) -> None:
    assert notice(tmp_path / "n", {"kill_in_s": 120}).grace(lambda: 900.0) == Grace(120.0, 0.0)


@pytest.mark.parametrize(
    "said", ["", "{", "[1]", "null", {"reason": "stop"}, {"kill_in_s": "soon"}, {"kill_in_s": -1}, {"kill_in_s": True}]
)
def test_a_notice_that_does_not_say_when_says_nothing(tmp_path: Path, said: object) -> None:
    assert notice(tmp_path / "n", said).grace() == Grace(None)


@pytest.mark.parametrize("said", ['{"kill_in_s": NaN}', '{"kill_in_s": Infinity}'])
def test_a_time_that_is_no_number_says_nothing(tmp_path: Path, said: str) -> None:
    assert notice(tmp_path / "n", said).grace() == Grace(None)


def test_a_signal_alone_does_not_say_when(tmp_path: Path) -> None:
    assert Notice(None).grace() == Notice(tmp_path / "absent").grace() == Grace(None)
