"""What a bucket shows: which checkpoints are durable, how far it is, and that nothing arrives any more. By a real S3 API."""

from __future__ import annotations

import dataclasses
import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping

import pytest

from nightspot.backends.aws.calls import Aws
from nightspot.backends.aws.checkpoints import DAMAGED_S, checked
from nightspot.backends.aws.notes import Line
from nightspot.backends.aws.ownfiles import SETTLED_S
from nightspot.backends.aws.said import new_stands, news_of
from nightspot.backends.aws.standing import Stand
from nightspot.backends.aws.store import Store
from nightspot.backends.aws.watch import SILENT_AFTER_LEAD, SILENT_INTERVALS, SILENT_S, Watch
from nightspot.backends.aws.wrapped import NOTHING, Progress, progress_of
from nightspot.checkpoint.manifest import File, Head, Manifest
from nightspot.errors import Unsure
from nightspot.model.attempt import Phase, Role
from nightspot.model.capacity import Market
from nightspot.night.ports import SavedCheckpoint, WarningSeen
from tests.backends.emulated import BUCKET, REGION, Emulation
from tests.backends.specs import job, pool, spec

INTERVAL_S = 600.0


def manifest(name: str, units: float, **sizes: int) -> Manifest:
    files = tuple(File(f"{file}.bin", size, "0" * 32) for file, size in sizes.items())
    return Manifest(name, Head(units, 1, 1, None, {}), "xxh3_128", files)


@dataclass
class Bucket:
    """One Run's part of a bucket, watched by one Attempt."""

    emulation: Emulation
    options: Mapping[str, Any] = field(default_factory=lambda: {"progress": "manifests"})
    pattern: str | None = None
    units_start: float = 0.0
    now_utc: float = 1000.0
    market: Market = Market.SPOT
    role: Role = Role.TRAIN
    lines: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.run_id = f"night-{uuid.uuid4().hex[:8]}"
        asked = pool(market=self.market, options=self.options)
        of = job(asked, interval_s=INTERVAL_S, pattern=self.pattern, units=50.0)
        told = spec(asked, of, run_id=self.run_id, units_start=self.units_start)
        self.spec = dataclasses.replace(told, role=self.role)
        self.watch = Watch(self.spec, Store(Aws(), REGION))
        self.lines.append({"kind": "phase", "phase": "training", "incarnation": 1, "units_done": 0.0, "at_utc": 1000.0})

    def put(self, name: str, content: bytes | str = b"") -> None:
        self.emulation.put(f"ck/{self.run_id}/{name}", content.encode() if isinstance(content, str) else content)

    def checkpoint(self, number: int, units: float, *, missing: str = "", short: str = "", folder: str = "") -> str:
        name = f"step-{number:09d}"
        made = manifest(name, units, model=30, state=10)
        for file in made.files:
            if file.name != missing:
                self.put(f"{folder}{name}/{file.name}", b"x" * (file.size_bytes - (file.name == short)))
        self.put(f"{folder}{name}/MANIFEST.json", made.to_bytes())
        return name

    def look(self, after_s: float = 0.0) -> list[Any]:
        self.now_utc += after_s
        self.watch._next_s = self.watch._listen_s = 0.0
        self.watch.listen(last=False)
        new = self.watch.look(self.lines, self.now_utc, last=False)
        self.lines += new
        return [news_of(line) for line in new]


@pytest.fixture
def bucket(still: Emulation) -> Bucket:
    return Bucket(still)


def test_a_checkpoint_is_durable_once_its_manifest_and_every_file_are_there(bucket: Bucket) -> None:
    assert bucket.look() == []
    name = bucket.checkpoint(1, 5.0)
    digest = manifest(name, 5.0, model=30, state=10).digest
    assert bucket.look(60.0) == [SavedCheckpoint(1060.0, 5.0, name, digest)]
    assert bucket.look(60.0) == []


