"""Requests are checked as AWS checks them, and refused in its words: real boto3 in front of a real HTTP server."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Iterator

import pytest
from botocore.exceptions import ClientError

from nightspot.emulator.clients import client
from tests.emulator.stage import IMAGE, Stage, request, stage


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("state")) as made:
        yield made


def refused(at: Stage, name: str, **changes: Any) -> tuple[str, str]:
    """Code and message. boto3's own look at the parameters is left out: the server's is what counts."""
    api = client("sagemaker", at.endpoint_url)
    with pytest.raises(ClientError) as caught:
        unchecked(api).create_training_job(**request(name, **changes))
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def unchecked(api: Any) -> Any:
    api._serializer._param_validator = type(
        "Any", (), {"validate": lambda self, *_: type("Fine", (), {"has_errors": lambda _: False})()}
    )()
    return api


def one_error(value: str, path: str, constraint: str) -> str:
    return f"1 validation error detected: Value {value} at '{path}' failed to satisfy constraint: {constraint}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"TrainingJobName": "under_score"},
            one_error(
                "'under_score'",
                "trainingJobName",
                "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
            ),
        ),
        (
            {"TrainingJobName": "x" * 64},
            one_error(f"'{'x' * 64}'", "trainingJobName", "Member must have length less than or equal to 63"),
        ),
        ({"RoleArn": None}, one_error("null", "roleArn", "Member must not be null")),
        (
            {"RetryStrategy": {"MaximumRetryAttempts": 31}},
            one_error("'31'", "retryStrategy.maximumRetryAttempts", "Member must have value less than or equal to 30"),
        ),
        (
            {"AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "Fast"}},
            one_error(
                "'Fast'",
                "algorithmSpecification.trainingInputMode",
                "Member must satisfy enum value set: [Pipe, File, FastFile]",
            ),
        ),
        (
            {"Environment": {"1X": "y"}},
            one_error(
                "'1X'",
                "environment.key",
                "Member must satisfy regular expression pattern: [a-zA-Z_][a-zA-Z0-9_]*",
            ),
        ),
    ],
)
def test_what_breaks_the_model_is_refused_in_aws_words(at: Stage, changes: dict[str, Any], message: str) -> None:
    assert refused(at, "never", **changes) == ("ValidationException", message)


def test_all_errors_of_a_request_are_said_at_once_with_the_place_in_lists(at: Stage) -> None:
    channels = [{"ChannelName": "a b", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix"}}}]
    code, message = refused(at, "never", InputDataConfig=channels)
    assert code == "ValidationException"
    assert message.startswith("2 validation errors detected: ")
    assert "at 'inputDataConfig.1.member.channelName'" in message
    assert "Value null at 'inputDataConfig.1.member.dataSource.s3DataSource.s3Uri'" in message


def test_a_wrong_type_is_no_matter_of_constraints(at: Stage) -> None:
    assert refused(at, "never", HyperParameters={"epochs": 3})[0] == "SerializationException"


@pytest.mark.parametrize(
    "changes",
    [
        {"spot": True, "run_s": 100, "wait_s": 99},
        {"spot": True, "StoppingCondition": {"MaxRuntimeInSeconds": 100}},
        {"StoppingCondition": {"MaxRuntimeInSeconds": 100, "MaxWaitTimeInSeconds": 200}},
        {"run_s": 28 * 86400 + 1},
        {
            "spot": True,
            "ResourceConfig": {"InstancePreferences": [{"InstanceType": "ml.g5.xlarge"}], "InstanceCount": 1},
        },
        {
            "ResourceConfig": {
                "InstancePreferences": [{"InstanceType": "ml.g5.xlarge"}],
                "InstanceType": "ml.g6.xlarge",
                "InstanceCount": 1,
            }
        },
        {"ResourceConfig": {"InstancePreferences": [{"InstanceType": "ml.g5.xlarge"}] * 2, "InstanceCount": 1}},
        {"ResourceConfig": {"InstancePreferences": [{"InstanceType": "ml.g5.xlarge"}]}},
        {"ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 1}},
        {
            "ResourceConfig": {
                "InstanceType": "ml.g5.xlarge",
                "InstanceCount": 1,
                "SelectedInstanceType": "ml.g5.xlarge",
            }
        },
        {"AlgorithmSpecification": {"TrainingInputMode": "File"}},
        {"AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "Pipe"}},
        {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]},
        {"Tags": [{"Key": "aws:mine", "Value": "1"}]},
    ],
)
def test_rules_between_fields_are_kept(at: Stage, changes: dict[str, Any]) -> None:
    assert refused(at, "never", **changes)[0] == "ValidationException"


def test_nothing_that_was_refused_exists(at: Stage) -> None:
    refused(at, "ghost", run_s=28 * 86400 + 1)
    assert missing(at, "ghost") == ("ValidationException", "Requested resource not found.")


def missing(at: Stage, name: str) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        at.job(name)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_the_recorded_request_of_the_sdk_is_taken_and_told_again(at: Stage, recorded: dict[str, Any]) -> None:
    at.client().create_training_job(**recorded)
    told = at.job(recorded["TrainingJobName"])
    for field, value in recorded.items():
        assert field == "OutputDataConfig" or told[field] == value, field
    assert told["OutputDataConfig"] == {**recorded["OutputDataConfig"], "KmsKeyId": ""}
    assert told["EnableNetworkIsolation"] is False
    assert isinstance(told["CreationTime"], datetime)


@pytest.fixture
def recorded() -> dict[str, Any]:
    """As the SageMaker SDK v2 sends it for a Spot PyTorch estimator, in its essentials."""
    return {
        **request("spotjob-2026-11-23-09-37-09-009", spot=True),
        "HyperParameters": {"epochs": "3", "sagemaker_program": '"train.py"'},
        "CheckpointConfig": {"S3Uri": "s3://bkt/ck/run1", "LocalPath": "/opt/ml/checkpoints"},
        "ProfilerConfig": {"S3OutputPath": "s3://bkt/out", "DisableProfiler": False},
        "RetryStrategy": {"MaximumRetryAttempts": 3},
        "Environment": {"FOO": "1"},
    }


def test_a_name_is_given_once_in_a_region_and_again_when_its_job_was_deleted(at: Stage) -> None:
    api = at.client()
    arn = at.create("twin", hyper={"run_real_s": "0"})
    assert arn == "arn:aws:sagemaker:us-east-1:123456789012:training-job/twin"
    with pytest.raises(api.exceptions.ResourceInUse):
        at.create("twin")
    at.client("sagemaker", "eu-west-1").create_training_job(**request("twin"))
    at.over("twin")
    api.delete_training_job(TrainingJobName="twin")
    assert missing(at, "twin")[0] == "ValidationException"
    at.create("twin")
    with pytest.raises(api.exceptions.ResourceInUse):
        api.delete_training_job(TrainingJobName="twin")


def test_tags_are_kept_overwritten_and_removed(at: Stage) -> None:
    arn = at.create("tagged", Tags=[{"Key": "owner", "Value": "me"}, {"Key": "cost", "Value": "1"}])
    api = at.client()
    api.add_tags(ResourceArn=arn, Tags=[{"Key": "cost", "Value": "2"}, {"Key": "a", "Value": ""}])
    assert api.list_tags(ResourceArn=arn)["Tags"] == [
        {"Key": "a", "Value": ""},
        {"Key": "cost", "Value": "2"},
        {"Key": "owner", "Value": "me"},
    ]
    api.delete_tags(ResourceArn=arn, TagKeys=["a", "owner"])
    assert api.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "cost", "Value": "2"}]
    many = [{"Key": f"k{n}", "Value": ""} for n in range(50)]
    with pytest.raises(api.exceptions.ResourceLimitExceeded):
        api.add_tags(ResourceArn=arn, Tags=many)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        api.list_tags(ResourceArn=arn + "x")


def test_lists_are_filtered_sorted_and_cut_into_pages(tmp_path: Path) -> None:
    with stage(tmp_path) as at:
        api = at.client("sagemaker", "eu-north-1")
        for name in ("list-b", "list-a", "list-c", "other"):
            api.create_training_job(**request(name, hyper={"run_real_s": "0"} if name == "other" else {}))
        pages = api.get_paginator("list_training_jobs").paginate(
            NameContains="list", SortBy="Name", SortOrder="Descending", MaxResults=2
        )
        assert [[one["TrainingJobName"] for one in page["TrainingJobSummaries"]] for page in pages] == [
            ["list-c", "list-b"],
            ["list-a"],
        ]
        first = api.list_training_jobs(MaxResults=1)
        assert [one["TrainingJobName"] for one in first["TrainingJobSummaries"]] == ["list-b"]
        ahead = datetime.now(timezone.utc) + timedelta(days=2)
        assert names(api, CreationTimeAfter=ahead) == names(api, LastModifiedTimeAfter=ahead) == []
        assert len(names(api, CreationTimeBefore=ahead)) == len(names(api, StatusEquals="InProgress")) + (
            len(names(api, StatusEquals="Completed"))
        )
        with pytest.raises(ClientError, match="NextToken"):
            api.list_training_jobs(NextToken="nonsense")
        assert at.client().list_training_jobs()["TrainingJobSummaries"] == []


def names(api: Any, **filters: Any) -> list[str]:
    return [one["TrainingJobName"] for one in api.list_training_jobs(**filters)["TrainingJobSummaries"]]


def test_an_operation_that_is_not_emulated_is_said_to_be(at: Stage) -> None:
    with pytest.raises(ClientError, match="does not know ListEndpoints"):
        at.client().list_endpoints()
