"""A checkpoint exists wholly, after everything in it is on disk, or not at all."""

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from nightspot.checkpoint import _torch, manifest
from nightspot.checkpoint.capture import Blob
from nightspot.checkpoint.commit import commit
from nightspot.checkpoint.manifest import MANIFEST
from nightspot.checkpoint.retention import retain, sweep
from tests.checkpoint.helpers import HEAD, blob, write


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
        "fsync model.pt True",
        f"fsync {MANIFEST} True",
        "fsync step-000000001 False",
        "rename to step-000000001",
        f"fsync {tmp_path.name} False",
    ]


@pytest.mark.parametrize("failing", range(1, 6))
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
    found = manifest.newest_valid(tmp_path)
    # The fifth flush is that of the parent: the new one may or may not be there, but never half.
    assert found is not None
    assert failing == 5 or found == good


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_torch_cannot_hide_that_the_disk_refused(tmp_path: Path) -> None:
    tensors: list[object] = [torch.zeros(1_000_000)]
    with largest_file(100_000), pytest.raises(OSError) as raised:
        commit(tmp_path, [Blob("model.pt", lambda file: _torch.save(tensors, file))], HEAD)
    assert raised.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_a_state_itself_is_passed_on(tmp_path: Path) -> None:
    def broken(_file: object) -> None:
        raise RuntimeError("no weights")

    with pytest.raises(RuntimeError, match="no weights"):
        commit(tmp_path, [Blob("model.pt", broken)], HEAD)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_never_written_over(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        commit(tmp_path, [blob("a", b"1"), blob("a", b"2")], HEAD)


def test_the_last_two_stay(tmp_path: Path) -> None:
    made = [write(tmp_path).name for _ in range(4)]
    retain(tmp_path, keep=2, bad=())
    assert manifest.names(tmp_path) == [made[3], made[2]]


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
