"""On a clean machine the newest whole checkpoint of the bucket comes into the folder; nothing else ever does."""

from __future__ import annotations

import itertools
import json
import random
import resource
import threading
from pathlib import Path
from typing import Any

import pytest

from nightspot.checkpoint import ConfigError, download, manifest, store_patience, upload
from nightspot.checkpoint.bucket_look import own_folder
from nightspot.checkpoint.bucket_objects import Bucket
from nightspot.checkpoint.manifest import MANIFEST, Manifest
from nightspot.checkpoint.store import Store
from nightspot.checkpoint.store_errors import StoreError
from nightspot.checkpoint.store_patience import Patience
from tests.checkpoint.buckets import Fault, Server, made, noise
from tests.checkpoint.test_manifest import forge
from tests.checkpoint.test_upload import MOTO

pytest_plugins = ["tests.checkpoint.bucket_fixture"]
KB = 1 << 10
FILES = {"state.json": b"{}", "data-0-000.bin": noise(100 * KB), "data-0-001.bin": noise(64 * KB, 1), "empty.bin": b""}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_patience, "FIRST_S", 0.001)
    monkeypatch.setattr(download, "CHUNK_BYTES", 16 * KB)


def put(uri: str, folder: Path, number: int, **changes: Any) -> Manifest:
    """A whole checkpoint in the bucket."""
    one = made(folder / "elsewhere", number, FILES | {"own.bin": bytes([number])}, **changes)
    with upload.opened(folder / "elsewhere", one.name) as source:
        upload.Sender(Bucket(uri), MOTO, Patience()).send(source)
    return one


def fetch(uri: str, folder: Path, above: int = 0, **options: Any) -> tuple[Manifest | None, list[str]]:
    """What came into the folder, and the warnings."""
    folder.mkdir(exist_ok=True)
    warnings: list[str] = []
    return Store(uri, folder).fetch(above, warnings.append, **options), warnings


def test_the_newest_comes_and_is_what_was_sent(server: Server, tmp_path: Path) -> None:
    uri, folder = server.fresh(), tmp_path / "here"
    put(uri, tmp_path, 3)
    newest = put(uri, tmp_path, 12)
    found, warnings = fetch(uri, folder)
    assert (found, warnings) == (newest, [])
    assert manifest.verify(folder / newest.name) == newest
    assert manifest.names(folder) == [newest.name]
    assert manifest.unfinished(folder) == []
    assert server.gate.count("get", "data-0-000.bin") == 7


def test_an_empty_bucket_has_none_and_a_newer_local_one_is_not_replaced(server: Server, tmp_path: Path) -> None:
    uri = server.fresh()
    assert fetch(uri, tmp_path / "here") == (None, [])
    put(uri, tmp_path, 3)
    store = Store(uri, tmp_path)
    assert store.fetch(3, print) is None
    assert store.highest == 3


def test_one_without_a_manifest_does_not_exist_but_its_number_is_taken(server: Server, tmp_path: Path) -> None:
    uri, folder = server.fresh(), tmp_path / "here"
    whole, unfinished = put(uri, tmp_path, 3), put(uri, tmp_path, 4)
    server.delete(uri, f"{unfinished.name}/{MANIFEST}")
    folder.mkdir()
    store = Store(uri, folder)
    assert store.fetch(0, pytest.fail) == whole
    assert store.highest == 4


def test_a_number_that_another_machine_may_still_be_sending_is_taken(server: Server, tmp_path: Path) -> None:
    """An earlier attempt's uploader goes on for a while: its parts must not end up in our checkpoint, or ours in its."""
    uri, folder = server.fresh(), tmp_path / "here"
    whole = put(uri, tmp_path, 3)
    Bucket(uri).begin("step-000000005/data-0-000.bin", "crc32", {})
    Bucket(uri).begin("notes/step-000000009", "crc32", {})
    folder.mkdir()
    store = Store(uri, folder)
    assert store.fetch(0, pytest.fail) == whole
    assert store.highest == 5


@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "missing", "manifest", "not empty"])
def test_a_damaged_one_is_passed_over_with_a_warning(server: Server, tmp_path: Path, damage: str) -> None:
    uri, folder = server.fresh(), tmp_path / "here"
    good, bad = put(uri, tmp_path, 1), put(uri, tmp_path, 2)
    key = f"{own_folder(bad)}/data-0-000.bin"
    raw = bytearray(server.get(uri, key))
    if damage == "flip":
        at = random.Random(5).randrange(len(raw))
        raw[at] ^= 1
        server.put(uri, key, bytes(raw))
    elif damage == "missing":
        server.delete(uri, key)
    elif damage == "manifest":
        server.put(uri, f"{bad.name}/{MANIFEST}", bad.to_bytes()[:-2])
    elif damage == "not empty":
        server.put(uri, f"{own_folder(bad)}/empty.bin", b"x")
    else:
        server.put(uri, key, bytes(raw[:-1] if damage == "cut" else raw + b"x"))
    found, warnings = fetch(uri, folder)
    assert found == good
    [warning] = warnings
    assert f"damaged checkpoint in {uri} skipped" in warning
    assert manifest.names(folder) == [good.name]
    assert manifest.unfinished(folder) == []


@pytest.mark.parametrize("name", ["../../evil.bin", "/etc/evil", "a/b", "..", MANIFEST])
def test_a_hostile_name_cannot_leave_the_folder(server: Server, tmp_path: Path, name: str) -> None:
    uri, one = server.fresh(), put(server.fresh(), tmp_path, 1)
    checkpoint = tmp_path / "elsewhere" / one.name
    files = [{"name": name, "size_bytes": 1, "hash": "0"}]
    forge(checkpoint, files=files)
    server.put(uri, f"{one.name}/{MANIFEST}", (checkpoint / MANIFEST).read_bytes())
    found, warnings = fetch(uri, tmp_path / "here")
    assert found is None
    assert "not allowed" in warnings[0]
    assert list((tmp_path / "here").iterdir()) == []


