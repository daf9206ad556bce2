"""What ranks settle among themselves: for real over gloo, and the pure parts alone."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from nightspot.checkpoint import ConfigError, DamagedError, RankLostError, Session
from nightspot.checkpoint.manifest import File
from nightspot.checkpoint.many import opening, ranks
from nightspot.checkpoint.many._group import Group
from nightspot.checkpoint.many.ranks import Alone, Outcome, Wants
from tests.checkpoint.ranks_launcher import launch

FLAGS = st.builds(Wants, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans())


def group() -> Group:
    dist.init_process_group("gloo")
    return Group()


def answers(folder: Path, act: Callable[..., Any], *arguments: object, size: int = 2, **environment: str) -> list[Any]:
    ended = launch(folder, size, act, *arguments, **environment)
    assert [rank.code for rank in ended] == [0] * size, "\n".join(rank.said for rank in ended)
    return [rank.result for rank in ended]


def many_answers(folder: Path) -> dict[str, Any]:
    """One process group for many questions: making it is what takes time."""
    mine = group()
    found: dict[str, Any] = {}
    wishes = [Wants(notice=mine.rank == 1), Wants(asked=mine.rank == 1), Wants(due=True), Wants(busy=mine.rank == 0)]
    steps = [wish for wished in wishes for wish in (wished, Wants())]
    found["agreed"] = [mine.exchange(wish, step) for step, wish in enumerate(steps)]
    found["differing"] = mine.differing({"same": "x", "other": str(mine.rank)})
    found["damaged"] = error_of(lambda: ranks.together(mine, lambda: fail(DamagedError, mine.rank == 1)))
    found["disk"] = error_of(lambda: ranks.together(mine, lambda: fail(OSError, mine.rank == 0)))
    found["first"] = ranks.first(mine, lambda: ["of rank", mine.rank])
    found["first fails"] = error_of(lambda: ranks.first(mine, lambda: fail(ConfigError, True)))
    found["same"] = error_of(lambda: ranks.same(mine, "colour", f"c{mine.rank}", "paint it"))
    found["folders"] = error_of(lambda: opening.open_together(mine, folder / str(mine.rank), None))
    (folder / "shared").mkdir(exist_ok=True)
    found["one folder"] = error_of(lambda: opening.open_together(mine, folder / "shared", None))
    mine.exchange(Wants(), 5.0 + mine.rank)
    found["units"] = error_of(lambda: mine.exchange(Wants(), 6.0))
    return found


def fail(kind: type[Exception], really: bool) -> None:
    if really:
        raise kind("no luck")


def error_of(act: Callable[[], object]) -> tuple[str, str] | None:
    try:
        act()
    except Exception as error:
        return type(error).__name__, str(error)
    return None


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    return answers(folder / "said", many_answers, folder)


def test_all_hear_at_the_next_step_what_any_rank_wanted(both: list[dict[str, Any]]) -> None:
    heard = [Wants(notice=True), Wants(asked=True), Wants(due=True), Wants(busy=True)]
    expected = [wish for wished in heard for wish in (Wants(), wished)]
    assert [rank["agreed"] for rank in both] == [expected, expected]


def test_what_failed_on_one_rank_fails_on_all_with_the_same_class_and_says_where(both: list[dict[str, Any]]) -> None:
    assert [rank["damaged"] for rank in both] == [("DamagedError", "rank 1: no luck"), ("DamagedError", "no luck")]
    assert [rank["disk"] for rank in both] == [("OSError", "no luck"), ("OSError", "rank 0: no luck")]
    assert [rank["first fails"] for rank in both] == [("ConfigError", "no luck"), ("ConfigError", "rank 0: no luck")]


def test_what_the_first_rank_found_is_what_all_have(both: list[dict[str, Any]]) -> None:
    assert [rank["first"] for rank in both] == [["of rank", 0]] * 2
    assert [rank["differing"] for rank in both] == [{"other"}] * 2
    said = ("ConfigError", "colour: c0 on rank 0, c1 on rank 1; paint it")
    assert [rank["same"] for rank in both] == [said, said]


def test_ranks_that_see_other_folders_are_refused_with_the_remedy(both: list[dict[str, Any]]) -> None:
    for kind, text in (rank["folders"] for rank in both):
        assert kind == "ConfigError"
        assert "is another folder on rank 1 than on rank 0" in text
        assert "shared file system" in text
    assert [rank["one folder"] for rank in both] == [None, None]


def test_ranks_at_other_places_of_the_training_are_refused(both: list[dict[str, Any]]) -> None:
    for kind, text in (rank["units"] for rank in both):
        assert kind == "ConfigError"
        assert "from 5.0 to 6.0" in text
        assert "equally often" in text


def left_alone(how: str) -> Any:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the launcher's, once the other is gone
    mine = group()
    mine.exchange(Wants(), 0.0)
    mine.exchange(Wants(), 1.0)
    if mine.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.2)
    return error_of(
        lambda: [mine.exchange(Wants(), step) for step in (2.0, 3.0)] if how == "step" else mine.outcomes(Outcome())
    )


@pytest.mark.parametrize("how", ["step", "save"])
def test_a_rank_that_dies_is_an_error_for_the_others_and_no_wait(tmp_path: Path, how: str) -> None:
    first, second = launch(tmp_path, 2, left_alone, how)
    assert second.code == -signal.SIGKILL
    assert first.result is not None, first.said
    assert first.result[0] == "RankLostError"
    assert "another rank no longer answers; its own output says why" in first.result[1]


def not_initialised(folder: Path) -> None:
    with Session({"loop": {}}, folder=folder) as session:
        session.restore()


def test_ranks_without_a_process_group_are_told_what_to_call(tmp_path: Path) -> None:
    (ended,) = launch(tmp_path, 1, not_initialised, tmp_path, WORLD_SIZE="2")
    assert ended.code == 78
    assert "call torch.distributed.init_process_group() before restore()" in ended.said


def test_one_process_asks_nobody() -> None:
    alone = ranks.join(1)
    assert isinstance(alone, Alone)
    assert alone.exchange(Wants(due=True), 1.0) == Wants(due=True)
    assert ranks.first(alone, lambda: 3) == ranks.together(alone, lambda: 3) == 3
    with pytest.raises(RankLostError):
        ranks.together(alone, lambda: fail(RankLostError, True))


@given(FLAGS)
def test_wishes_travel_as_numbers(wants: Wants) -> None:
    assert ranks.unpack(ranks.pack(wants)) == wants


@given(FLAGS, FLAGS, st.booleans())
def test_a_wish_that_a_save_fulfils_now_is_not_sent_again_but_a_notice_is(
    mine: Wants, agreed: Wants, first: bool
) -> None:
    sent = mine.sent(agreed, first=first)
    assert sent.notice == mine.notice
    assert not (agreed.save and (sent.asked or sent.due))
    assert not (sent.due and not first), "only the first rank's clock counts"
    if not agreed.save:
        assert (sent.asked, sent.busy) == (mine.asked, mine.busy)


@given(FLAGS)
def test_nothing_but_a_notice_begins_a_save_while_one_is_in_flight(wants: Wants) -> None:
    assert wants.save == (wants.notice or (not wants.busy and (wants.asked or wants.due or wants.always)))


@given(st.lists(st.integers(0, 1 << 40), max_size=30), st.integers(1, 9))
def test_files_are_dealt_out_whole_and_evenly(sizes: list[int], size: int) -> None:
    files = [File(f"f{number}", size_bytes, "") for number, size_bytes in enumerate(sizes)]
    dealt = ranks.shares(files, size)
    assert sorted((file for share in dealt for file in share), key=files.index) == files
    loads = [sum(file.size_bytes for file in share) for share in dealt]
    assert max(loads) - min(loads) <= max(sizes, default=0)
