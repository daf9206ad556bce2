"""A checkpoint exists wholly, after everything in it is on disk, or not at all."""

import errno
import itertools
import os
import shutil
from pathlib import Path

import pytest

from nightspot.checkpoint import manifest
from nightspot.checkpoint.ahead.writing import Base
from nightspot.checkpoint.commit import commit
from nightspot.checkpoint.manifest import INDEX, MANIFEST
from nightspot.checkpoint.order import Order
from nightspot.checkpoint.pieces import Part
from nightspot.checkpoint.retention import retain, sweep
from tests.checkpoint.helpers import DATA, HEAD, Bytes, order, write


def test_everything_is_on_disk_before_the_rename_and_the_rename_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def noted_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        size_bytes = 0 if path.is_dir() else path.stat().st_size
        seen.append(f"fsync {path.name.partition('.tmp-')[0]} {size_bytes > 0}")
        fsync(descriptor)

    def noted_rename(path: Path, target: Path) -> Path:
        seen.append(f"rename to {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    write(tmp_path)
    assert seen == [
        "fsync state.json True",
        f"fsync {DATA} True",
        f"fsync {INDEX} True",
        f"fsync {MANIFEST} True",
        "fsync step-000000001 False",
        "rename to step-000000001",
        f"fsync {tmp_path.name} False",
    ]


@pytest.mark.parametrize("ahead", [False, True])
def test_a_checkpoint_that_somebody_put_there_meanwhile_is_not_newer_than_the_next(tmp_path: Path, ahead: bool) -> None:
    """Else retention would drop what this training saves from now on. Also where tables were copied ahead under the earlier name."""
    files = {"state.json": b"weights"}
    mine, base = order(tmp_path, files), None
    if ahead:
        mine.unfinished.mkdir()
        base = Base(mine.unfinished, (), {})
    shutil.copytree(tmp_path / write(tmp_path).name, tmp_path / "step-000000041")
    made = commit(mine, Bytes(files), base=base)
    assert made.name == "step-000000042"
    assert manifest.verify(tmp_path / "step-000000042").digest == made.digest
    assert not list(tmp_path.glob("*.tmp-*"))


@pytest.mark.parametrize("failing", range(1, 7))
def test_an_error_at_any_flush_leaves_no_half_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    good, calls, fsync = write(tmp_path), iter(range(1, 100)), os.fsync

    def failing_fsync(descriptor: int) -> None:
        if next(calls) == failing:
            raise OSError(errno.EIO, "broken disk")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing_fsync)
    with pytest.raises(OSError, match="broken disk"):
        write(tmp_path)
    assert manifest.unfinished(tmp_path) == []
    # The sixth flush is that of the parent: a name that may not last is taken back.
    assert manifest.names(tmp_path) == [good.name]
    assert manifest.newest_valid(tmp_path) == good


@pytest.mark.parametrize("failing", ["once", "always"])
def test_a_short_write_goes_on_and_one_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """A disk that fills up first takes a part, then nothing."""
    pwrite, calls = os.pwrite, itertools.count()

    def short(descriptor: int, data: memoryview, offset: int) -> int:
        if next(calls) and failing == "always":
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(descriptor, data[:5], offset)

    monkeypatch.setattr(os, "pwrite", short)
    files = {"state.json": b"0123456789abc"}
    if failing == "always":
        with pytest.raises(OSError, match="No space left"):
            commit(order(tmp_path, files), Bytes(files))
        assert list(tmp_path.iterdir()) == []
    else:
        made = commit(order(tmp_path, files), Bytes(files))
        assert manifest.verify(tmp_path / made.name) == made
        assert (tmp_path / made.name / "state.json").read_bytes() == b"0123456789abc"


@pytest.mark.parametrize("size_bytes", [0, 1, 4095, 4096, 1 << 20, (1 << 20) + 1, (8 << 20) + 4096, (8 << 20) + 5000])
def test_files_of_any_size_are_written_whole_past_the_cache_or_not(tmp_path: Path, size_bytes: int) -> None:
    content = os.urandom(size_bytes)
    files = {DATA: content}
    made = commit(order(tmp_path, files), Bytes(files))
    assert (tmp_path / made.name / DATA).read_bytes() == content
    assert manifest.verify(tmp_path / made.name) == made


def test_an_error_of_the_source_itself_is_passed_on(tmp_path: Path) -> None:
    def broken(_part: Part) -> memoryview:
        raise RuntimeError("no weights")

    with pytest.raises(RuntimeError, match="no weights"):
        commit(order(tmp_path, {"state.json": b"1"}), broken)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_never_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one that came after the look for the highest number."""
    monkeypatch.setattr("nightspot.checkpoint.commit.above_all", lambda order: order)
    good = write(tmp_path)
    again = order(tmp_path, {"state.json": b"2"})
    taken = Order.from_bytes(again.to_bytes().replace(again.name.encode(), good.name.encode()))
    with pytest.raises(OSError, match="not empty"):
        commit(taken, Bytes({"state.json": b"2"}))
    assert manifest.newest_valid(tmp_path) == good
    assert manifest.unfinished(tmp_path) == []


def test_an_order_arrives_as_it_was_sent(tmp_path: Path) -> None:
    sent = order(tmp_path, {"state.json": b"1", DATA: b"2"}, tmp_path / "staging")
    assert Order.from_bytes(sent.to_bytes()) == sent
    assert sent.head == HEAD


def test_the_last_two_stay(tmp_path: Path) -> None:
    made = [write(tmp_path).name for _ in range(4)]
    retain(tmp_path, keep=2, bad=())
    assert manifest.names(tmp_path) == [made[3], made[2]]


def test_every_third_stays_for_good_if_it_is_not_damaged(tmp_path: Path) -> None:
    made = [write(tmp_path).name for _ in range(10)]
    retain(tmp_path, keep=2, bad={made[5]}, keep_every=3)
    assert manifest.names(tmp_path) == [made[9], made[8], made[2]]


def test_a_checkpoint_that_goes_loses_its_name_before_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [write(tmp_path).name for _ in range(3)]
    monkeypatch.setattr(shutil, "rmtree", lambda _path: None)  # as if killed before the first file went
    retain(tmp_path, keep=2, bad=())
    assert manifest.names(tmp_path) == [made[2], made[1]]
    assert len(manifest.unfinished(tmp_path)) == 1


def test_a_damaged_one_does_not_count_as_kept(tmp_path: Path) -> None:
    made = [write(tmp_path).name for _ in range(4)]
    retain(tmp_path, keep=2, bad={made[2]})
    assert {made[1], made[3]} <= set(manifest.names(tmp_path))
    assert made[0] not in manifest.names(tmp_path)


def test_sweeping_removes_only_what_is_unfinished(tmp_path: Path) -> None:
    made = write(tmp_path).name
    (tmp_path / "step-000000007.tmp-abc").mkdir()
    (tmp_path / "notes.tmp-abc").mkdir()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.tmp-abc", made]
