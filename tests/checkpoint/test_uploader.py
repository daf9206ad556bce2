"""The uploader as a process of its own: it lags, it dies, it outlives the training, and never says what is not so."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nightspot.checkpoint import ConfigError, store, uploader
from nightspot.checkpoint.manifest import MANIFEST
from nightspot.checkpoint.store import Failed, Outcome, Retained, Said, Store, Stored, Superseded
from tests.checkpoint.buckets import Fault, Server, made, noise
from tests.checkpoint.test_upload import whole

pytest_plugins = ["tests.checkpoint.bucket_fixture"]
MB = 1 << 20
SMALL = {"state.json": b"{}", "data-0-000.bin": noise(4000)}
LONG_S = 60.0
Opened = Callable[..., Store]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Stores whose uploaders end with the test."""
    stores: list[Store] = []

    def make(uri: str, folder: Path = tmp_path, **options: Any) -> Store:
        stores.append(Store(uri, folder, **options))
        return stores[-1]

    yield make
    for one in stores:
        one.close()
        if one._process is not None:
            one._process.kill()
            one._process.wait()


def until(wanted: Callable[[], bool]) -> None:
    """Wait for something that must come; the test's own limit is the only one that is short."""
    give_up_s = time.monotonic() + LONG_S
    while not wanted():
        assert time.monotonic() < give_up_s, "it never came"
        time.sleep(0.01)


def said(outcomes: list[Outcome]) -> list[str]:
    return [one.message for one in outcomes if isinstance(one, Said)]


def more(outcomes: list[Outcome], ours: Store) -> list[Outcome]:
    """With what has been heard since."""
    outcomes += ours.poll()
    return outcomes


def stored(outcomes: list[Outcome]) -> list[str]:
    return [one.name for one in outcomes if isinstance(one, Stored)]


def test_it_uploads_while_the_training_goes_on_and_says_when_it_is_there(
    server: Server, tmp_path: Path, opened: Opened
) -> None:
    uri, one = server.fresh(), made(tmp_path, 1, SMALL)
    ours = opened(uri)
    assert ours.poll() == []
    ours.submit(one.name)
    outcomes = ours.finish(LONG_S)
    assert stored(outcomes) == [one.name]
    assert ours.waiting is None
    assert whole(uri, one.name) == []
    assert ours._process is not None
    process = psutil.Process(ours._process.pid)
    assert process.nice() == min(19, os.nice(0) + uploader.NICENESS)
    assert os.getpgid(process.pid) == os.getpgrp()
    loaded = (Path("/proc") / str(process.pid) / "maps").read_text()
    assert "libtorch" not in loaded


def test_a_checkpoint_of_more_files_than_a_process_usually_may_open_is_uploaded(
    server: Server, tmp_path: Path, opened: Opened
) -> None:
    one, before = made(tmp_path, 1, SMALL), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1] // 2, before[1]))  # for the uploader inherits it
    try:
        ours = opened(server.fresh())
        ours.submit(one.name)
        assert stored(ours.finish(LONG_S)) == [one.name]
        assert ours._process is not None
        assert resource.prlimit(ours._process.pid, resource.RLIMIT_NOFILE)[0] == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_what_is_not_there_in_time_is_not_said_to_be(server: Server, tmp_path: Path, opened: Opened) -> None:
    uri, one = server.fresh(), made(tmp_path, 1, SMALL)
    server.gate.held = "put"
    ours = opened(uri)
    ours.submit(one.name)
    assert stored(ours.finish(0.5)) == []
    assert ours.waiting == one.name
    server.gate.held = ""
    server.gate.release.set()
    assert stored(ours.finish(LONG_S)) == [one.name]


def test_the_newest_goes_first_and_lagging_is_said_once_and_so_is_its_end(
    server: Server, tmp_path: Path, opened: Opened
) -> None:
    uri = server.fresh()
    names = [made(tmp_path, number, SMALL).name for number in range(1, 6)]
    server.gate.held = "list"
    ours = opened(uri)
    ours.submit(names[0])
    until(server.gate.reached.is_set)  # the first has begun
    for name in names[1:]:
        ours.submit(name)
    time.sleep(0.3)
    server.gate.held = ""
    server.gate.release.set()
    outcomes = ours.finish(LONG_S)
    until(lambda: len(said(more(outcomes, ours))) == 2)
    assert stored(outcomes) == [names[0], names[4]]
    assert [one.name for one in outcomes if isinstance(one, Superseded)] == names[1:4]
    assert "lag behind" in said(outcomes)[0]
    assert "caught up" in said(outcomes)[1]
    assert len(said(outcomes)) == 2


