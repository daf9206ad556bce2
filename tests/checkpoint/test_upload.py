"""A checkpoint is in the bucket once its manifest is, and then all of it is."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from nightspot.checkpoint import DamagedError, bucket_look, manifest, store_patience, upload
from nightspot.checkpoint.bucket_look import own_folder
from nightspot.checkpoint.bucket_objects import Bucket
from nightspot.checkpoint.manifest import MANIFEST
from nightspot.checkpoint.store_errors import BusyError, DeniedError, StoppedError, TakenError
from nightspot.checkpoint.store_patience import Patience
from nightspot.checkpoint.store_probe import Abilities, probe
from tests.checkpoint.buckets import Fault, Server, made, noise

pytest_plugins = ["tests.checkpoint.bucket_fixture"]
MB = 1 << 20
# As moto is: it knows If-None-Match, and looks at no checksum.
MOTO = Abilities(conditional=True, checksum="none", etag_is_md5=True)
SMALL = {"state.json": b"{}", "data-0-000.bin": noise(4000), "empty.bin": b""}


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_patience, "FIRST_S", 0.001)
    monkeypatch.setattr(upload, "PART_BYTES", 5 * MB)


def sender(uri: str, abilities: Abilities = MOTO, **changes: Any) -> upload.Sender:
    return upload.Sender(Bucket(uri), abilities, Patience(**changes))


def send(one: upload.Sender, folder: Path, name: str) -> None:
    with upload.opened(folder, name) as source:
        one.send(source)


def whole(uri: str, name: str) -> list[str]:
    """Faults of the checkpoint in the bucket, all of it read."""
    bucket, ask = Bucket(uri), Patience()
    return bucket_look.hash_faults(bucket, bucket_look.read(bucket, name, ask), ask)


def test_all_files_are_there_before_the_manifest_is(server: Server, tmp_path: Path) -> None:
    uri, one = server.fresh(), made(tmp_path, 1, SMALL)
    send(sender(uri), tmp_path, one.name)
    assert server.keys(uri) == sorted([f"{one.name}/{MANIFEST}", *(f"{own_folder(one)}/{name}" for name in SMALL)])
    assert whole(uri, one.name) == []
    puts = [key for kind, key in server.gate.seen if kind == "put"]
    assert puts[-1].endswith(MANIFEST)
    assert {key.rpartition("/")[2] for kind, key in server.gate.seen if kind == "head"} == set(SMALL)


def test_a_large_file_goes_in_parts_and_comes_out_the_same(server: Server, tmp_path: Path) -> None:
    uri, one = server.fresh(), made(tmp_path, 1, {"data-0-000.bin": noise(11 * MB)})
    send(sender(uri), tmp_path, one.name)
    assert server.gate.count("part") == 3
    assert whole(uri, one.name) == []


def test_a_second_try_sends_nothing_that_is_there(server: Server, tmp_path: Path) -> None:
    uri, one = server.fresh(), made(tmp_path, 1, SMALL)
    server.gate.faults = [Fault("put", "answer", 1, MANIFEST, "AccessDenied")]
    with pytest.raises(DeniedError):
        send(sender(uri), tmp_path, one.name)
    before = server.gate.count("put")
    send(sender(uri), tmp_path, one.name)
    assert server.gate.count("put") == before + 1  # the manifest
    send(sender(uri), tmp_path, one.name)
    assert server.gate.count("put") == before + 1
    assert whole(uri, one.name) == []


def test_parts_of_an_earlier_try_are_kept_if_they_hold_the_same_bytes(server: Server, tmp_path: Path) -> None:
    uri, one = server.fresh(), made(tmp_path, 1, {"data-0-000.bin": noise(16 * MB)})
    stop = threading.Event()
    server.gate.held = "complete"

    def until_stopped() -> None:
        with pytest.raises(StoppedError):
            send(sender(uri, stop=stop), tmp_path, one.name)

    trying = threading.Thread(target=until_stopped)
    trying.start()
    assert server.gate.reached.wait(60)
    stop.set()
    assert server.gate.count("part") == 4
    # Other bytes among them, of the right size.
    bucket = Bucket(uri)
    [(key, begun)] = bucket.uploads()
    bucket.put_part(key, begun, 2, noise(5 * MB, 9), "none")
    server.gate.held = ""
    send(sender(uri), tmp_path, one.name)
    assert server.gate.count("part") == 4 + 1 + 1
    server.gate.release.set()
    trying.join()
    assert whole(uri, one.name) == []


@pytest.mark.parametrize("what", ["answer", "drop"])
def test_a_busy_bucket_and_a_broken_connection_are_waited_out(server: Server, tmp_path: Path, what: str) -> None:
    uri, one = server.fresh(), made(tmp_path, 1, SMALL | {"large.bin": noise(6 * MB)})
    kinds = ("get", "list", "uploads", "put", "begin", "part", "complete", "head")
    server.gate.faults = [Fault(kind, what, 2) for kind in kinds]
    send(sender(uri), tmp_path, one.name)
    assert [fault.times for fault in server.gate.faults] == [0] * len(kinds)
    assert whole(uri, one.name) == []


def test_an_answer_that_is_lost_after_the_deed_makes_no_second_object_of_it(server: Server, tmp_path: Path) -> None:
    uri, one = server.fresh(), made(tmp_path, 1, SMALL | {"large.bin": noise(6 * MB)})
    server.gate.faults = [Fault("complete", "torn"), Fault("put", "torn", 1, MANIFEST)]
    send(sender(uri), tmp_path, one.name)
    assert whole(uri, one.name) == []


def test_damage_on_the_way_is_seen_and_sent_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, one = server.fresh(), made(tmp_path, 1, {"data.bin": b"weights"})
    put, flipped = Bucket.put, []

    def damaging(self: Bucket, key: str, body: bytes, *rest: Any) -> str:
        flipped.append(key)
        return put(self, key, b"wrights" if len(flipped) == 1 else body, *rest)

    monkeypatch.setattr(Bucket, "put", damaging)
    send(sender(uri), tmp_path, one.name)
    assert len(flipped) == 2
    assert whole(uri, one.name) == []


@pytest.mark.parametrize("checksum", ["crc32", "md5"])
def test_where_the_bucket_checks_each_body_has_its_checksum(server: Server, tmp_path: Path, checksum: str) -> None:
    uri, one = server.fresh(), made(tmp_path, 1, SMALL | {"large.bin": noise(6 * MB)})
    server.gate.strict = True
    found = probe(Bucket(uri), Patience())
    assert found == Abilities(conditional=True, checksum="crc32", etag_is_md5=True)
    send(sender(uri, Abilities(True, checksum, False)), tmp_path, one.name)
    assert whole(uri, one.name) == []


def test_a_file_that_has_gone_bad_on_this_disk_is_not_sent_as_good(server: Server, tmp_path: Path) -> None:
    uri = server.fresh()
    one = made(tmp_path, 1, {"small.bin": b"weights", "large.bin": noise(6 * MB)})
    for name in ("small.bin", "large.bin"):
        path = tmp_path / one.name / name
        good = path.read_bytes()
        path.write_bytes(good[:-1] + b"x")
        with pytest.raises(DamagedError, match="gone bad"):
            send(sender(uri), tmp_path, one.name)
        path.write_bytes(good)
    assert not any(key.endswith(MANIFEST) for key in server.keys(uri))
    assert Bucket(uri).uploads() == []


def test_a_file_cut_short_a_link_and_a_missing_one_are_refused(server: Server, tmp_path: Path) -> None:
    one = made(tmp_path, 1, SMALL)
    os.truncate(tmp_path / one.name / "data-0-000.bin", 10)
    with pytest.raises(DamagedError, match="10 bytes, not 4000"), upload.opened(tmp_path, one.name):
        pass
    (tmp_path / one.name / "data-0-000.bin").unlink()
    with pytest.raises(FileNotFoundError), upload.opened(tmp_path, one.name):
        pass
    (tmp_path / one.name / "data-0-000.bin").symlink_to(__file__)
    with pytest.raises(OSError, match="symbolic"), upload.opened(tmp_path, one.name):
        pass


def test_a_checkpoint_that_is_dropped_meanwhile_is_sent_to_its_end(server: Server, tmp_path: Path) -> None:
    uri, one = server.fresh(), made(tmp_path, 1, SMALL)
    with upload.opened(tmp_path, one.name) as source:
        for path in [*(tmp_path / one.name).iterdir()]:
            path.unlink()
        sender(uri).send(source)
    assert whole(uri, one.name) == []


def test_another_checkpoint_of_that_name_is_never_touched(server: Server, tmp_path: Path) -> None:
    uri = server.fresh()
    theirs, ours = made(tmp_path / "a", 1, SMALL), made(tmp_path / "b", 1, SMALL | {"state.json": b"[]"})
    send(sender(uri), tmp_path / "a", theirs.name)
    with pytest.raises(TakenError, match="two trainings share a prefix"):
        send(sender(uri), tmp_path / "b", ours.name)
    assert server.get(uri, f"{own_folder(theirs)}/state.json") == b"{}"
    assert whole(uri, theirs.name) == []


@pytest.mark.parametrize("conditional", [True, False])
def test_a_late_writer_damages_nothing_of_a_checkpoint_that_was_stored_meanwhile(
    server: Server, tmp_path: Path, conditional: bool
) -> None:
    """An earlier attempt's uploader, on another machine: it looked before anything was there, and sends after all is there."""
    uri = server.fresh()
    late = made(tmp_path / "a", 1, {"state.json": b"[]", "data-0-000.bin": noise(6 * MB, 1), "same.bin": b"same"})
    newer = made(
        tmp_path / "b", 1, {"state.json": b"{}", "data-0-000.bin": noise(6 * MB, 2), "same.bin": b"same"}, attempt=2
    )
    abilities = Abilities(conditional, "none", True)
    ended: list[Exception] = []

    def send_late() -> None:
        try:
            send(sender(uri, abilities), tmp_path / "a", late.name)
        except TakenError as error:
            ended.append(error)

    server.gate.held = "list"
    writing = threading.Thread(target=send_late)
    writing.start()
    assert server.gate.reached.wait(60)
    server.gate.held = ""
    send(sender(uri, abilities), tmp_path / "b", newer.name)
    server.gate.release.set()
    writing.join()
    assert whole(uri, newer.name) == []
    assert server.get(uri, f"{newer.name}/{MANIFEST}") == newer.to_bytes()
    assert "two trainings share a prefix" in str(ended[0])


