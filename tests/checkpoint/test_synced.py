"""A folder that an agent copies to a bucket at any moment, file by file, and that is put onto another machine from there."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nightspot.checkpoint import Session, manifest
from nightspot.checkpoint.commit import commit
from nightspot.checkpoint.errors import ConfigError, LoadError
from nightspot.checkpoint.pieces import Part
from nightspot.checkpoint.retention import retain, staging_for
from tests.checkpoint.helpers import lines, order, save, write


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Machine"]:
    yield Machine(tmp_path, monkeypatch)


class Machine:
    """`folder` is the synced one; a new machine gets what was copied of it, and an empty staging folder."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root, self._monkeypatch, self._count = root, monkeypatch, 0
        self.move(None)

    def move(self, copied: Path | None) -> None:
        self._count += 1
        here = self._root / f"machine-{self._count}"
        self.folder, self.staging = here / "checkpoints", here / "staging"
        self.progress = here / "progress"
        here.mkdir()
        if copied is not None:
            shutil.copytree(copied, self.folder)
        self._monkeypatch.setenv("NIGHTSPOT_CHECKPOINT_STAGING", str(self.staging))
        self._monkeypatch.setenv("NIGHTSPOT_PROGRESS", str(self.progress))

    def save(self, times: int = 1) -> dict[str, Any]:
        """Go on from what is there, save so often; what the loop came to."""
        loop = {"step": 0}
        save(self.folder, loop, times)
        return loop


