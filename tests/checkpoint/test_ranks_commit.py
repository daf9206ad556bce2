"""One checkpoint of several ranks: whole, or not there, whichever of them fails, and when."""

import errno
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nightspot.checkpoint import _hashing, disk, manifest
from nightspot.checkpoint.commit import Source
from nightspot.checkpoint.manifest import Head, Manifest
from nightspot.checkpoint.many import commit as many
from nightspot.checkpoint.many import life
from nightspot.checkpoint.many.life import Life, claim
from nightspot.checkpoint.order import Order
from nightspot.checkpoint.pieces import Part

HEAD = Head(1.0, 0, 3, None, {})
SIZE = 3


def order(folder: Path, rank: int, name: str = "step-000000001", token: str = "aa") -> Order:
    parts = (Part(f"data-{rank}-000.bin", 0, 8), Part(f"rank-{rank}.json", 8, 2))
    entries = Part("", 10, len(entries_of(rank)))
    return Order(name, token, str(folder), str(folder), HEAD, parts, entries, keep=2, rank=rank, size=SIZE)


def entries_of(rank: int) -> bytes:
    piece = {"file": f"data-{rank}-000.bin", "offset_bytes": 0, "offsets": [rank * 8], "sizes": [8]}
    return json.dumps({"m/w": {"dtype": "uint8", "shape": [24], "pieces": [piece]}}).encode()


def source(rank: int) -> Source:
    memory = memoryview(bytes([rank] * 8) + b"{}" + entries_of(rank))
    return lambda part: memory[part.start_bytes : part.start_bytes + part.size_bytes]


def died() -> str:
    """What a process of this machine said of itself that is no more."""
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
    host, _, began = life.here().split(" ")
    return f"{host} {process.pid} {began}"


def together(act: Callable[[int], Any]) -> list[Any]:
    """Each rank in a thread; its result, or the OSError it raised."""

    def outcome(rank: int) -> Any:
        try:
            return act(rank)
        except OSError as error:
            return error

    with ThreadPoolExecutor(SIZE) as pool:
        return list(pool.map(outcome, range(SIZE)))


def test_one_checkpoint_with_the_files_of_all_ranks_and_nothing_else(tmp_path: Path) -> None:
    made = together(lambda rank: many.commit(order(tmp_path, rank), source(rank)))
    assert {type(one) for one in made} == {Manifest}
    assert len({one.digest for one in made}) == 1, "all ranks are told of the same checkpoint"
    whole = manifest.verify(tmp_path / "step-000000001")
    named = {file.name for file in whole.files} | {"MANIFEST.json"}
    assert named == {path.name for path in (tmp_path / "step-000000001").iterdir()}
    index = json.loads((tmp_path / "step-000000001" / "index.json").read_text())["tensors"]
    assert [piece["file"] for piece in index["m/w"]["pieces"]] == [f"data-{rank}-000.bin" for rank in range(SIZE)]
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]


@pytest.mark.parametrize("failing", range(SIZE))
def test_a_full_disk_on_one_rank_fails_the_save_on_all_and_says_on_which(
    tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = disk.write

    def full(path: Path, *rest: Any) -> Any:
        if path.name == f"rank-{failing}.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, *rest)

    monkeypatch.setattr(disk, "write", full)
    made = together(lambda rank: many.commit(order(tmp_path, rank), source(rank)))
    assert all(isinstance(one, OSError) and "No space left" in str(one) for one in made), made
    assert all(f"rank {failing}:" in str(one) for rank, one in enumerate(made) if rank != failing)
    assert manifest.names(tmp_path) == []
    assert not list(tmp_path.glob(f"*/data-{failing}-*")), "what cannot be used gives its space back"
    monkeypatch.undo()
    together(lambda rank: many.commit(order(tmp_path, rank, "step-000000002"), source(rank)))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000002"], "and the rest goes with the next save"


def test_a_manifest_that_cannot_be_written_fails_the_save_on_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(many, "finish", broken)
    made = together(lambda rank: many.commit(order(tmp_path, rank), source(rank)))
    assert all("Input/output error" in str(one) for one in made), made
    assert manifest.names(tmp_path) == []


def test_a_rank_that_never_comes_is_named_after_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "QUIET_LIMIT_S", 0.05)
    made = together(lambda rank: None if rank == 1 else many.commit(order(tmp_path, rank), source(rank)))
    assert "no word from rank 1" in str(made[0])
    assert manifest.names(tmp_path) == []


def test_a_rank_that_cannot_begin_fails_the_save_on_all_at_once(tmp_path: Path) -> None:
    def act(rank: int) -> Any:
        mine = order(tmp_path, rank)
        return many.abandon(mine, "no memory") if rank == 1 else many.commit(mine, source(rank))

    made = together(act)
    assert ["rank 1: no memory" in str(one) for one in made] == [True, False, True]
    assert manifest.names(tmp_path) == []


def test_what_is_done_is_not_taken_back(tmp_path: Path) -> None:
    mine = order(tmp_path, 1)
    mine.unfinished.mkdir()
    mark = many.Mark(mine.unfinished, 1)
    mark.begin()
    mark.done([], {}, "sha256")
    many.abandon(mine, "its writer is gone")
    assert [path.name for path in mine.unfinished.iterdir()] == ["rank-1.done"]