@pytest.mark.parametrize("torn", [{"missing": "state.bin"}, {"short": "model.bin"}])
def test_what_is_still_on_its_way_is_neither_durable_nor_damaged(bucket: Bucket, torn: dict[str, str]) -> None:
    bucket.checkpoint(1, 5.0)
    bucket.look()
    bucket.checkpoint(2, 10.0, **torn)
    assert bucket.look(60.0) == []
    bucket.checkpoint(2, 10.0)
    (saved,) = bucket.look(60.0)
    assert saved.units_done == 10.0
    assert bucket.look(DAMAGED_S) == []


def test_a_damaged_one_is_passed_over_with_one_warning(bucket: Bucket) -> None:
    bucket.checkpoint(2, 10.0)
    bucket.put("step-000000002/MANIFEST.json", b'{"format": 1')
    bucket.checkpoint(1, 5.0)
    (saved,) = bucket.look()
    assert saved.units_done == 5.0
    (warned,) = bucket.look(DAMAGED_S)
    assert isinstance(warned, WarningSeen)
    assert "step-000000002" in warned.message
    assert bucket.look(DAMAGED_S) == []


def test_another_controller_does_not_warn_of_it_again(bucket: Bucket) -> None:
    bucket.put("step-000000002/MANIFEST.json", b"nonsense")
    bucket.look()
    assert len(bucket.look(DAMAGED_S)) == 1
    bucket.watch = Watch(bucket.spec, bucket.watch.store)
    assert bucket.look() == bucket.look(DAMAGED_S) == []


def test_a_manifest_of_another_name_or_with_a_changed_byte_is_none(bucket: Bucket) -> None:
    raw = manifest("step-000000003", 5.0).to_bytes()
    assert checked(raw, "step-000000003").head.units_done == 5.0
    bucket.put("step-000000004/MANIFEST.json", raw)
    bucket.put("step-000000003/MANIFEST.json", raw.replace(b'"units_done":5.0', b'"units_done":6.0'))
    assert bucket.look() == []


def test_a_predecessors_checkpoints_are_no_news(still: Emulation) -> None:
    bucket = Bucket(still, units_start=5.0)
    bucket.checkpoint(1, 5.0)
    assert bucket.look() == []
    bucket.checkpoint(2, 6.0)
    assert [one.units_done for one in bucket.look()] == [6.0]


def test_uploads_in_progress_and_strange_files_are_ignored(bucket: Bucket) -> None:
    bucket.put("step-000000009/MANIFEST.json.sagemaker-uploading", b"half")
    bucket.put("step-000000009.tmp-1/MANIFEST.json", b"half")
    bucket.put("notes.txt", b"hello")
    bucket.checkpoint(1, 5.0, folder="below/")
    assert [one.units_done for one in bucket.look()] == [5.0]


@pytest.fixture
def files(still: Emulation) -> Bucket:
    made = Bucket(still, options={"progress": "files"}, pattern="resnet50-*.pt")
    assert made.look() == []  # what comes from now on, this Attempt has written
    return made


def test_a_file_counts_once_it_has_not_changed_for_longer_than_a_sync(files: Bucket) -> None:
    files.put("resnet50-7.pt", b"half")
    assert files.look() == files.look(SETTLED_S - 1.0) == []
    files.put("resnet50-7.pt", b"half and half")
    assert files.look(1.0) == files.look(SETTLED_S - 1.0) == []
    (saved,) = files.look(1.0)
    assert (saved.units_done, saved.name, saved.verified) == (7.0, "resnet50-7.pt", False)


def test_a_newer_file_that_is_still_coming_leaves_the_one_before(files: Bucket) -> None:
    files.put("resnet50-7.pt", b"whole")
    files.look()
    files.put("resnet50-8.pt", b"ha")
    assert [one.units_done for one in files.look(SETTLED_S)] == [7.0]


