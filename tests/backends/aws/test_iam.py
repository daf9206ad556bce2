"""The policy allows what the backend and the doctor call, and no more: above all, no training of another job can be stopped."""

from __future__ import annotations

import ast
import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Iterator, Mapping

import boto3
import pytest
from botocore import xform_name

import nightspot.backends.aws as aws_parts
from nightspot.backends.aws.doctor import findings
from nightspot.backends.aws.iam import policy
from nightspot.errors import JobFileError
from nightspot.model.capacity import Market, Pool
from nightspot.model.change import changed
from tests.backends.aws.answers import ACCOUNT, BUCKET, REGION, ROLE, Answers, job, pool, quotas_of, request
from tests.backends.aws.test_quotas import running, training

TRAINING = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/"
ACTING = {
    "CreateTrainingJob",
    "StopTrainingJob",
    "AddTags",
    "PassRole",
    "PutObject",
    "DeleteObject",
    "AbortMultipartUpload",
}
SERVICES = ("sagemaker", "s3", "sts", "iam", "ecr", "logs", "service-quotas", "pricing")
PREFIXES = {"service-quotas": "servicequotas"}
# Where IAM's name of the action is not the operation's.
RENAMED = {
    "ListObjectsV2": ("s3:ListBucket",),
    "HeadObject": ("s3:GetObject",),
    "GetBucketLifecycleConfiguration": ("s3:GetLifecycleConfiguration",),
    "GetBucketEncryption": ("s3:GetEncryptionConfiguration",),
}
# boto3's own ways of moving files.
TRANSFERS = {
    "upload_fileobj": ("s3:PutObject",),
    "upload_file": ("s3:PutObject",),
    "download_fileobj": ("s3:GetObject",),
    "download_file": ("s3:GetObject",),
    "copy": ("s3:GetObject", "s3:PutObject"),
}
ROOM = Path(aws_parts.__file__).parent


def allowed(document: Mapping[str, Any], action: str, resource: str, **context: str) -> bool:
    """As IAM would say: some statement has the action, the resource, and a condition that holds."""
    return any(
        action in one["Action"]
        and any(fnmatchcase(resource, pattern) for pattern in one["Resource"])
        and _holds(one.get("Condition", {}), context)
        for one in document["Statement"]
    )


