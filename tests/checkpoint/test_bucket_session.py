"""A session with a store: durable means in the bucket, and a clean machine goes on from there."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nightspot.checkpoint import Session, manifest
from nightspot.checkpoint.manifest import MANIFEST
from tests.checkpoint.buckets import Fault, Server
from tests.checkpoint.helpers import flip_a_bit, lines

pytest_plugins = ["tests.checkpoint.bucket_fixture"]


@pytest.fixture
def progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "progress.jsonl"
    path.touch()
    monkeypatch.setenv("NIGHTSPOT_PROGRESS", str(path))
    monkeypatch.setenv("NIGHTSPOT_CHECKPOINT_WAIT", "1")  # each save is in the bucket before training goes on
    yield path


def train(uri: str, folder: Path, steps: int, **options: Any) -> tuple[str | None, int]:
    """(what it went on from, where it came to)."""
    loop = {"step": 0}
    with Session({"loop": loop}, folder=folder, store=uri, interval="1 step", **options) as session:
        restored = session.restore()
        for _ in range(steps):
            loop["step"] += 1
            session.step(units_done=loop["step"])
    return (None if restored is None else restored.name), loop["step"]


def test_a_checkpoint_is_reported_when_it_is_in_the_bucket_and_a_clean_machine_goes_on_from_it(
    server: Server, tmp_path: Path, progress: Path
) -> None:
    uri = server.fresh()
    assert train(uri, tmp_path / "one", 3) == (None, 3)
    assert [line["name"] for line in lines(progress, "checkpoint")] == [f"step-{n:09d}" for n in (1, 2, 3)]
    assert train(uri, tmp_path / "two", 1) == ("step-000000003", 4)
    assert lines(progress, "checkpoint")[-1]["name"] == "step-000000004"
    assert lines(progress, "warning") == []
    [newest] = [key for key in server.keys(uri) if key == f"step-000000004/{MANIFEST}"]
    assert server.get(uri, newest) == (tmp_path / "two" / newest).read_bytes()


def test_the_newer_of_folder_and_bucket_wins(server: Server, tmp_path: Path, progress: Path) -> None:
    uri, folder = server.fresh(), tmp_path / "one"
    train(uri, folder, 2)
    shutil.copytree(folder, tmp_path / "old")
    train(uri, folder, 2)
    assert train(uri, tmp_path / "old", 0) == ("step-000000004", 4)  # the bucket's
    with Session({"loop": {"step": 9}}, folder=folder, interval_s=0) as session:
        session.restore()
        session.step(units_done=9)
    assert train(uri, folder, 0)[0] == "step-000000005"  # the folder's, which the bucket now gets, too
    assert f"step-000000005/{MANIFEST}" in server.keys(uri) or wait_for(server, uri, f"step-000000005/{MANIFEST}")


def wait_for(server: Server, uri: str, key: str) -> bool:
    for _ in range(600):
        if key in server.keys(uri):
            return True
        time.sleep(0.05)
    return False


def test_a_damaged_local_one_is_replaced_by_the_buckets_and_a_damaged_one_of_the_bucket_is_passed_over(
    server: Server, tmp_path: Path, progress: Path
) -> None:
    uri, folder = server.fresh(), tmp_path / "one"
    train(uri, folder, 3)
    flip_a_bit(folder / "step-000000003" / "state.json", 2)
    assert train(uri, folder, 0) == ("step-000000003", 3)
    assert manifest.verify(folder / "step-000000003").name == "step-000000003"
    key = server.where(uri, "step-000000003", "state.json")
    server.put(uri, key, b"x" * len(server.get(uri, key)))
    assert train(uri, tmp_path / "two", 1) == ("step-000000002", 3)
    assert any("skipped" in line["message"] for line in lines(progress, "warning"))
    # Its number is not used again: what is in the bucket is never overwritten.
    assert lines(progress, "checkpoint")[-1]["name"] == "step-000000004"


def test_another_jobs_bucket_and_a_bucket_that_cannot_be_used_end_with_78(
    server: Server, tmp_path: Path, progress: Path
) -> None:
    uri = server.fresh()
    train(uri, tmp_path / "one", 1, fingerprint="a")
    for store in (uri, "s3://nowhere-at-all/x"):
        with pytest.raises(SystemExit) as ended:
            train(store, tmp_path / "two", 1, fingerprint="b")
        assert ended.value.code == 78
    assert manifest.names(tmp_path / "two") == []
    with pytest.raises(SystemExit) as ended, Session({"loop": {}}, store=uri):
        pass
    assert ended.value.code == 78


def test_two_trainings_that_share_a_prefix_are_told(server: Server, tmp_path: Path, progress: Path) -> None:
    uri = server.fresh()
    session = Session({"loop": {"step": 7}}, folder=tmp_path / "one", store=uri, interval="1 step")
    with pytest.raises(SystemExit) as ended, session:
        session.restore()
        train(uri, tmp_path / "two", 1)
        session.step(units_done=7)
    assert ended.value.code == 78
    assert any("two trainings share a prefix" in line["message"] for line in lines(progress, "warning"))


def test_the_environment_wins_and_a_suffix_keeps_a_drill_apart(
    server: Server, tmp_path: Path, progress: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = server.fresh()
    monkeypatch.setenv("NIGHTSPOT_CHECKPOINT_STORE", "none")
    train(uri, tmp_path / "one", 1)
    assert server.keys(uri) == []
    monkeypatch.setenv("NIGHTSPOT_CHECKPOINT_STORE", f"{uri}/env")
    monkeypatch.setenv("NIGHTSPOT_CHECKPOINT_STORE_SUFFIX", "drill/kill")
    train(uri, tmp_path / "two", 1)
    assert all(key.startswith("env/drill/kill/step-") for key in server.keys(uri))
    assert len(server.keys(uri)) > 1


SCRIPT = """
import os, sys, time
from nightspot.checkpoint import Session
loop = {"step": 0}
with Session({"loop": loop}, folder=sys.argv[1], store=sys.argv[2], interval_s=3600) as session:
    session.restore()
    while True:
        loop["step"] += 1
        session.step(units_done=loop["step"])
        time.sleep(0.01)
"""


def start(uri: str, folder: Path, notice: Path) -> subprocess.Popen[str]:
    """A training that saves only when it is told that it ends."""
    words = [sys.executable, "-c", f"import os; os.environ['NIGHTSPOT_NOTICE'] = {str(notice)!r}\n{SCRIPT}"]
    words += [str(folder), uri]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize("in_time", [True, False])
def test_on_notice_it_waits_for_the_upload_and_says_so_if_it_could_not(
    server: Server, tmp_path: Path, in_time: bool
) -> None:
    uri, notice = server.fresh(), tmp_path / "notice.json"
    if not in_time:
        server.gate.faults = [Fault("put", "answer", 100_000, "state.json")]
    trainer = start(uri, tmp_path / "one", notice)
    for _ in range(600):  # until it trains
        if server.gate.count("put") or trainer.poll() is not None:
            break
        time.sleep(0.05)
    time.sleep(0.3)
    notice.write_text(json.dumps({"kill_in_s": 20 if in_time else 3, "reason": "interruption"}))
    trainer.send_signal(signal.SIGTERM)
    _, said = trainer.communicate(timeout=60)
    assert (f"step-000000001/{MANIFEST}" in server.keys(uri)) == in_time
    if in_time:
        assert trainer.returncode == 75, said
    else:
        assert trainer.returncode not in (0, 75), said
        assert "could not be uploaded in time" in said
