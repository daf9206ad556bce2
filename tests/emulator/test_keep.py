"""S3's objects outlive the emulator, whatever they are called and whatever is in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nightspot.emulator.errors import EmulatorError
from tests.emulator.stage import Stage, stage

AWKWARD = {
    "plain": b"1",
    "deep/er/name": b"2" * 3_000_000,
    "../../etc/passwd": b"3",
    "ünïcode and spaces/+%25?": b"4",
    "empty": b"",
}


def content(at: Stage, bucket: str) -> dict[str, bytes]:
    s3 = at.client("s3")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def test_buckets_and_objects_are_there_again(tmp_path: Path) -> None:
    rules = [{"ID": "old", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 3}}]
    with stage(tmp_path / "state") as at:
        s3 = at.client("s3")
        s3.create_bucket(Bucket="mine")
        for key, body in AWKWARD.items():
            s3.put_object(Bucket="mine", Key=key, Body=body, Metadata={"run_id": key and "r"}, ContentType="text/x")
        s3.put_bucket_lifecycle_configuration(Bucket="mine", LifecycleConfiguration={"Rules": rules})
        at.client("s3", "eu-west-1").create_bucket(
            Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
    with stage(tmp_path / "state") as again:
        s3 = again.client("s3")
        assert content(again, "mine") == AWKWARD
        head = s3.head_object(Bucket="mine", Key="plain")
        assert (head["Metadata"], head["ContentType"]) == ({"run_id": "r"}, "text/x")
        assert s3.get_bucket_location(Bucket="far")["LocationConstraint"] == "eu-west-1"
        kept = s3.get_bucket_lifecycle_configuration(Bucket="mine")["Rules"]
        assert kept[0]["Expiration"] == {"Days": 3}
        s3.delete_object(Bucket="mine", Key="plain")
        s3.put_object(Bucket="mine", Key="empty", Body=b"no more")
    with stage(tmp_path / "state") as last:
        assert content(last, "mine") == {**{k: v for k, v in AWKWARD.items() if k != "plain"}, "empty": b"no more"}
    assert {path.name for path in tmp_path.iterdir()} == {"state"}


def test_what_is_unchanged_is_not_written_again_and_what_is_gone_is_removed(tmp_path: Path) -> None:
    with stage(tmp_path) as at:
        s3, keeper = at.client("s3"), at.emulator.keeper
        s3.create_bucket(Bucket="mine")
        for key in ("a", "b"):
            s3.put_object(Bucket="mine", Key=key, Body=b"x")
        keeper.save()
        before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "s3").iterdir()}
        s3.delete_object(Bucket="mine", Key="b")
        s3.put_object(Bucket="mine", Key="c", Body=b"y")
        keeper.save()
        index = json.loads((tmp_path / "s3/index.json").read_text())
        files = {one["key"]: one["file"] for one in index["objects"]}
        after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "s3").iterdir()}
        assert set(after) == {"index.json", *files.values()}
        assert before[files["a"]] == after[files["a"]]


def test_a_state_that_could_not_be_restored_is_not_overwritten(tmp_path: Path) -> None:
    with stage(tmp_path) as at:
        at.client("s3").create_bucket(Bucket="mine")
        at.client("s3").put_object(Bucket="mine", Key="a", Body=b"x")
    index = tmp_path / "s3/index.json"
    before = index.read_bytes()
    (file,) = [path for path in (tmp_path / "s3").iterdir() if path.name != "index.json"]
    file.rename(tmp_path / "elsewhere")
    with pytest.raises(EmulatorError, match="cannot be put back"), stage(tmp_path):
        raise AssertionError("it began with half of its objects")
    assert index.read_bytes() == before
    index.write_text("[1, 2")
    with pytest.raises(EmulatorError, match="cannot be put back"), stage(tmp_path):
        raise AssertionError("it began with none of its objects")
    assert index.read_text() == "[1, 2"