def _holds(condition: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    for operator, tests in condition.items():
        for key, wanted in tests.items():
            patterns = [wanted] if isinstance(wanted, str) else wanted
            value = context.get(key.partition(":")[2])
            if value is None and operator.endswith("IfExists"):
                continue
            if value is None or not any(fnmatchcase(value, pattern) for pattern in patterns):
                return False
    return True


def written() -> Iterator[str]:
    """Every IAM action that the backend's own code calls for, read from its source."""
    operations: dict[str, tuple[str, str]] = {}
    for service in SERVICES:
        model = boto3.client(
            service, region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b"
        ).meta.service_model
        operations |= {xform_name(name): (service, name) for name in model.operation_names}
    files = [*ROOM.glob("*.py"), *ROOM.parent.glob("sagemaker.py")]
    for node in [node for file in files for node in ast.walk(ast.parse(file.read_text()))]:
        name = node.attr if isinstance(node, ast.Attribute) else node.value if isinstance(node, ast.Constant) else None
        if isinstance(name, str) and name in operations:
            service, operation = operations[name]
            yield from RENAMED.get(operation, (f"{PREFIXES.get(service, service)}:{operation}",))
        elif isinstance(node, ast.Attribute) and node.attr in TRANSFERS:
            yield from TRANSFERS[node.attr]


def actions(document: Mapping[str, Any]) -> set[str]:
    return {action for one in document["Statement"] for action in one["Action"]}


def test_every_call_in_the_backend_s_source_is_allowed() -> None:
    found = set(written())
    assert {"sagemaker:DescribeTrainingJob", "s3:PutObject", "servicequotas:ListServiceQuotas"} <= found
    assert found - actions(policy(job(), "job.toml")) == set()


def test_nothing_is_allowed_for_show() -> None:
    """Beside what the source calls: what AWS itself asks for when a training is created, and the logs."""
    implied = {"sagemaker:AddTags", "iam:PassRole", "s3:AbortMultipartUpload"}
    logs = {"logs:DescribeLogStreams", "logs:FilterLogEvents", "logs:GetLogEvents"}
    acting = {"sagemaker:CreateTrainingJob", "sagemaker:StopTrainingJob", "sagemaker:ListTags"}
    assert actions(policy(job(), "job.toml")) - set(written()) - implied - logs - acting == set()


@pytest.mark.parametrize("read_only", [False, True])
def test_every_call_that_the_doctor_makes_is_allowed_on_what_it_is_made_on(
    account: Answers, home: Path, read_only: bool
) -> None:
    account.by_operation |= (
        running(training(spot=True)) if read_only else {"ListTrainingJobs": {"TrainingJobSummaries": []}}
    )
    account.by_operation |= {"ListServiceQuotas": quotas_of(spot=1), "BatchGetImage": "AccessDeniedException"}
    findings(job(), account, home)
    document = policy(job(), "job.toml", read_only=read_only)
    asked = [one for call in account.calls for one in needed(*call)]
    assert len({action for action, _, _ in asked}) >= 14
    writes = {"s3:PutObject", "s3:DeleteObject"} if read_only else set()
    denied = {action for action, resource, context in asked if not allowed(document, action, resource, **context)}
    assert denied == writes, "a read-only doctor says that it may not write"


def needed(service: str, operation: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """(action, resource, context) of one call."""
    names = RENAMED.get(operation, (f"{PREFIXES.get(service, service)}:{operation}",))
    context = {"prefix": params["Prefix"]} if operation == "ListObjectsV2" else {}
    for name in names:
        yield name, _resource(service, params), context


def _resource(service: str, params: Mapping[str, Any]) -> str:
    if service == "s3":
        return f"arn:aws:s3:::{params['Bucket']}" + (f"/{params['Key']}" if "Key" in params else "")
    if service == "sagemaker" and "TrainingJobName" in params:
        return f"{TRAINING}{params['TrainingJobName']}"
    if service == "iam":
        source = params.get("PolicySourceArn") or f"arn:aws:iam::{ACCOUNT}:role/{params['RoleName']}"
        return source if source == ROLE else f"arn:aws:iam::{ACCOUNT}:user/${{aws:username}}"
    if service == "ecr":
        return f"arn:aws:ecr:{REGION}:{params['registryId']}:repository/{params['repositoryName']}"
    return "*"


def test_no_training_of_another_job_can_be_stopped_or_seen() -> None:
    document = policy(job(), "job.toml")
    for action in ("StopTrainingJob", "CreateTrainingJob", "DescribeTrainingJob", "AddTags"):
        assert allowed(document, f"sagemaker:{action}", f"{TRAINING}rec-20261125T0700Z-abcd1234-001")
        for foreign in ("records-1", "billing-rec-1", "rec"):
            assert not allowed(document, f"sagemaker:{action}", f"{TRAINING}{foreign}")
        assert not allowed(document, f"sagemaker:{action}", f"{TRAINING}rec-1".replace(ACCOUNT, "999999999999"))


def test_one_role_may_be_passed_and_to_sagemaker_only() -> None:
    document = policy(job(), "job.toml")
    assert allowed(document, "iam:PassRole", ROLE, PassedToService="sagemaker.amazonaws.com")
    assert not allowed(document, "iam:PassRole", ROLE)
    assert not allowed(document, "iam:PassRole", ROLE, PassedToService="ec2.amazonaws.com")
    assert not allowed(document, "iam:PassRole", f"{ROLE}2", PassedToService="sagemaker.amazonaws.com")


def test_buckets_are_open_under_the_job_s_own_prefixes_only() -> None:
    document = policy(job(), "job.toml")
    of = f"arn:aws:s3:::{BUCKET}"
    assert allowed(document, "s3:PutObject", f"{of}/nightspot/run/step-1")
    assert allowed(document, "s3:GetObject", f"{of}/models/job/output/model.tar.gz")
    assert allowed(document, "s3:GetObject", f"{of}/code/sourcedir.tar.gz")
    assert allowed(document, "s3:ListBucket", of, prefix="nightspot/run/")
    for action, key in [
        ("PutObject", "models/m"),
        ("PutObject", "data/x"),
        ("DeleteObject", "code/sourcedir.tar.gz"),
        ("GetObject", "secrets"),
    ]:
        assert not allowed(document, f"s3:{action}", f"{of}/{key}")
    assert not allowed(document, "s3:ListBucket", of, prefix="")
    assert allowed(document, "s3:ListBucket", of), "else an object that is not there yet looks forbidden"
    elsewhere = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://lake/clicks"}}
    template = request(InputDataConfig=[{"ChannelName": "a", "DataSource": elsewhere}])
    document = policy(job(pool(template=template)), "job.toml")
    assert allowed(document, "s3:ListBucket", "arn:aws:s3:::lake", prefix="clicks")
    assert not allowed(document, "s3:ListBucket", "arn:aws:s3:::lake")


def test_read_only_can_change_nothing() -> None:
    names = {action.partition(":")[2] for action in actions(policy(job(), "job.toml", read_only=True))}
    assert names & ACTING == set()
    assert all(name.startswith(("Get", "List", "Describe", "BatchGet", "Filter", "Simulate")) for name in names)


def test_what_the_template_adds_is_allowed_and_named_by_its_own_arn() -> None:
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"
    output = {"S3OutputPath": f"s3://{BUCKET}/models", "KmsKeyId": key}
    manifest = {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "s3://lists/tonight.json"}}
    template = request(OutputDataConfig=output, InputDataConfig=[{"ChannelName": "a", "DataSource": manifest}])
    document = policy(job(pool(template=template)), "job.toml")
    assert allowed(document, "kms:GenerateDataKey", key)
    assert allowed(document, "s3:GetObject", "arn:aws:s3:::lists/tonight.json")
    assert not allowed(document, "s3:GetObject", "arn:aws:s3:::lists/other.json")


def test_pools_in_several_regions_and_one_without(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    document = policy(job(pool(region="eu-west-1"), pool(Market.ON_DEMAND)), "job.toml")
    assert allowed(document, "sagemaker:StopTrainingJob", f"{TRAINING}rec-1".replace(REGION, "eu-west-1"))
    assert not allowed(document, "sagemaker:StopTrainingJob", f"{TRAINING}rec-1".replace(REGION, "eu-west-2"))
    anywhere = policy(job(pool(region="")), "job.toml")
    assert allowed(anywhere, "sagemaker:StopTrainingJob", f"{TRAINING}rec-1".replace(REGION, "eu-west-2"))
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    here = policy(job(pool(region="")), "job.toml")
    assert not allowed(here, "sagemaker:StopTrainingJob", f"{TRAINING}rec-1")


def test_it_fits_into_a_managed_policy_and_every_sid_is_its_own() -> None:
    document = policy(job(), "job.toml")
    assert len(json.dumps(document, separators=(",", ":"))) < 6144
    sids = [one["Sid"] for one in document["Statement"]]
    assert len(sids) == len(set(sids))
    assert all(sid.isalnum() for sid in sids)


def test_aws_takes_it(account: Answers) -> None:
    """moto's validator of policy documents is of the same make as IAM's."""
    for read_only in (False, True):
        text = json.dumps(policy(job(), "job.toml", read_only=read_only))
        account("iam", REGION).create_policy(PolicyName=f"night{read_only}", PolicyDocument=text)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (changed(pool(), backend="local"), "no pool is on SageMaker"),
        (pool(template=request(RoleArn="x")), "ARN of the role"),
    ],
)
def test_where_there_is_nothing_to_allow_the_error_says_so(bad: Pool, said: str) -> None:
    with pytest.raises(JobFileError, match=said):
        policy(job(bad), "job.toml")