def test_whatever_is_copied_at_whatever_moment_is_whole(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every flush and rename, which is where a checkpoint changes, what the agent sees is looked at."""
    seen: list[set[str]] = []

    def look() -> None:
        names = {path.name for path in machine.folder.iterdir()}
        for name in manifest.names(machine.folder):
            manifest.verify(machine.folder / name)
        seen.append(names)

    fsync, rmtree = os.fsync, shutil.rmtree

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        look()

    def noted_rmtree(path: Path, **options: Any) -> None:
        look()
        rmtree(path, **options)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(shutil, "rmtree", noted_rmtree)
    machine.save(times=5)
    assert machine.save(times=2) == {"step": 7}  # begun again: it loads, too
    assert len(seen) >= 5 * 4 + 3 + 1 + 2 * 4 + 2
    assert not [name for names in seen for name in names if ".tmp-" in name or name.startswith("loading-")]
    assert list(machine.staging.iterdir()) == []


def test_two_generations_stay_at_least(machine: Machine) -> None:
    loop = {"step": 0}
    with Session({"loop": loop}, folder=machine.folder, interval_s=0, keep=1) as session:
        session.restore()
        for units in range(4):
            session.step(units)
    assert manifest.names(machine.folder) == ["step-000000004", "step-000000003"]


def test_what_was_begun_on_a_machine_is_removed_there(machine: Machine) -> None:
    machine.save()
    for folder in (machine.folder, machine.staging):
        (folder / "step-000000009.tmp-abc").mkdir()
    machine.save()
    assert manifest.unfinished(machine.folder) == manifest.unfinished(machine.staging) == []


LEFT = ".sagemaker-uploading"


def test_what_the_agent_leaves_is_ignored(machine: Machine) -> None:
    machine.save(times=2)
    newest = machine.folder / "step-000000002"
    for path in [
        newest / f"state.json{LEFT}",
        newest / f"MANIFEST.json{LEFT}",
        machine.folder / f"step-000000003{LEFT}",
    ]:
        path.write_bytes(b"half")
    (machine.folder / f"step-000000004{LEFT}").mkdir()
    (machine.folder / f"loading-step-000000002{LEFT}").write_bytes(b"xxx")
    assert manifest.newest_valid(machine.folder) == manifest.read(newest)
    machine.move(machine.folder)
    assert machine.save(times=3) == {"step": 5}
    assert lines(machine.progress, "warning") == []
    assert manifest.names(machine.folder) == ["step-000000005", "step-000000004"]


@pytest.mark.parametrize("torn", ["MANIFEST.json", "state.json"])
def test_a_checkpoint_that_arrived_in_part_is_one_step_back(machine: Machine, torn: str) -> None:
    machine.save(times=2)
    machine.move(machine.folder)
    os.truncate(machine.folder / "step-000000002" / torn, 10)
    assert machine.save() == {"step": 2}
    assert "damaged checkpoint skipped" in lines(machine.progress, "warning")[0]["message"]


def test_a_lock_that_was_copied_holds_nobody_up(machine: Machine) -> None:
    machine.save()
    with Session({"loop": {"step": 0}}, folder=machine.folder) as session:
        session.restore()
        assert (machine.folder / ".lock").exists()
        machine.move(machine.folder)
        assert machine.save() == {"step": 2}


def test_loads_that_were_cut_off_by_an_interruption_count_against_nothing(machine: Machine) -> None:
    """However often a machine is taken in the middle of a load: its note stays on it."""
    machine.save()
    for _ in range(5):
        machine.staging.mkdir(exist_ok=True)
        (machine.staging / "loading-step-000000001").write_bytes(b"x")
        machine.move(machine.folder)
    assert machine.save() == {"step": 2}


class Unloadable(dict[str, int]):
    def state_dict(self) -> dict[str, int]:
        return dict(self)

    def load_state_dict(self, state: object) -> None:
        raise RuntimeError("the code is wrong")


def test_loads_that_never_end_on_one_machine_are_counted_there(machine: Machine) -> None:
    machine.save()
    for _ in range(3):
        with pytest.raises(LoadError), Session({"loop": Unloadable(step=1)}, folder=machine.folder) as session:
            session.restore()
    with pytest.raises(SystemExit) as raised, Session({"loop": {"step": 1}}, folder=machine.folder) as session:
        session.restore()
    assert raised.value.code == 78
    assert isinstance(raised.value.__cause__, ConfigError)


def test_a_load_that_ends_well_forgives_those_that_were_copied(machine: Machine) -> None:
    machine.save()
    marker = machine.folder / "loading-step-000000001"
    for _ in range(4):
        marker.write_bytes(marker.read_bytes() + b"xx" if marker.exists() else b"xx")
        with Session({"loop": {"step": 0}}, folder=machine.folder) as session:
            assert session.restore() is not None
        assert marker.stat().st_size == 0
        machine.move(machine.folder)
        marker = machine.folder / marker.name


def test_three_crashed_loads_that_were_copied_are_one_step_back(machine: Machine) -> None:
    machine.save(times=2)
    (machine.folder / "loading-step-000000002").write_bytes(b"xxx")
    machine.move(machine.folder)
    assert machine.save() == {"step": 2}
    assert "loads of it never ended: one step back" in lines(machine.progress, "warning")[0]["message"]


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    folder = elsewhere / f"nightspot-test-{os.getpid()}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_without_a_way_to_rename_from_there_the_folder_itself_is_used(tmp_path: Path, away: Path) -> None:
    assert staging_for(tmp_path, away) == tmp_path
    assert list(away.iterdir()) == []
    assert staging_for(tmp_path, tmp_path / "beside") == tmp_path / "beside"
    assert staging_for(tmp_path, None) == tmp_path


def test_loads_are_noted_there_all_the_same(machine: Machine, away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSPOT_CHECKPOINT_STAGING", str(away))
    machine.save(times=2)
    with pytest.raises(LoadError), Session({"loop": Unloadable(step=1)}, folder=machine.folder) as session:
        session.restore()
    assert [path.name for path in away.iterdir()] == ["loading-step-000000002"]
    assert not list(machine.folder.glob("loading-*"))


def test_a_staging_folder_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "checkpoints").mkdir()
    assert staging_for(tmp_path / "checkpoints", tmp_path / "file" / "staging") == tmp_path / "checkpoints"


def test_what_cannot_be_written_there_leaves_nothing(tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()

    def broken(_part: Part) -> memoryview:
        raise OSError("disk full")

    write(tmp_path)
    with pytest.raises(OSError, match="disk full"):
        commit(order(tmp_path, {"a": b""}, staging), broken)
    assert list(staging.iterdir()) == []
    retain(tmp_path, 1, (), staging)
    assert manifest.names(tmp_path) == ["step-000000001"]