def test_a_late_writer_takes_up_no_part_of_another_checkpoint(server: Server, tmp_path: Path) -> None:
    uri = server.fresh()
    theirs, ours = (
        made(tmp_path / "a", 1, {"a.bin": noise(6 * MB, 1)}),
        made(tmp_path / "b", 1, {"a.bin": noise(6 * MB, 2)}),
    )
    server.gate.faults = [Fault("complete", "answer", 1, "", "AccessDenied")]
    with pytest.raises(DeniedError):
        send(sender(uri), tmp_path / "a", theirs.name)
    [(_, begun)] = Bucket(uri).uploads()
    send(sender(uri), tmp_path / "b", ours.name)
    assert begun in [upload for _, upload in Bucket(uri).uploads()], "it is still theirs"
    assert whole(uri, ours.name) == []


def test_a_folder_that_was_copied_into_a_bucket_is_read_as_it_is(server: Server, tmp_path: Path) -> None:
    """As SageMaker does, and whoever copies with another tool."""
    uri, one = server.fresh(), made(tmp_path, 1, SMALL)
    for name in (*SMALL, MANIFEST):
        server.put(uri, f"{one.name}/{name}", (tmp_path / one.name / name).read_bytes())
    assert whole(uri, one.name) == []
    server.put(uri, f"{one.name}/state.json", b"[]")
    assert whole(uri, one.name) == [bucket_look.altered(one.files[0])]
    server.delete(uri, f"{one.name}/state.json")
    assert whole(uri, one.name) == ["state.json is missing"]