def test_an_outage_is_said_and_waited_out(server: Server, tmp_path: Path, opened: Opened) -> None:
    uri, one = server.fresh(), made(tmp_path, 1, SMALL)
    server.gate.faults = [Fault("put", "answer", 4, MANIFEST)]
    ours = opened(uri)
    ours.submit(one.name)
    outcomes = ours.finish(LONG_S)
    until(lambda: len(said(more(outcomes, ours))) == 2)
    assert stored(outcomes) == [one.name]
    assert "SlowDown" in said(outcomes)[0]


def test_an_uploader_killed_in_the_middle_of_a_file_is_started_again_and_goes_on_where_it_was(
    server: Server, tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(store.BANDWIDTH, str(8 * MB))  # a part every 0.6 s
    uri, one = server.fresh(), made(tmp_path, 1, {"data-0-000.bin": noise(24 * MB)})
    ours = opened(uri)
    ours.submit(one.name)
    until(lambda: server.gate.count("part") >= 2)
    assert ours._process is not None
    ours._process.kill()
    outcomes = ours.finish(LONG_S)
    assert "started again" in said(outcomes)[0]
    assert stored(outcomes) == [one.name]
    assert server.gate.count("begin") == 1
    assert server.gate.count("part") <= 5 + 2  # those that were on their way
    assert whole(uri, one.name) == []


def test_where_no_process_can_be_started_training_goes_on_and_the_next_one_is_tried(
    server: Server, tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = server.fresh()
    first, second = made(tmp_path, 1, SMALL), made(tmp_path, 2, SMALL)
    ours = opened(uri)

    def none_left(*_: Any, **__: Any) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(subprocess, "Popen", none_left)
        ours.start()
        assert ["Resource temporarily unavailable" in one for one in said(ours.poll())] == [True]
        ours.submit(first.name)
        assert ours.waiting is None
        [failed] = ours.finish(LONG_S)
    assert isinstance(failed, Failed) and failed.name == first.name and not failed.final
    assert "the uploader cannot be started" in failed.why
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    ours.submit(second.name)
    assert stored(ours.finish(LONG_S)) == [second.name]


TRAINER = """
import sys, time
from pathlib import Path
from nightspot.checkpoint.store import Store
store = Store(sys.argv[1], Path(sys.argv[2]))
store.submit(sys.argv[3])
print(store._process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_finishes_when_the_training_is_killed_and_then_ends(server: Server, tmp_path: Path, number: int) -> None:
    uri, one = server.fresh(), made(tmp_path, 1, SMALL)
    server.gate.held = "put"
    words = [sys.executable, "-c", TRAINER, uri, str(tmp_path), one.name]
    trainer = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert trainer.stdout is not None
    pid = int(trainer.stdout.readline())
    until(server.gate.reached.is_set)
    if number == signal.SIGTERM:
        os.killpg(trainer.pid, number)  # a supervisor tells the whole group
    else:
        trainer.kill()
    trainer.wait()
    trainer.stdout.close()
    assert psutil.pid_exists(pid)
    server.gate.held = ""
    server.gate.release.set()
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    assert whole(uri, one.name) == []


def test_a_successor_on_this_machine_takes_over(server: Server, tmp_path: Path, opened: Opened) -> None:
    uri = server.fresh()
    first, second = made(tmp_path, 1, SMALL), made(tmp_path, 2, SMALL)
    server.gate.faults = [Fault("any", "answer", 10_000)]
    before = opened(uri)
    before.submit(first.name)
    assert before._process is not None
    until(lambda: server.gate.count("put") > 0)
    before.close()
    after = opened(uri)
    after.submit(second.name)
    assert before._process.wait(LONG_S) == 0
    server.gate.faults.clear()
    assert stored(after.finish(LONG_S)) == [second.name]


def test_old_ones_go_and_the_dead_leave_nothing(server: Server, tmp_path: Path, opened: Opened) -> None:
    uri = server.fresh()
    server.put(uri, "step-000000001/data.bin", b"never finished")
    server.s3().create_multipart_upload(Bucket="bkt", Key=f"{uri[6 + 4 :]}/step-000000001/large.bin")
    server.put(uri, "somebody/elses", b"stays")
    ours = opened(uri, retained=Retained(keep=2, keep_every=4))
    for number in range(2, 9):
        ours.submit(made(tmp_path, number, SMALL).name)
        assert len(stored(ours.finish(LONG_S))) == 1
    until(lambda: not any(key.startswith("step-000000006") for key in server.keys(uri)))
    left = {key.partition("/")[0] for key in server.keys(uri)}
    assert left == {"step-000000004", "step-000000007", "step-000000008", "somebody"}
    prefix = uri.removeprefix("s3://bkt/")
    assert server.s3().list_multipart_uploads(Bucket="bkt", Prefix=prefix).get("Uploads", []) == []
    deleted = [key for kind, key in server.gate.seen if kind == "delete" and "step-000000006" in key]
    assert deleted[0].endswith(MANIFEST)


@pytest.mark.parametrize("attempt", [1, 2])
def test_another_trainings_checkpoint_is_an_error_an_earlier_attempts_late_one_is_not(
    server: Server, tmp_path: Path, opened: Opened, attempt: int
) -> None:
    uri = server.fresh()
    theirs, ours = made(tmp_path / "a", 1, SMALL), made(tmp_path / "b", 1, {"state.json": b"[]"}, attempt=attempt)
    one = opened(uri, tmp_path / "a", attempt=1)
    one.submit(theirs.name)
    assert stored(one.finish(LONG_S)) == [theirs.name]
    other = opened(uri, tmp_path / "b", attempt=attempt)
    other.submit(ours.name)
    [failed] = other.finish(LONG_S)
    assert isinstance(failed, Failed)
    assert "two trainings share a prefix" in failed.why
    assert failed.final == (attempt == 1)
    assert whole(uri, theirs.name) == []


@pytest.mark.parametrize("how", ["ignored", "refused"])
def test_a_bucket_that_may_overwrite_is_refused_unless_the_user_says_otherwise(
    server: Server, tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    uri, one = server.fresh(), made(tmp_path, 1, SMALL)
    server.gate.conditional = how
    ours = opened(uri)
    ours.submit(one.name)
    [failed] = [outcome for outcome in ours.finish(LONG_S) if isinstance(outcome, Failed)]
    assert failed.final
    assert "If-None-Match" in failed.why
    assert uploader.UNCONDITIONAL in failed.why
    assert server.keys(uri) == []
    monkeypatch.setenv(uploader.UNCONDITIONAL, "1")
    allowed = opened(uri)
    allowed.submit(one.name)
    assert stored(allowed.finish(LONG_S)) == [one.name]


def test_a_checkpoint_that_has_gone_bad_here_fails_alone(server: Server, tmp_path: Path, opened: Opened) -> None:
    uri, bad, good = server.fresh(), made(tmp_path, 1, SMALL), made(tmp_path, 2, SMALL)
    (tmp_path / bad.name / "state.json").write_bytes(b"[]")
    ours = opened(uri)
    ours.submit(bad.name)
    [failed] = ours.finish(LONG_S)
    assert isinstance(failed, Failed)
    assert not failed.final
    ours.submit(good.name)
    assert stored(ours.finish(LONG_S)) == [good.name]


@pytest.mark.parametrize("uri", ["s3://", "gs://b/x", "bkt/x", "s3://b/../x", "s3://b/a//b", ""])
def test_what_is_no_address_in_a_bucket_is_refused_at_once(tmp_path: Path, uri: str) -> None:
    with pytest.raises(ConfigError, match="expected s3://bucket/prefix"):
        Store(uri, tmp_path)


@pytest.mark.parametrize("value", ["fast", "0", "-1", "nan", "inf"])
def test_a_bandwidth_that_is_none_is_refused_at_once(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="bytes a second"):
        Store("s3://b/x", tmp_path, environment={store.BANDWIDTH: value})


def test_without_boto3_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match="pip install boto3"):
        Store("s3://b/x", tmp_path)
