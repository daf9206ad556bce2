"""Errors of AWS, of the network and of credentials, by a real boto3 against a server that answers as it is told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from nightspot.backends.aws import calls
from nightspot.backends.aws.calls import MISSING, Aws, Rejected, Trouble
from nightspot.backends.aws.jobs import TrainingJobs, of_run
from nightspot.backends.aws.store import Store
from nightspot.backends.registry import BackendContext
from nightspot.backends.sagemaker import SageMakerBackend
from nightspot.errors import UnknownBackendError, Unsure
from tests.backends.scripted import GOOD, Script, wrong


def stop(aws: Aws) -> Any:
    return aws.call("sagemaker", "us-east-1", "stop_training_job", TrainingJobName="a")


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (wrong("ThrottlingException"), Trouble.THROTTLED),
        (wrong("SomethingElse", 429), Trouble.THROTTLED),
        (wrong("InternalFailure", 500), Trouble.INTERNAL),
        (wrong("Whatever", 503), Trouble.INTERNAL),
        (wrong("ExpiredTokenException"), Trouble.CREDENTIALS),
        (wrong("UnrecognizedClientException"), Trouble.CREDENTIALS),
        (wrong("Odd", 302), Trouble.GARBLED),
        (None, Trouble.NETWORK),
    ],
)
def test_what_says_nothing_of_whether_it_was_done_is_unsure_each_in_its_words(
    script: Script, answer: Any, trouble: Trouble
) -> None:
    script.answers = [answer]
    with pytest.raises(Unsure, match=trouble.value):
        stop(Aws())


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (wrong("ResourceLimitExceeded"), Trouble.QUOTA),
        (wrong("ResourceInUse"), Trouble.IN_USE),
        (wrong("ValidationException"), Trouble.INVALID),
        (wrong("AccessDeniedException"), Trouble.DENIED),
        (wrong("ResourceNotFound"), Trouble.NOT_FOUND),
        (wrong("ValidationException", message="ThrottlingException: Rate exceeded, quota, capacity"), Trouble.INVALID),
    ],
)
def test_a_no_is_definite_and_told_apart_by_its_code(script: Script, answer: Any, trouble: Trouble) -> None:
    script.answers = [answer]
    with pytest.raises(Rejected, match=trouble.value) as caught:
        stop(Aws())
    assert caught.value.trouble is trouble


def test_a_request_that_botocore_itself_refuses_was_not_done(script: Script) -> None:
    with pytest.raises(Rejected) as caught:
        Aws().call("sagemaker", "us-east-1", "stop_training_job", TrainingJobName=7)
    assert (caught.value.trouble, script.asked) == (Trouble.INVALID, [])


def test_throttling_is_tried_again_and_not_without_end(script: Script) -> None:
    script.answers = [wrong("ThrottlingException"), GOOD]
    stop(Aws())
    assert len(script.asked) == 2
    script.answers = [wrong("ThrottlingException")]
    with pytest.raises(Unsure):
        stop(Aws())
    assert len(script.asked) == 2 + calls.TRIES


HEADERS = {"x-amz-request-id": "A"}


def head(script: Script, status: int, **headers: str) -> Any:
    script.answers = [(status, b"", headers)]
    return Store(Aws(), "us-east-1").head("s3://bkt/key")


def test_a_head_with_an_expired_token_has_no_code_and_is_no_answer(script: Script) -> None:
    with pytest.raises(Unsure, match=Trouble.CREDENTIALS.value):
        head(script, 400, **HEADERS)


def test_that_an_object_is_not_there_is_believed_of_aws_and_not_of_a_proxy(script: Script) -> None:
    assert head(script, 404, **HEADERS) is None
    with pytest.raises(Rejected, match=Trouble.DENIED.value):
        head(script, 403, **HEADERS)
    for status in (403, 404):
        with pytest.raises(Unsure, match=Trouble.GARBLED.value):
            head(script, status, Via="1.1 proxy")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://127.0.0.1:{port}"])
def test_without_a_connection_it_is_the_network_that_is_named(
    script: Script, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    port = script.url.rpartition(":")[2]
    monkeypatch.setenv("AWS_ENDPOINT_URL", url.format(port=port))
    with pytest.raises(Unsure, match=Trouble.NETWORK.value):
        stop(Aws())


def test_when_the_budget_is_spent_no_further_try_begins(script: Script) -> None:
    script.answers = [wrong("ThrottlingException")]
    with pytest.raises(Unsure, match=Trouble.NETWORK.value):
        stop(Aws(budget_s=-1.0))
    assert script.asked == []


def test_credentials_that_were_refreshed_are_found_by_the_same_call(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    file.write_text("[default]\naws_access_key_id = OLD\naws_secret_access_key = s\n")
    aws = Aws()
    stop(aws)
    file.write_text("[default]\naws_access_key_id = NEW\naws_secret_access_key = s\n")
    script.answers = [wrong("ExpiredTokenException"), GOOD]
    stop(aws)
    keys = [headers["Authorization"].partition("Credential=")[2].partition("/")[0] for headers in script.asked]
    assert keys == ["OLD", "OLD", "NEW"]


def test_without_credentials_nothing_is_known(script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(Unsure, match=Trouble.CREDENTIALS.value):
        stop(Aws())
    assert script.asked == []


@pytest.mark.parametrize("body", [b"", b'{"TrainingJobArn": "arn:a', b"<html>a proxy's words</html>", b"{}"])
def test_an_answer_that_makes_no_sense_is_no_answer(script: Script, body: bytes) -> None:
    script.answers = [(200, body)]
    jobs = TrainingJobs(Aws(), "us-east-1")
    with pytest.raises(Unsure):
        jobs.describe("a")
    with pytest.raises(Unsure):
        jobs.live("a")
    with pytest.raises(Unsure):
        jobs.create({"TrainingJobName": "a", "RoleArn": "r" * 20, "OutputDataConfig": {"S3OutputPath": "s3://b"}})


def test_a_listing_that_never_ends_is_unsure(script: Script) -> None:
    script.answers = [(200, {"TrainingJobSummaries": [], "NextToken": "again"})]
    with pytest.raises(Unsure, match="pages"):
        TrainingJobs(Aws(), "us-east-1").live("a")
    assert len(script.asked) == calls.PAGES_MAX


def test_describe_knows_absence_by_code_in_both_of_its_ways(script: Script) -> None:
    jobs = TrainingJobs(Aws(), "us-east-1")
    for code in ("ValidationException", "ResourceNotFound"):
        script.answers = [wrong(code)]
        assert jobs.describe("a") is None
    script.answers = [wrong("AccessDeniedException")]
    with pytest.raises(Unsure):
        jobs.describe("a")


def test_without_boto3_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(UnknownBackendError) as caught:
        SageMakerBackend(BackendContext(tmp_path, 0.0, 0.0, 0.0))
    assert str(caught.value) == MISSING


def test_only_this_machine_is_loopback(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Aws().loopback("sagemaker", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert not Aws().loopback("sagemaker", "us-east-1")
    assert not Aws().loopback("sagemaker", "no region at all")


@pytest.mark.parametrize(
    ("name", "belongs"),
    [
        ("a-20261125T0700Z-0badcafe-001", True),
        ("a-20261125T0700Z-0badcafe-1001", True),
        ("a-20261125T0700Z-2-0badcafe-001", False),
        ("a-20261125T0700Z-again-nonce-001", False),
        ("b-a-20261125T0700Z-0badcafe-001", False),
        ("a-20261125T0700Z-0badcafe", False),
        ("a-20261125T0700Z", False),
    ],
)
def test_a_name_is_of_the_run_whose_id_a_nonce_and_a_number_follow(name: str, belongs: bool) -> None:
    assert of_run(name, "a-20261125T0700Z") is belongs