def test_a_race_for_the_manifest_has_one_winner(server: Server, tmp_path: Path) -> None:
    uri = server.fresh()
    theirs, ours = made(tmp_path / "a", 1, SMALL), made(tmp_path / "b", 1, SMALL | {"state.json": b"[]"})
    raced = Raced(uri, lambda: server.put(uri, f"{theirs.name}/{MANIFEST}", theirs.to_bytes()))
    with pytest.raises(TakenError):
        send(raced.sender, tmp_path / "b", ours.name)
    assert server.get(uri, f"{theirs.name}/{MANIFEST}") == theirs.to_bytes()


class Raced:
    """Somebody else's manifest appears right before ours is written."""

    def __init__(self, uri: str, theirs: Any) -> None:
        self.sender, self.theirs = sender(uri), theirs
        put_new = self.sender.bucket.put_new

        def late(key: str, body: bytes, checksum: str) -> str:
            self.theirs()
            return put_new(key, body, checksum)

        self.sender.bucket.put_new = late  # type: ignore[method-assign]


def test_patience_gives_up_in_time_and_says_when_it_takes_long() -> None:
    told: list[str] = []

    def busy() -> None:
        raise BusyError("503")

    with pytest.raises(BusyError):
        Patience(give_up_s=0.0)(busy)
    stop = threading.Event()

    def lagging(reason: str) -> None:
        told.append(reason)
        stop.set()

    with pytest.raises(StoppedError):
        Patience(stop, lagging)(busy)
    assert told == ["503"]


def test_pauses_grow_to_a_bound_and_are_never_the_same_for_all() -> None:
    for tries in range(1, 30):
        pauses = {store_patience.pause_s(tries, 30.0) for _ in range(20)}
        assert len(pauses) > 1
        assert all(0 < pause <= 30.0 for pause in pauses)


def test_bandwidth_is_shared_by_all_threads() -> None:
    waited: list[float] = []

    class Clock(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0.0)
            return False

    throttle = store_patience.Throttle(1000.0)
    for _ in range(5):
        throttle.wait(500, Clock())
    assert waited[0] <= 0.0
    assert waited[-1] == pytest.approx(2.0, abs=0.5)


def test_parts_are_as_large_as_they_must_be_and_stay_the_same() -> None:
    assert upload.part_bytes(6 * MB, limited=False) == 5 * MB
    assert upload.part_bytes(6 * MB, limited=True) == upload.SMALLEST_PART_BYTES
    huge = 5 << 40
    assert -(-huge // upload.part_bytes(huge, limited=False)) <= upload.MOST_PARTS
    assert manifest.number("step-000000012") == 12
