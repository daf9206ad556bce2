"""Buckets, data and source, on a real S3 server."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from nightspot.backends.aws.bucketcheck import buckets, channels, source
from nightspot.backends.aws.doctor import findings
from nightspot.night.ports import Finding, Kind
from tests.backends.aws.answers import BUCKET, REGION, Answers, job, pool, request
from tests.backends.aws.conftest import TORN


def found(clients: Answers, look: Any, *pools: Any, hours: float = 2.0) -> list[Finding]:
    return findings(job(*pools, hours=hours), clients, looks=(("it", look),))


def wrong(clients: Answers, look: Any, *pools: Any, hours: float = 2.0) -> list[Finding]:
    return [one for one in found(clients, look, *pools, hours=hours) if one.kind is not Kind.FINE]


def rules(clients: Answers, *more: dict[str, Any]) -> None:
    every = [
        {"Status": "Enabled", "Filter": {"Prefix": ""}, "ID": f"r{number}", **rule} for number, rule in enumerate(more)
    ]
    clients("s3", REGION).put_bucket_lifecycle_configuration(
        Bucket=BUCKET, LifecycleConfiguration={"Rules": [TORN, *every]}
    )


def test_a_good_bucket_is_fine_and_left_as_it_was(account: Answers) -> None:
    assert wrong(account, buckets) == []
    keys = [one["Key"] for one in account("s3", REGION).list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert keys == ["code/sourcedir.tar.gz", "data/part-0"]
    (put,) = [params for _, name, params in account.calls if name == "PutObject"]
    assert put["Key"].startswith("nightspot/")


def test_a_bucket_that_is_missing_is_fatal(account: Answers) -> None:
    (only,) = wrong(account, buckets, pool(checkpoints="s3://no-such-bucket/ck", output=f"s3://{BUCKET}/models"))
    assert only.fatal
    assert only.what == "there is no bucket no-such-bucket"


@pytest.mark.parametrize(("given", "said"), [("", "no place"), ("/opt/here", "'/opt/here' is no s3:// address")])
def test_checkpoints_without_a_bucket_are_fatal(account: Answers, given: str, said: str) -> None:
    (only,) = wrong(account, buckets, pool(checkpoints=given))
    assert only.fatal
    assert said in only.what


def test_a_bucket_in_another_region_is_fatal(account: Answers) -> None:
    where = {"LocationConstraint": "eu-west-1"}
    account("s3", "eu-west-1").create_bucket(Bucket="elsewhere", CreateBucketConfiguration=where)
    (only,) = wrong(account, buckets, pool(checkpoints="s3://elsewhere/ck", output=f"s3://{BUCKET}/models"))
    assert only.fatal
    assert "lies in eu-west-1, and pool spot trains in us-east-1" in only.what


def test_a_bucket_that_may_not_be_listed_is_fatal(account: Answers) -> None:
    account.by_operation["ListObjectsV2"] = "AccessDenied"
    assert [one.fatal for one in wrong(account, buckets)] == [True, True]


def test_a_bucket_that_may_not_be_written_is_fatal_where_our_wrapper_must_go_there(account: Answers) -> None:
    account.by_operation["PutObject"] = "AccessDenied"
    (with_,) = wrong(account, buckets)
    (without,) = wrong(account, buckets, pool(wrapper=False))
    assert (with_.fatal, without.fatal) == (True, False)
    assert "may not write under s3://nights/nightspot" in with_.what


def test_what_cannot_be_deleted_again_is_named(account: Answers) -> None:
    account.by_operation["DeleteObject"] = "AccessDenied"
    (only,) = wrong(account, buckets)
    assert not only.fatal
    assert "s3://nights/nightspot/.nightspot-doctor-" in only.remedy


def test_a_rule_that_deletes_checkpoints_within_the_work_is_fatal_and_a_later_one_is_not(account: Answers) -> None:
    rules(account, {"Expiration": {"Days": 1}})
    assert wrong(account, buckets, hours=4) == []
    (only,) = wrong(account, buckets, hours=30)
    assert only.fatal
    assert "'r0' of nights takes checkpoints away" in only.what


@pytest.mark.parametrize(
    "rule",
    [
        {"Expiration": {"Date": datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)}},
        {"Transitions": [{"Days": 0, "StorageClass": "GLACIER"}]},
        {"Expiration": {"Days": 1}, "Filter": {"Prefix": "nightspot/rec"}},
    ],
)
def test_rules_by_date_to_the_cold_and_for_a_part_are_found_too(account: Answers, rule: dict[str, Any]) -> None:
    rules(account, rule)
    assert [one.fatal for one in wrong(account, buckets, hours=30)] == [True]


@pytest.mark.parametrize(
    "rule",
    [
        {"Expiration": {"Days": 1}, "Status": "Disabled"},
        {"Expiration": {"Days": 1}, "Filter": {"Prefix": "other/"}},
        {"Expiration": {"Days": 1}, "Filter": {"Tag": {"Key": "scratch", "Value": "yes"}}},
        {"Expiration": {"Date": datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(30)}},
        {"Transitions": [{"Days": 0, "StorageClass": "STANDARD_IA"}]},
    ],
)  # fmt: skip
def test_rules_that_do_not_meet_checkpoints_are_no_alarm(account: Answers, rule: dict[str, Any]) -> None:
    rules(account, rule)
    assert wrong(account, buckets, hours=30) == []


def test_torn_uploads_without_a_rule_are_warned_of_where_they_cost_something(far: Answers, account: Answers) -> None:
    far.by_operation |= {"GetBucketLocation": {}, "GetBucketLifecycleConfiguration": {}}
    (only,) = [one for one in wrong(far, buckets) if "torn" in one.what]
    assert not only.fatal
    assert "AbortIncompleteMultipartUpload" in only.remedy
    account("s3", REGION).delete_bucket_lifecycle(Bucket=BUCKET)
    assert wrong(account, buckets) == [], "a bucket of this machine"


def test_a_bucket_with_a_key_of_its_own_is_said(account: Answers) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "our-key"}}
    account("s3", REGION).put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
    (only,) = wrong(account, buckets)
    assert only.kind is Kind.UNCHECKED
    assert "our-key" in only.what
    assert "kms:GenerateDataKey" in only.remedy


@pytest.mark.parametrize("operation", ["GetBucketLocation", "GetBucketLifecycleConfiguration", "GetBucketEncryption"])
def test_what_may_not_be_looked_at_is_said_and_hides_nothing_else(account: Answers, operation: str) -> None:
    account.by_operation[operation] = "AccessDenied"
    assert {one.kind for one in wrong(account, buckets)} == {Kind.UNCHECKED}
    assert any("can be written to" in one.what for one in found(account, buckets))


def test_data_that_is_not_there_is_fatal(account: Answers) -> None:
    assert [one.kind for one in found(account, channels)] == [Kind.FINE]
    account("s3", REGION).delete_object(Bucket=BUCKET, Key="data/part-0")
    (only,) = found(account, channels)
    assert only.fatal
    assert "channel 'train': nothing is under s3://nights/data" in only.what
    assert '[emulator] in the job file, data = { train = "data/train" }' in only.remedy


def test_data_that_is_not_at_aws_is_to_be_put_there(far: Answers) -> None:
    far.by_operation["ListObjectsV2"] = {"KeyCount": 0}
    (only,) = found(far, channels)
    assert only.fatal
    assert only.remedy == "Put the data there, or correct InputDataConfig."


def test_manifests_are_looked_at_as_objects_and_file_systems_not_at_all(account: Answers) -> None:
    manifest = {"S3DataType": "ManifestFile", "S3Uri": f"s3://{BUCKET}/data/part"}
    inputs = [
        {"ChannelName": "a", "DataSource": {"S3DataSource": manifest}},
        {"ChannelName": "b", "DataSource": {"FileSystemDataSource": {"FileSystemId": "fs-1"}}},
    ]
    one, other = found(account, channels, pool(template=request(InputDataConfig=inputs)))
    assert one.fatal
    assert other.kind is Kind.UNCHECKED


def test_source_that_is_gone_is_fatal(account: Answers) -> None:
    assert [one.kind for one in found(account, source)] == [Kind.FINE]
    account("s3", REGION).delete_object(Bucket=BUCKET, Key="code/sourcedir.tar.gz")
    (only,) = found(account, source)
    assert only.fatal
    assert "s3://nights/code/sourcedir.tar.gz" in only.what


def test_a_wrapper_that_has_nothing_to_travel_with_is_fatal_and_without_it_nothing_is_needed(account: Answers) -> None:
    bare = request(HyperParameters={"epochs": "3"})
    (only,) = found(account, source, pool(template=bare))
    assert only.fatal
    assert "sagemaker_submit_directory" in only.remedy
    assert found(account, source, pool(template=bare, wrapper=False)) == []
