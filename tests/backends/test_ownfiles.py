"""Which of an unmodified script's files are whole, and what becomes of the torn ones. By a real S3 API, with real archives."""

from __future__ import annotations

import dataclasses
import io
import os
import zipfile
from typing import Any

import pytest

from nightspot.backends.aws.calls import Aws, Rejected, Trouble
from nightspot.backends.aws.ownfiles import SETTLED_S, TAIL_BYTES, ChangedError, whole_archive
from nightspot.backends.aws.standing import End
from nightspot.backends.aws.store import Store
from nightspot.backends.aws.watch import Watch
from nightspot.model.attempt import Role
from nightspot.night.ports import EndKind, SavedCheckpoint, WarningSeen
from tests.backends.emulated import BUCKET, REGION, Emulation
from tests.backends.test_watch import Bucket


def archive(kind: int = zipfile.ZIP_STORED, members: int = 3, size_bytes: int = 3000) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", kind) as made:
        for number in range(members):
            made.writestr(f"archive/data/{number}", os.urandom(size_bytes))
    return raw.getvalue()


def whole(raw: bytes) -> bool | None:
    return whole_archive(len(raw), lambda start, count: raw[start : start + count])


@pytest.mark.parametrize(
    "raw",
    [
        archive(),
        archive(zipfile.ZIP_DEFLATED),
        archive(members=2000, size_bytes=100),
        archive(size_bytes=TAIL_BYTES),
    ],
    ids=["plain", "deflated", "many members", "large"],
)
def test_an_archive_is_whole_only_with_its_very_last_byte(raw: bytes) -> None:
    assert whole(raw) is True
    cuts = [len(raw) - 1, len(raw) - 22, len(raw) * 9 // 10, len(raw) // 2, 100, 4, 2]
    assert [whole(raw[:cut]) for cut in cuts] == [False] * len(cuts)


def test_an_archive_inside_a_torn_one_does_not_make_it_whole() -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as outer:
        outer.writestr("inner.zip", archive())
        outer.writestr("more", b"x" * 100)
    found = raw.getvalue()
    until = found.index(archive_end(found)) + 22
    assert whole(found) is True
    assert zipfile.is_zipfile(io.BytesIO(found[:until]))
    assert whole(found[:until]) is False


def archive_end(raw: bytes) -> bytes:
    at = raw.index(b"PK\x05\x06")
    return raw[at : at + 22]


def test_torchs_own_archives_are_seen_whole_and_torn() -> None:
    torch = pytest.importorskip("torch")
    raw = io.BytesIO()
    torch.save({"model": torch.zeros(50_000), "epoch": 3}, raw)
    found = raw.getvalue()
    assert (whole(found), whole(found[: len(found) // 2]), whole(found[:-1])) == (True, False, False)


def test_only_the_ends_of_an_archive_are_fetched() -> None:
    raw, fetched = archive(size_bytes=1 << 20), []

    def part(start: int, count: int) -> bytes:
        fetched.append(count)
        return raw[start : start + count]

    assert whole_archive(len(raw), part) is True
    assert sum(fetched) <= TAIL_BYTES + 4


def test_another_file_is_no_archive_and_one_that_changes_meanwhile_says_nothing() -> None:
    assert whole(b"\x80\x02pickle") is None
    with pytest.raises(ChangedError):
        whole_archive(100, lambda _start, _count: None)


class Script(Bucket):
    """A script that writes resnet50-*.pt, and an instance that goes and comes."""

    def __init__(self, still: Emulation, role: Role = Role.TRAIN) -> None:
        super().__init__(still, options={"progress": "files"}, pattern="resnet50-*.pt")
        self.spec = dataclasses.replace(self.spec, role=role)
        self.again()
        assert self.look() == []

    def again(self) -> None:
        """As after a restart of the controller."""
        self.watch = Watch(self.spec, Store(Aws(), REGION))

    def phase(self, phase: str, incarnation: int, after_s: float = 0.0) -> None:
        self.now_utc += after_s
        told = {"phase": phase, "incarnation": incarnation, "units_done": 0.0, "at_utc": self.now_utc}
        self.lines.append({"kind": "phase", **told})

    def end(self, kind: EndKind) -> list[Any]:
        new = self.watch.look(self.lines, self.now_utc, last=True, end=End(kind, self.now_utc))
        return sorted({str(line["kind"]) for line in new})

    @property
    def there(self) -> list[str]:
        return [key.rpartition("/")[2] for key in self.emulation.keys(f"ck/{self.run_id}/")]

    @property
    def aside(self) -> list[str]:
        return [
            key.rpartition("/")[2].rpartition(".")[0] for key in self.emulation.keys(f"ck/{self.run_id}-quarantine/")
        ]


@pytest.fixture
def script(still: Emulation) -> Script:
    return Script(still)


def test_a_torn_archive_never_counts_however_long_it_lies_there(script: Script) -> None:
    script.put("resnet50-7.pt", archive())
    script.put("resnet50-8.pt", archive()[:4000])
    script.look()
    assert [one.units_done for one in script.look(SETTLED_S)] == [7.0]
    assert script.look(3 * SETTLED_S) == []
    assert script.there == ["resnet50-7.pt", "resnet50-8.pt"]  # it may still be completed


def test_a_file_that_grows_counts_when_it_is_whole(script: Script) -> None:
    raw = archive()
    for cut in (2000, 5000, len(raw) - 10):
        script.put("resnet50-8.pt", raw[:cut])
        assert script.look(SETTLED_S) == script.look(SETTLED_S) == []
    script.put("resnet50-8.pt", raw)
    assert script.look(1.0) == []
    assert [one.units_done for one in script.look(SETTLED_S)] == [8.0]


def test_once_the_instance_is_gone_whole_archives_count_and_torn_files_are_set_aside(script: Script) -> None:
    script.put("resnet50-7.pt", archive())
    script.put("resnet50-8.pt", archive()[:4000])
    script.put("resnet50-9.pt", b"")
    script.phase("queued", 2, 1.0)
    saved, *warned = script.look()
    assert isinstance(saved, SavedCheckpoint)
    assert saved.units_done == 7.0
    assert script.there == ["resnet50-7.pt"]
    assert script.aside == ["resnet50-8.pt", "resnet50-9.pt"]
    assert ["resnet50-9.pt (0 bytes)" in warned[0].message, "resnet50-8.pt (4000 bytes)" in warned[1].message] == [
        True
    ] * 2
    assert script.look(60.0) == []


@pytest.mark.parametrize(("phase", "incarnation"), [("booting", 2), ("training", 2), ("queued", 1), ("stopping", 1)])
def test_nothing_is_moved_while_an_instance_may_read_or_write_it(script: Script, phase: str, incarnation: int) -> None:
    script.put("resnet50-8.pt", archive()[:4000])
    script.phase(phase, incarnation, 1.0)
    assert script.look() == script.look(SETTLED_S) == []
    assert script.there == ["resnet50-8.pt"]


def test_a_probe_in_the_queue_moves_nothing_of_the_attempt_that_trains(still: Emulation) -> None:
    script = Script(still, Role.PROBE)
    script.put("resnet50-8.pt", archive()[:4000])
    script.phase("queued", 2, 1.0)
    assert script.look() == []
    assert script.there == ["resnet50-8.pt"]


def test_what_came_after_the_instance_was_gone_is_somebody_elses(script: Script) -> None:
    script.phase("queued", 2, 1.0)
    assert script.look(60.0) == []
    script.put("resnet50-8.pt", archive()[:4000])
    assert script.look(60.0) == []
    assert script.there == ["resnet50-8.pt"]


def test_a_file_that_is_no_archive_counts_if_the_program_went_on_long_enough_and_else_is_set_aside(
    script: Script,
) -> None:
    script.put("resnet50-7.pt", b"legacy pickle")
    assert script.look() == []
    script.put("resnet50-8.pt", b"half a legacy pick")
    assert script.look(SETTLED_S - 1.0) == []
    script.phase("queued", 2, 1.0)
    saved, warned = script.look(10.0)
    assert (saved.units_done, script.there, script.aside) == (7.0, ["resnet50-7.pt"], ["resnet50-8.pt"])
    assert isinstance(warned, WarningSeen)


def test_half_a_file_does_not_become_whole_by_lying_there_while_the_next_incarnation_trains(script: Script) -> None:
    script.put("resnet50-8.pt", b"half a legacy pick")
    assert script.look() == []
    script.phase("queued", 2, 1.0)
    script.phase("training", 2, 10.0)
    assert script.look(SETTLED_S) == script.look(SETTLED_S) == []
    script.put("resnet50-8.pt", b"written anew, whole")
    script.look(1.0)
    assert [one.units_done for one in script.look(SETTLED_S)] == [8.0]


def test_a_controller_that_comes_anew_judges_by_the_buckets_own_clock(script: Script) -> None:
    script.put("resnet50-8.pt", b"legacy pickle")
    script.again()
    assert script.look(60.0) == []  # written within the last seconds, says the bucket
    assert [one.units_done for one in script.look(SETTLED_S)] == [8.0]


@pytest.mark.parametrize(
    ("kind", "there", "news"),
    [
        (EndKind.FAILED, ["resnet50-7.pt"], ["checkpoint", "warning"]),
        (EndKind.STOPPED, ["resnet50-7.pt"], ["checkpoint", "warning"]),
        (EndKind.TAKEN, ["resnet50-7.pt"], ["checkpoint", "warning"]),
        (EndKind.SUCCEEDED, ["resnet50-7.pt", "resnet50-8.pt"], ["checkpoint"]),
    ],
)
def test_at_the_end_torn_files_are_set_aside_for_the_next_attempt_unless_there_is_none(
    script: Script, kind: EndKind, there: list[str], news: list[str]
) -> None:
    script.put("resnet50-7.pt", archive())
    script.put("resnet50-8.pt", archive()[:4000])
    assert script.end(kind) == news
    assert script.there == there


class Denied(Store):
    """A bucket in which nothing may be deleted."""

    def set_aside(self, uri: str, etag: str, target: str) -> bool:
        raise Rejected(Trouble.DENIED, "AccessDenied", "delete_object: these credentials may not do that")


def test_a_torn_file_that_may_not_be_moved_is_said_once_with_the_remedy(script: Script) -> None:
    script.put("resnet50-8.pt", archive()[:4000])
    script.phase("queued", 2, 1.0)
    script.watch.store = Denied(Aws(), REGION)
    (warned,) = script.look()
    assert "may not do that. Remove it from the bucket" in warned.message
    assert script.look(60.0) == []


def test_an_object_that_has_changed_is_neither_read_on_nor_moved(script: Script) -> None:
    script.put("resnet50-8.pt", b"0123456789")
    store, uri = script.watch.store, f"s3://{BUCKET}/ck/{script.run_id}/resnet50-8.pt"
    (one,) = store.listing(script.watch.uri or "").values()
    assert (store.part(uri, one.etag, 1, 3), store.part(uri, one.etag, 8, 5)) == (b"123", b"89")
    assert store.part(uri, one.etag, 5000, 3) is store.part(uri, "another", 1, 3) is None
    assert store.part(f"{uri}.gone", one.etag, 1, 3) is None
    assert store.set_aside(uri, "another", f"s3://{BUCKET}/ck/{script.run_id}-quarantine/x") is False
    assert script.there == ["resnet50-8.pt"]
