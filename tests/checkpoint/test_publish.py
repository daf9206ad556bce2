"""A name that cannot be made to last is no checkpoint's: told as a failure, and never counted among those that are durable."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightspot.checkpoint import Session, disk, manifest
from nightspot.checkpoint.many import commit as many
from tests.checkpoint.helpers import lines, order

STEPS = 5


class Disk:
    """Flushes of `parent` fail as long as `broken`."""

    def __init__(self, parent: Path) -> None:
        self.parent, self.broken, self.fsync = parent, False, os.fsync

    def __call__(self, descriptor: int) -> None:
        if self.broken and Path(f"/proc/self/fd/{descriptor}").readlink() == self.parent:
            raise OSError(errno.EIO, "broken disk")
        self.fsync(descriptor)


@pytest.fixture
def flushes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk(tmp_path / "checkpoints")
    monkeypatch.setattr(os, "fsync", made)
    yield made


def test_it_is_told_as_failed_and_does_not_push_a_durable_one_out(
    tmp_path: Path, flushes: Disk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTSPOT_PROGRESS", str(tmp_path / "progress"))
    loop, seen = {"step": 0}, []
    with Session({"loop": loop}, folder=flushes.parent, interval_s=0.0, keep=2, background=False) as session:
        session.restore()
        for step in range(1, STEPS + 1):
            loop["step"], flushes.broken = step, step in (3, 4)
            session.step(float(step))
            seen.append(
                [manifest.read(flushes.parent / name).head.units_done for name in manifest.names(flushes.parent)]
            )
    assert seen == [[1.0], [2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [5.0, 2.0]]
    assert [line["units_done"] for line in lines(tmp_path / "progress", "checkpoint")] == [1.0, 2.0, 5.0]
    assert capsys.readouterr().err.count("could not be saved, the newest is step-000000002: [Errno 5] broken disk") == 2
    assert manifest.unfinished(flushes.parent) == []


def test_where_it_cannot_even_be_taken_back_it_is_a_failure_all_the_same(
    tmp_path: Path, flushes: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes.parent.mkdir()
    (flushes.parent / "new.tmp-1").mkdir()
    flushes.broken, rename = True, Path.rename

    def once(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(errno.EROFS, "read-only")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", once)
    with pytest.raises(OSError, match="broken disk"):
        disk.publish(flushes.parent / "new.tmp-1", flushes.parent / "new")


def test_another_rank_that_saw_the_name_before_it_was_taken_back_says_that_the_save_failed(tmp_path: Path) -> None:
    wanted = order(tmp_path, {})
    wanted.final.mkdir()  # and its manifest is gone already
    with pytest.raises(OSError, match="rank 0 has taken it back"):
        many._committed(wanted)