def test_a_mark_of_uploading_holds_a_file_back_until_it_is_one_that_was_left_behind(files: Bucket) -> None:
    files.put("resnet50-7.pt", b"whole")
    files.look()
    files.put("resnet50-7.pt.sagemaker-uploading", b"who")
    assert files.look(SETTLED_S) == []
    assert [one.units_done for one in files.look(SETTLED_S)] == [7.0]


def test_numbers_that_count_something_else_and_empty_files_are_no_checkpoints(files: Bucket) -> None:
    for name in ("resnet50-9999.pt", "best.pt", "resnet50-.pt"):
        files.put(name, b"whole")
    files.put("resnet50-9.pt", b"")
    assert files.look() == files.look(SETTLED_S) == []


LONG_S = SILENT_INTERVALS * INTERVAL_S + SILENT_S


def test_silence_while_it_trains_is_said_once_with_what_is_at_stake(bucket: Bucket) -> None:
    assert bucket.look(LONG_S - 1.0) == []
    (warned,) = bucket.look(1.0)
    assert "nothing new" in warned.message
    assert "25 min" in warned.message
    assert bucket.look(LONG_S) == []


def test_silence_that_begins_again_is_said_again(bucket: Bucket) -> None:
    bucket.look(LONG_S)
    bucket.checkpoint(1, 5.0)
    assert [type(one) for one in bucket.look()] == [SavedCheckpoint]
    assert bucket.look(LONG_S - 1.0) == []
    assert [type(one) for one in bucket.look(1.0)] == [WarningSeen]


def test_silence_in_the_queue_is_none(bucket: Bucket) -> None:
    bucket.lines.append({"kind": "phase", "phase": "queued", "incarnation": 2, "units_done": 0.0, "at_utc": 1000.0})
    assert bucket.look(LONG_S) == []


def test_a_bucket_that_may_not_be_seen_is_said_once(bucket: Bucket) -> None:
    bucket.watch.spec = spec(pool(options={"progress": "manifests", "checkpoints": "s3://no-such-bucket/ck"}))
    (warned,) = bucket.look()
    assert "cannot be seen" in warned.message
    assert bucket.look(60.0) == []


