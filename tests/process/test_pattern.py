"""Unmodified scripts: files by name, their numbers, torn ones, and when one counts as durable."""

from __future__ import annotations

import io
import os
import time
import zipfile
from pathlib import Path

import pytest

from nightspot.model.attempt import Phase
from nightspot.night.ports import EndKind, PhaseSeen, SavedCheckpoint
from nightspot.process import pattern
from nightspot.process.pattern import Watch, quarantine_torn, saved, whole
from tests.process.stage import Stage

# Resumes from its newest file, as torch scripts do; each file is a zip archive, as torch writes them.
SCRIPT = """
    import glob, os, sys, time, zipfile
    folder, units, unit_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    done = max([int(os.path.basename(p)[5:9]) for p in glob.glob(folder + "/ckpt-*.pt")], default=0)
    print("from", done, flush=True)
    while done < units:
        time.sleep(unit_s)
        done += 1
        with zipfile.ZipFile(f"{folder}/ckpt-{done:04d}.pt", "w") as archive:
            archive.writestr("data", os.urandom(50_000))
    while "--stays" in sys.argv:
        time.sleep(1)
"""


def archive(size_bytes: int = 10_000) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("data.pkl", os.urandom(size_bytes))
    return made.getvalue()


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("glob", "name", "units"),
    [
        ("ckpt-*.pt", "ckpt-0007.pt", 7.0),
        ("ckpt-*.pt", "ckpt-12.pt", 12.0),
        ("resnet50-*.pt", "resnet50-3.pt", 3.0),
        ("*.h5", "epoch_04_v2.h5", 4.0),
        ("model-????.bin", "model-0009.bin", 9.0),
        ("step[0-9]*.pt", "step13.pt", 13.0),
        ("ckpt-*.pt", "ckpt-20261124-5.pt", 5.0),
        ("ckpt-*.pt", "ckpt-last.pt", None),
        ("ckpt-*.pt", "ckpt-0007.pt.tmp", None),
        ("ckpt-*.pt", "other-7.pt", None),
        ("c.pt-*", "cxpt-7", None),
    ],
)
def test_the_highest_number_where_the_wildcards_stand_counts_units(
    tmp_path: Path, glob: str, name: str, units: float | None
) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert [file.units_done for file in saved(tmp_path, glob, 20.0)] == ([units] if units is not None else [])


def test_files_are_ordered_by_number_and_not_by_name(tmp_path: Path) -> None:
    for number in (9, 10, 100):
        (tmp_path / f"ckpt-{number}.pt").write_bytes(b"x")
    (tmp_path / "ckpt-500.pt").mkdir()
    (tmp_path / "ckpt-600.pt").symlink_to(tmp_path / "ckpt-9.pt")
    assert [file.units_done for file in saved(tmp_path, "ckpt-*.pt", 1000.0)] == [100.0, 10.0, 9.0]
    assert saved(tmp_path / "absent", "ckpt-*.pt", 1000.0) == []


def test_an_archive_is_whole_with_all_its_bytes_as_they_were(tmp_path: Path) -> None:
    content, path = archive(), tmp_path / "a.pt"
    for bad in (content[:-1], content[:5000], content[:4], flipped(content)):
        path.write_bytes(bad)
        assert not whole(path)
    path.write_bytes(content)
    assert whole(path)


def test_of_what_is_no_archive_only_its_being_empty_can_be_told(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"")
    assert not whole(path)
    path.write_bytes(b"anything")
    assert whole(path)
    assert not whole(tmp_path / "absent")


def test_torn_files_are_moved_away_until_the_newest_is_whole(tmp_path: Path) -> None:
    for number, content in [(1, b"PK\x03\x04"), (2, archive()), (3, b""), (4, archive()[:99])]:
        (tmp_path / f"ckpt-{number}.pt").write_bytes(content)
    assert quarantine_torn(tmp_path, "ckpt-*.pt", 20.0) == ["ckpt-4.pt", "ckpt-3.pt"]
    assert sorted(p.name for p in tmp_path.glob("ckpt-*")) == ["ckpt-1.pt", "ckpt-2.pt"]
    assert len(list((tmp_path / "quarantine").iterdir())) == 2


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(pattern, "SETTLED_S", 0.3)


