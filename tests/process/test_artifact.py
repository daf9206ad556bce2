"""The finished model: written by this Run, whole under its final name, with where it comes from beside it."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from nightspot.night.ports import EndKind
from nightspot.process.artifact import Artifact, NotPublishedError, examine, fault, lineage_path, publish, stamp
from nightspot.process.files import read_json
from tests.process.stage import RUN_ID, Stage
from tests.process.trainers import SPEAKS

SAVES = "open('model.bin', 'w').write('a model')"


def deliver(stage: Stage) -> Path:
    stage.training = {
        "artifact": str(stage.folder / "model.bin"),
        "publish": str(stage.folder / "models/final.bin"),
        "fingerprint": "f00d",
        "hyperparameters": {"seed": 7},
        "channels": {"train": "data"},
    }
    return stage.folder / "models/final.bin"


def test_a_success_is_published_as_it_was_written_with_its_digest(stage: Stage) -> None:
    final = deliver(stage)
    ended = stage.launch(SPEAKS, 2, 0.02).to_the_end()
    assert ended.kind is EndKind.SUCCEEDED, ended
    assert final.read_text() == "a model" == (stage.folder / "model.bin").read_text()
    assert ended.artifact_sha256 == hashlib.sha256(b"a model").hexdigest()
    assert sorted(path.name for path in final.parent.iterdir()) == ["final.bin", "final.bin.lineage.json"]


def test_lineage_tells_where_the_model_comes_from(stage: Stage) -> None:
    final = deliver(stage)
    ended = stage.launch(SPEAKS, 2, 0.02).to_the_end()
    told = read_json(lineage_path(final))
    expected = {
        "job": "stage",
        "run_id": RUN_ID,
        "attempt": 1,
        "pool_id": "pool",
        "artifact": "final.bin",
        "sha256": ended.artifact_sha256,
        "size_bytes": 7,
        "fingerprint": "f00d",
        "hyperparameters": {"seed": 7},
        "channels": {"train": "data"},
        "metrics": {"loss": 0.5},
        "facts": {"data_sha256": "abc"},
        "units_done": 2.0,
        "finished_utc": ended.at_utc,
    }
    assert {name: told.get(name) for name in expected} == expected


def test_without_a_final_name_lineage_lies_beside_the_model(stage: Stage) -> None:
    stage.training = {"artifact": str(stage.folder / "model.bin")}
    stage.launch(SPEAKS, 1, 0.02).to_the_end()
    assert read_json(stage.folder / "model.bin.lineage.json")["sha256"] == hashlib.sha256(b"a model").hexdigest()


@pytest.mark.parametrize("before", ["nothing", "yesterday's", "a folder"])
def test_a_model_that_this_run_did_not_write_is_a_failure_for_good(stage: Stage, before: str) -> None:
    final = deliver(stage)
    if before == "yesterday's":
        (stage.folder / "model.bin").write_text("yesterday")
    if before == "a folder":
        (stage.folder / "model.bin").mkdir()
    ended = stage.launch("pass").to_the_end()
    assert (ended.kind, ended.exit_code, ended.final, ended.artifact_sha256) == (EndKind.FAILED, 0, True, None)
    assert "model.bin" in ended.detail
    assert not final.exists()


def test_what_an_earlier_attempt_of_the_run_wrote_is_this_runs(stage: Stage) -> None:
    deliver(stage)
    assert stage.launch(f"{SAVES}; raise SystemExit(75)", number=1).to_the_end().kind is EndKind.FAILED
    assert stage.launch("pass", number=2).to_the_end().kind is EndKind.SUCCEEDED


def test_the_same_model_written_again_is_this_runs(stage: Stage) -> None:
    deliver(stage)
    (stage.folder / "model.bin").write_text("a model")
    assert stage.launch(SAVES).to_the_end().kind is EndKind.SUCCEEDED


def test_a_model_that_cannot_be_put_in_its_place_is_a_failure_that_says_where_it_is(stage: Stage) -> None:
    final = deliver(stage)
    final.parent.write_text("a file where a folder should be")
    ended = stage.launch(SAVES).to_the_end()
    assert (ended.kind, ended.final) == (EndKind.FAILED, True)
    assert str(stage.folder / "model.bin") in ended.detail
    assert "could not be put at" in ended.detail


def test_whoever_looks_while_it_is_published_sees_the_old_model_or_the_new_one_whole(tmp_path: Path) -> None:
    final, new = tmp_path / "final", tmp_path / "new"
    contents = [bytes([n]) * 3_000_000 for n in (1, 2)]
    final.write_bytes(contents[0])
    seen: set[bytes] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.add(hashlib.sha256(final.read_bytes()).digest())

    reader = threading.Thread(target=look)
    reader.start()
    for turn in range(20):
        new.write_bytes(contents[turn % 2])
        publish(examine(new), final)
    over.set()
    reader.join()
    assert seen <= {hashlib.sha256(content).digest() for content in contents}


def test_a_full_disk_leaves_the_old_model_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final, new = tmp_path / "out/final", tmp_path / "new"
    final.parent.mkdir()
    final.write_text("old")
    new.write_text("new")
    monkeypatch.setattr(os, "fsync", lambda _fd: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(NotPublishedError, match="No space left"):
        publish(examine(new), final)
    assert [path.name for path in final.parent.iterdir()] == ["final"]
    assert final.read_text() == "old"


def test_a_model_that_changes_while_it_is_copied_is_not_published(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    with pytest.raises(NotPublishedError, match="changed while"):
        publish(Artifact(tmp_path / "new", "0" * 64, 3), tmp_path / "final")
    assert not (tmp_path / "final").exists()


def test_a_stamp_changes_with_each_write_and_with_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model"
    assert stamp(path) is None
    path.write_text("1")
    first = stamp(path)
    path.chmod(0o600)
    path.read_text()
    assert stamp(path) == first
    path.write_text("1")
    assert stamp(path) != first
    assert fault(path, first) is None
    assert "from before this run" in (fault(path, stamp(path)) or "")