def test_a_bucket_that_does_not_answer_says_nothing_but_at_the_end(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    bucket.watch = Watch(bucket.spec, Store(Aws(), REGION))
    assert bucket.look() == []
    with pytest.raises(Unsure):
        bucket.watch.look(bucket.lines, bucket.now_utc, last=True)


def test_looks_keep_their_pace(bucket: Bucket) -> None:
    bucket.look()
    bucket.checkpoint(1, 5.0)
    assert bucket.watch.look(bucket.lines, bucket.now_utc, last=False) == []
    assert len(bucket.watch.look(bucket.lines, bucket.now_utc, last=True)) == 1


def test_what_the_wrapper_tells_is_heard(still: Emulation) -> None:
    bucket = Bucket(still, options={"progress": "manifests", "wrapper": True})
    said = {"units_done": 12.5, "incarnation": "a", "warnings": [{"number": 1, "message": "the disk is full"}]}
    key = (bucket.watch.control or "").removeprefix(f"s3://{BUCKET}/")
    still.put(f"{key}progress.json", json.dumps(said).encode())
    (warned,) = bucket.look()
    assert (warned.message, bucket.watch.progress.units_done) == ("the disk is full", 12.5)
    assert bucket.look(60.0) == []


def test_the_wrappers_last_word_is_read_whole_and_nonsense_is_not() -> None:
    done = {"units_done": 3.0, "metrics": {"loss": 0.5, "name": "x"}, "facts": {"a": 1}}
    found = progress_of(
        json.dumps({"units_done": 3.0, "done": done, "exit_code": 78, "notice": {"reason": "stop"}}).encode()
    )
    assert found is not None
    assert (found.done, found.noticed, found.exit_code) == (True, True, 78)
    assert (dict(found.metrics), dict(found.facts)) == ({"loss": 0.5}, {"a": "1"})
    assert progress_of(b"[]") is progress_of(b'{"un') is None
    odd = {"units_done": -1, "done": None, "warnings": [3], "exit_code": True, "metrics": []}
    assert progress_of(json.dumps(odd).encode()) == NOTHING


def test_training_begins_when_the_program_says_so_and_not_when_its_container_runs(still: Emulation) -> None:
    bucket = Bucket(still, options={"progress": "manifests", "wrapper": True})
    bucket.lines.clear()
    runs = [Stand(Phase.BOOTING, 1, 900.0), Stand(Phase.TRAINING, 1, 1000.0)]
    assert bucket.watch.stands([], runs, 1060.0) == runs[:1]
    bucket.watch.progress = Progress("first", 5.0, trains=True)
    begun = [*runs[:1], Stand(Phase.TRAINING, 1, 1060.0, 5.0)]
    assert bucket.watch.stands([], runs, 1060.0) == begun
    lines = new_stands([], begun, 4.0, 1060.0, "first")
    assert [(line["at_utc"], line["units_done"]) for line in lines] == [(900.0, 4.0), (1060.0, 5.0)]
    assert new_stands(lines, bucket.watch.stands(lines, runs, 1120.0), 4.0, 1120.0) == []


def test_what_the_wrapper_before_said_does_not_count_for_the_next_incarnation(still: Emulation) -> None:
    bucket = Bucket(still, options={"progress": "manifests", "wrapper": True})
    bucket.watch.progress = Progress("first", 5.0, trains=True)
    lines = new_stands([], [Stand(Phase.TRAINING, 1, 900.0), Stand(Phase.QUEUED, 2, 950.0)], 0.0, 1000.0, "first")
    runs = [Stand(Phase.QUEUED, 2, 950.0), Stand(Phase.TRAINING, 2, 1000.0)]
    assert bucket.watch.stands(lines, runs, 1060.0) == runs[:1]
    bucket.watch.progress = Progress("second", 5.0, trains=True)
    assert bucket.watch.stands(lines, runs, 1060.0)[-1].phase is Phase.TRAINING


def test_one_that_never_speaks_trains_after_most_of_its_start_up_bound(still: Emulation) -> None:
    bucket = Bucket(still, options={"progress": "manifests", "wrapper": True})
    runs = [Stand(Phase.TRAINING, 1, 1000.0)]
    bounds = bucket.spec.pool.bounds
    assert bounds is not None
    silent_utc = 1000.0 + SILENT_AFTER_LEAD * bounds.lead_s
    assert bucket.watch.stands([], runs, silent_utc - 1.0) == []
    assert bucket.watch.stands([], runs, silent_utc) == runs


def test_on_demand_silence_counts_from_the_request_so_that_what_trains_is_never_overdue(still: Emulation) -> None:
    watch = Bucket(still, options={"progress": "manifests", "wrapper": True}, market=Market.ON_DEMAND).watch
    lead_s = 300.0
    runs = [Stand(Phase.QUEUED, 1, 1000.0), Stand(Phase.BOOTING, 1, 1150.0), Stand(Phase.TRAINING, 1, 1240.0)]
    silent_utc = 1000.0 + SILENT_AFTER_LEAD * lead_s
    assert watch.stands([], runs, silent_utc - 1.0) == runs[:2]
    assert watch.stands([], runs, silent_utc) == runs
    late = [*runs[:2], Stand(Phase.TRAINING, 1, 1000.0 + lead_s)]
    assert watch.stands([], late, 1000.0 + lead_s) == late
    again = [*runs, Stand(Phase.QUEUED, 2, 5000.0), Stand(Phase.TRAINING, 2, 5100.0)]
    assert watch.stands([], again, 5100.0) == again[:-1]


@pytest.mark.parametrize("options", [{"progress": "manifests"}, {"progress": "files", "wrapper": True}])
def test_without_a_word_to_wait_for_it_trains_at_once(still: Emulation, options: dict[str, Any]) -> None:
    runs = [Stand(Phase.TRAINING, 1, 1000.0)]
    assert Bucket(still, options=options).watch.stands([], runs, 1000.0) == runs


def test_how_long_a_checkpoint_took_is_the_wrappers_word(still: Emulation) -> None:
    bucket = Bucket(still, options={"progress": "manifests", "wrapper": True})
    name = bucket.checkpoint(1, 5.0)
    bucket.watch.progress = (
        progress_of(json.dumps({"checkpoint": {"name": name, "units_done": 5.0, "save_s": 2.5}}).encode()) or NOTHING
    )
    assert [one.save_s for one in bucket.look()] == [2.5]


def test_a_listing_of_many_pages_is_read_whole(still: Emulation, tmp_path: Path) -> None:
    prefix = f"many-{uuid.uuid4().hex[:8]}"
    for number in range(3):
        still.put(f"{prefix}/{number}", b"x")
    aws = Aws()
    whole = aws.client("s3", REGION).list_objects_v2
    aws.client("s3", REGION).list_objects_v2 = lambda **given: whole(**given, MaxKeys=1)
    assert sorted(Store(aws, REGION).listing(f"s3://{BUCKET}/{prefix}")) == ["0", "1", "2"]


def test_a_probe_is_ready_once_its_wrapper_waits_and_trains_only_after_its_go(still: Emulation) -> None:
    bucket = Bucket(still, options={"progress": "manifests", "wrapper": True}, role=Role.PROBE)
    bucket.lines.clear()
    runs = [Stand(Phase.BOOTING, 1, 900.0), Stand(Phase.TRAINING, 1, 1000.0)]
    assert (
        bucket.watch.stands([], runs, 9000.0) == runs[:1]
    )  # its container runs, and nobody was heard: for as long as it takes
    bucket.watch.progress = Progress("first", waits=True)
    ready = [*runs[:1], Stand(Phase.READY, 1, 9060.0)]
    assert bucket.watch.stands([], runs, 9060.0) == ready
    lines = new_stands([], ready, 0.0, 9060.0, "first")
    stopped = [*runs, Stand(Phase.STOPPING, 1, 9070.0)]
    assert bucket.watch.stands(lines, stopped, 9080.0) == [runs[0], stopped[-1]]
    bucket.watch.gone_utc = 9100.0
    assert bucket.watch.stands(lines, runs, 9110.0) == runs[:1]
    bucket.watch.progress = Progress("first", 5.0, trains=True)
    assert bucket.watch.stands(lines, runs, 9120.0)[-1] == Stand(Phase.TRAINING, 1, 9120.0, 5.0)


def test_what_another_makes_durable_is_no_news_of_a_probe_that_waits(still: Emulation) -> None:
    bucket = Bucket(still, options={"progress": "manifests", "wrapper": True}, role=Role.PROBE)
    bucket.checkpoint(1, 5.0)
    assert bucket.look(60.0) == []
    bucket.watch.gone_utc = bucket.now_utc
    (seen,) = bucket.look(60.0)
    assert seen.units_done == 5.0


def test_a_probe_in_its_next_incarnation_is_not_ready_by_what_the_one_before_said(still: Emulation) -> None:
    bucket = Bucket(still, options={"progress": "manifests", "wrapper": True}, role=Role.PROBE)
    bucket.watch.progress = Progress("first", waits=True)
    lines = new_stands([], [Stand(Phase.READY, 1, 900.0), Stand(Phase.QUEUED, 2, 950.0)], 0.0, 1000.0, "first")
    runs = [Stand(Phase.QUEUED, 2, 950.0), Stand(Phase.TRAINING, 2, 1000.0)]
    assert bucket.watch.stands(lines, runs, 1010.0) == runs[:1]
    bucket.watch.progress = Progress("second", waits=True)
    assert bucket.watch.stands(lines, runs, 1020.0)[-1] == Stand(Phase.READY, 2, 1020.0)