def looks(watch: Watch, seconds: float = 5.0) -> str | None:
    """The next file that it finds durable."""
    end_s = time.monotonic() + seconds
    while (found := watch.look()) is None and time.monotonic() < end_s:
        time.sleep(0.01)
    return found.name if found is not None else None


def test_a_file_that_still_grows_or_is_torn_is_not_durable_and_the_one_before_is(tmp_path: Path, hasty: None) -> None:
    watch, content = Watch(tmp_path, "ckpt-*.pt", 20.0, 0.0), archive()
    (tmp_path / "ckpt-1.pt").write_bytes(content)
    assert watch.look() is None  # its size has been seen once
    (tmp_path / "ckpt-2.pt").write_bytes(content[:-1])
    assert looks(watch) == "ckpt-1.pt"
    assert looks(watch, 0.5) is None
    (tmp_path / "ckpt-2.pt").write_bytes(content)
    assert looks(watch) == "ckpt-2.pt"
    assert looks(watch, 0.2) is None


def test_what_is_no_archive_must_have_been_left_alone_for_a_while(tmp_path: Path, hasty: None) -> None:
    watch, path = Watch(tmp_path, "ckpt-*.bin", 20.0, 0.0), tmp_path / "ckpt-1.bin"
    for _ in range(4):
        with path.open("ab") as file:
            file.write(b"x")
        assert looks(watch, 0.1) is None
    assert looks(watch) == "ckpt-1.bin"


def test_after_a_kill_what_may_be_torn_is_moved_away(tmp_path: Path) -> None:
    watch = Watch(tmp_path, "ckpt-*", 20.0, 1.0)
    (tmp_path / "ckpt-1").write_bytes(b"before")
    (tmp_path / "ckpt-2.pt").write_bytes(archive())
    (tmp_path / "ckpt-3").write_bytes(b"who knows")
    found, moved = watch.last_look(killed=True)
    assert found is not None
    assert (found.name, moved) == ("ckpt-2.pt", ["ckpt-3"])


def test_after_an_orderly_end_the_last_file_counts(tmp_path: Path) -> None:
    watch = Watch(tmp_path, "ckpt-*", 20.0, 1.0)
    (tmp_path / "ckpt-3").write_bytes(b"as it was meant")
    found, moved = watch.last_look(killed=False)
    assert found is not None
    assert (found.units_done, moved) == (3.0, [])


def test_an_unmodified_script_is_followed_by_its_files_and_never_called_verified(stage: Stage) -> None:
    stage.pattern = "ckpt-*.pt"
    show = stage.launch(SCRIPT, stage.checkpoints, 3, 0.4)
    ended = show.to_the_end()
    assert ended.kind is EndKind.SUCCEEDED
    told = show.of(SavedCheckpoint)
    assert (told[-1].name, told[-1].units_done) == ("ckpt-0003.pt", 3.0)
    assert not any(news.verified for news in told)
    training = [news for news in show.of(PhaseSeen) if news.phase is Phase.TRAINING]
    assert len(training) == 1
    assert training[0].at_utc - show.news[0].at_utc < 60.0


def test_an_unmodified_script_goes_on_from_its_last_whole_file(stage: Stage) -> None:
    stage.pattern = "ckpt-*.pt"
    first = stage.launch(SCRIPT, stage.checkpoints, 2, 0.05, "--stays", number=1)
    first.until(lambda report: report.units_done == 2.0)
    first.tell("stop")
    first.to_the_end()
    (stage.checkpoints / "ckpt-0003.pt").write_bytes(archive()[:-1])
    second = stage.launch(SCRIPT, stage.checkpoints, 4, 0.05, number=2, units_start=2.0)
    assert second.to_the_end().kind is EndKind.SUCCEEDED
    assert second.output.split() == ["from", "2"]
    assert second.warnings == ["ckpt-0003.pt is torn: moved to quarantine"]
    assert second.look().units_done == 4.0
    assert len(list((stage.checkpoints / "quarantine").iterdir())) == 1
