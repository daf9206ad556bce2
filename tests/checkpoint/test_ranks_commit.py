"""One checkpoint of several ranks: whole, or not there, whichever of them fails, and when."""

import errno
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nightspot.checkpoint import _hashing, disk, manifest
from nightspot.checkpoint.commit import Source
from nightspot.checkpoint.manifest import Head, Manifest
from nightspot.checkpoint.many import commit as many
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


def test_a_rank_whose_training_is_gone_waits_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "ORPHAN_LIMIT_S", 0.05)
    with pytest.raises(OSError, match="no word from rank 1, 2"):
        many.commit(order(tmp_path, 0), source(0), orphaned=lambda: True)


def test_nobody_gives_up_as_long_as_something_moves() -> None:
    now_s = 0.0
    patience = many.Patience(lambda: None, many.never, lambda: now_s)
    for look in range(5):
        now_s += many.QUIET_LIMIT_S
        patience.wait(look, "rank 1")
    now_s += many.QUIET_LIMIT_S + 1
    with pytest.raises(OSError, match="no word from rank 1"):
        patience.wait(4, "rank 1")


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