def test_a_disk_that_does_not_answer_does_not_hold_up_who_gives_a_save_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(many, "ABANDON_PATIENCE_S", 0.01)
    monkeypatch.setattr(many, "_marks", lambda _: answers.wait(60) and {})
    many.abandon(order(tmp_path, 1), "its writer is gone")
    assert list(tmp_path.glob("*/rank-1.*")) == [], "it goes on before anything is said"
    answers.set()


def test_a_rank_whose_training_is_gone_waits_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "ORPHAN_LIMIT_S", 0.05)
    with pytest.raises(OSError, match="no word from rank 1, 2"):
        many.commit(order(tmp_path, 0), source(0), orphaned=lambda: True)


def test_nobody_gives_up_as_long_as_something_moves(tmp_path: Path) -> None:
    now_s = 0.0
    patience = many.Patience(order(tmp_path, 0), lambda: None, many.never, lambda: now_s)
    for look in range(5):
        now_s += many.QUIET_LIMIT_S
        patience.wait(look, {1: Life.LIVES})
    now_s += many.QUIET_LIMIT_S + 1
    with pytest.raises(OSError, match="no word from rank 1"):
        patience.wait(4, {1: Life.LIVES})


def test_a_living_rank_is_waited_for_also_where_ones_own_training_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk may be slow. Of one that has shown no sign of life nobody knows whether it ever comes."""
    monkeypatch.setattr(many, "ORPHAN_LIMIT_S", 0.0)
    patience = many.Patience(order(tmp_path, 0), lambda: None, lambda: True)
    for _ in range(3):
        patience.wait("the same", {1: Life.LIVES})
    with pytest.raises(OSError, match="no word from rank 1"):
        patience.wait("the same", {1: Life.UNKNOWN})


@pytest.mark.parametrize("dead", range(SIZE))
def test_a_rank_that_died_in_the_middle_of_a_save_fails_it_on_the_others_at_once(
    tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said in the folder which process it is, and nothing more."""

    def act(rank: int) -> Any:
        mine = order(tmp_path, rank)
        if rank != dead:
            return many.commit(mine, source(rank))
        mine.unfinished.mkdir(exist_ok=True)
        claim(mine.unfinished, rank).write_text(died())
        return many.Mark(mine.unfinished, rank).begin()

    monkeypatch.setattr(many, "QUIET_LIMIT_S", 3600.0)
    made = together(act)
    failed = [str(one) for rank, one in enumerate(made) if rank != dead]
    assert all(f"rank {dead} died" in one or "rank 0: rank" in one or "given it up" in one for one in failed), made
    assert any(f"rank {dead} died" in one for one in failed)
    assert manifest.names(tmp_path) == []


def test_a_rank_whose_trainer_died_before_its_writer_began_is_waited_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "BEGIN_LIMIT_S", 0.05)
    peers = (life.here(), died(), life.here())
    with pytest.raises(OSError, match="rank 1 died"):
        many.commit(replace(order(tmp_path, 0), peers=peers), source(0))


def test_a_rank_that_did_its_part_and_died_is_missed_by_nobody(tmp_path: Path) -> None:
    """What it wrote is whole, and named with its hashes."""

    def act(rank: int) -> Any:
        mine = replace(order(tmp_path, rank), peers=(died(),) * SIZE)
        if rank == 0:
            while {"rank-1.done", "rank-2.done"} - set(many._names(mine.unfinished)):
                time.sleep(0.01)
            for other in (1, 2):
                claim(mine.unfinished, other).write_text(died())
        return many.commit(mine, source(rank))

    assert {type(one) for one in together(act)} == {Manifest}
    named = {file.name for file in manifest.verify(tmp_path / "step-000000001").files} | {"MANIFEST.json"}
    assert named == {path.name for path in (tmp_path / "step-000000001").iterdir()}


def test_a_rank_with_other_hashes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = threading.local()
    monkeypatch.setattr(_hashing, "preferred", lambda: where.algorithm)

    def act(rank: int) -> Manifest:
        where.algorithm = "sha256" if rank == 2 else "xxh3_128"
        return many.commit(order(tmp_path, rank), source(rank))

    assert all("install xxhash on all" in str(one) for one in together(act))


def test_a_file_that_rank_0_sees_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = many.Mark.done

    def cut(mark: many.Mark, files: Any, *rest: Any) -> None:
        os.truncate(tmp_path / "step-000000001.tmp-aa" / "data-1-000.bin", 3)
        done(mark, files, *rest)

    monkeypatch.setattr(many.Mark, "done", cut)
    made = together(lambda rank: many.commit(order(tmp_path, rank), source(rank)))
    assert all("data-1-000.bin has 3 bytes here, 8 where it was written" in str(one) for one in made), made


def test_tensors_that_do_not_fit_together_are_refused() -> None:
    one, other = json.loads(entries_of(0)), json.loads(entries_of(1))
    other["m/w"]["dtype"] = "int8"
    with pytest.raises(ValueError, match="m/w has the dtype uint8 on one rank, int8 on another"):
        many.merged([one, other])


def test_patches_and_pieces_of_all_ranks_are_joined() -> None:
    one = {"t": {"dtype": "int8", "shape": [2], "pieces": [1], "patches": [3]}}
    assert many.merged([one, {"t": {"dtype": "int8", "shape": [2], "pieces": [2]}}]) == {
        "t": {"dtype": "int8", "shape": [2], "pieces": [1, 2], "patches": [3]}
    }