def test_hostile_keys_are_no_names(server: Server, tmp_path: Path) -> None:
    uri = server.fresh()
    for key in ("step-1/MANIFEST.json", "step-000000001.tmp-x/MANIFEST.json", "..x/MANIFEST.json", "step-00000000a/x"):
        server.put(uri, key, b"{}")
    assert fetch(uri, tmp_path / "here") == (None, [])


def test_busy_answers_broken_connections_and_torn_bodies_are_waited_out(server: Server, tmp_path: Path) -> None:
    uri, folder = server.fresh(), tmp_path / "here"
    one = put(uri, tmp_path, 1)
    server.gate.faults = [
        Fault("get", "answer", 3, ".bin"), Fault("get", "drop", 3, ".bin"), Fault("get", "torn", 5, ".bin"),
        Fault("list", "answer", 1), Fault("get", "torn", 1, MANIFEST),
    ]  # fmt: skip
    found, warnings = fetch(uri, folder)
    assert (found, warnings) == (one, [])
    assert all(fault.times == 0 for fault in server.gate.faults)
    assert manifest.verify(folder / one.name) == one


def test_a_bucket_that_does_not_answer_is_not_taken_for_an_empty_one(server: Server, tmp_path: Path) -> None:
    uri = server.fresh()
    put(uri, tmp_path, 1)
    server.gate.faults = [Fault("any", "answer", 10_000)]
    with pytest.raises(StoreError, match="nobody knows what is in it"):
        fetch(uri, tmp_path / "here", patience_s=0.2)
    server.gate.faults = [Fault("any", "answer", 10_000, code="AccessDenied")]
    with pytest.raises(ConfigError, match="AccessDenied"):
        fetch(uri, tmp_path / "here")
    server.gate.faults.clear()
    with pytest.raises(ConfigError, match="NoSuchBucket"):
        fetch("s3://nowhere-at-all/x", tmp_path / "here")


def test_another_jobs_checkpoint_is_refused_before_it_is_fetched(server: Server, tmp_path: Path) -> None:
    uri = server.fresh()
    put(uri, tmp_path, 1, fingerprint="another")

    def check(found: Manifest) -> None:
        raise ConfigError(f"made by {found.head.fingerprint}")

    with pytest.raises(ConfigError, match="made by another"):
        fetch(uri, tmp_path / "here", check=check)
    assert server.gate.count("get", ".bin") == 0


def test_a_local_one_of_that_name_that_is_damaged_makes_room(server: Server, tmp_path: Path) -> None:
    uri, folder = server.fresh(), tmp_path / "here"
    one = put(uri, tmp_path, 2)
    made(folder, 2, {"state.json": b"other"})
    found, _ = fetch(uri, folder, above=1)
    assert found == one
    assert manifest.verify(folder / one.name) == one
    assert manifest.unfinished(folder) == []


def test_a_checkpoint_of_more_files_than_may_be_open_at_once_comes(server: Server, tmp_path: Path) -> None:
    """As of many ranks. Those of the server count, too: it is in this process."""
    uri, one = server.fresh(), made(tmp_path / "elsewhere", 1, {f"f-{n}.bin": bytes([n]) * 20 for n in range(130)})
    for file in one.files:
        server.put(uri, f"{one.name}/{file.name}", (tmp_path / "elsewhere" / one.name / file.name).read_bytes())
    server.put(uri, f"{one.name}/{MANIFEST}", one.to_bytes())
    before, used = (
        resource.getrlimit(resource.RLIMIT_NOFILE),
        {int(path.name) for path in Path("/proc/self/fd").iterdir()},
    )
    free = (number for number in itertools.count() if number not in used)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(itertools.islice(free, 100, None)), before[1]))
    try:
        assert fetch(uri, tmp_path / "here") == (one, [])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert manifest.verify(tmp_path / "here" / one.name) == one


def test_it_is_written_where_nobody_looks_if_there_is_such_a_place(server: Server, tmp_path: Path) -> None:
    uri, folder, staging = server.fresh(), tmp_path / "here", tmp_path / "staging"
    one = put(uri, tmp_path, 1)
    staging.mkdir()
    seen: list[str] = []

    def look() -> None:
        while not done.is_set():
            seen.extend(path.name for path in folder.glob("*"))
            done.wait(0.001)

    done = threading.Event()
    folder.mkdir()
    watching = threading.Thread(target=look)
    watching.start()
    found, _ = fetch(uri, folder, staging=staging)
    done.set()
    watching.join()
    assert found == one
    assert set(seen) <= {one.name}
    assert list(staging.iterdir()) == []


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = server.fresh()
    put(uri, tmp_path, 1)
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: type("", (), {"free": 10}))
    with pytest.raises(OSError, match="10 are free there"):
        fetch(uri, tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []


def test_the_manifest_that_comes_is_the_one_of_the_bucket_byte_for_byte(server: Server, tmp_path: Path) -> None:
    uri, folder = server.fresh(), tmp_path / "here"
    one = put(uri, tmp_path, 1)
    fetch(uri, folder)
    raw = (folder / one.name / MANIFEST).read_bytes()
    assert raw == one.to_bytes() == server.get(uri, f"{one.name}/{MANIFEST}")
    assert json.loads(raw)["digest"] == one.digest
