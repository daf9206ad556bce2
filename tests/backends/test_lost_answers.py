"""Answers that were lost, while AWS does not show yet what began: nothing of ours is refused, forgotten or left unstopped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from nightspot.backends.aws.abilities import LAG_S
from nightspot.backends.aws.request import RUN_TAG
from nightspot.backends.registry import BackendContext
from nightspot.backends.sagemaker import SageMakerBackend
from nightspot.errors import Unsure
from nightspot.model.capacity import Market
from nightspot.model.events import RefusalReason
from nightspot.night.ports import Handle, LaunchSpec, Refused
from tests.backends.emulated import template
from tests.backends.scripted import Script, wrong
from tests.backends.specs import NOW_UTC, RUN_ID, TOKEN, pool, spec

ABSENT: Any = wrong("ValidationException")
NONE_LISTED: Any = (200, {"TrainingJobSummaries": []})
ARN = "arn:aws:sagemaker:us-east-1:123456789012:training-job/a"
HANDLE = Handle(TOKEN, "on-demand", TOKEN)


def described(**more: Any) -> Any:
    return 200, {"TrainingJobArn": ARN, "TrainingJobStatus": "InProgress", "CreationTime": time.time(), **more}


def tags(**tags: str) -> Any:
    return 200, {"Tags": [{"Key": RUN_TAG if key == "run" else key, "Value": value} for key, value in tags.items()]}


@pytest.fixture
def home(script: Script, tmp_path: Path) -> SageMakerBackend:
    return SageMakerBackend(BackendContext(tmp_path, NOW_UTC, NOW_UTC, NOW_UTC))


def asked() -> LaunchSpec:
    return spec(pool(template(), Market.ON_DEMAND))


def test_a_stop_of_what_is_not_to_be_seen_yet_is_not_taken_for_said(script: Script, home: SageMakerBackend) -> None:
    assert home.launch(asked(), NOW_UTC) == HANDLE
    script.answers = [ABSENT]
    with pytest.raises(Unsure, match="not to be seen yet"):
        home.tell(HANDLE, "stop", NOW_UTC + 5.0)
    home.tell(HANDLE, "stop", NOW_UTC + LAG_S)
    script.answers = [wrong("ValidationException"), described(TrainingJobStatus="Stopped")]
    home.tell(HANDLE, "stop", NOW_UTC + 5.0)


@pytest.mark.parametrize("no", ["ResourceInUse", "ResourceLimitExceeded", "ValidationException"])
@pytest.mark.parametrize("lost", [None, wrong("InternalFailure", 500)])
def test_a_no_after_a_lost_answer_is_believed_only_once_a_job_would_be_seen(
    script: Script, home: SageMakerBackend, lost: Any, no: str
) -> None:
    script.answers = [lost, wrong(no), ABSENT, NONE_LISTED]
    with pytest.raises(Unsure, match="may have been launched"):
        home.launch(asked(), NOW_UTC)
    script.answers = [described(), tags(run=RUN_ID)]
    assert home.find(TOKEN) == HANDLE


def test_a_name_in_use_that_is_not_to_be_seen_may_be_ours(script: Script, home: SageMakerBackend) -> None:
    script.answers = [wrong("ResourceInUse"), ABSENT, NONE_LISTED]
    with pytest.raises(Unsure, match="may have been launched"):
        home.launch(asked(), NOW_UTC)


def test_a_no_to_the_first_try_is_a_no(script: Script, home: SageMakerBackend) -> None:
    script.answers = [wrong("ThrottlingException"), wrong("ResourceLimitExceeded"), ABSENT, NONE_LISTED]
    answer = home.launch(asked(), NOW_UTC)
    assert isinstance(answer, Refused)
    assert answer.reason is RefusalReason.QUOTA


def test_a_second_call_remembers_that_the_first_may_have_been_carried_out(
    script: Script, home: SageMakerBackend
) -> None:
    script.answers = [None]
    with pytest.raises(Unsure):
        home.launch(asked(), NOW_UTC)
    script.answers = [wrong("ResourceLimitExceeded"), ABSENT, NONE_LISTED]
    with pytest.raises(Unsure, match="may have been launched"):
        home.launch(asked(), NOW_UTC + 1.0)
    script.answers = [wrong("ResourceLimitExceeded"), ABSENT, NONE_LISTED]
    assert isinstance(home.launch(asked(), NOW_UTC + LAG_S), Refused)


def test_only_what_carries_another_runs_tag_or_lies_elsewhere_is_not_ours(
    script: Script, home: SageMakerBackend
) -> None:
    ours = {"CheckpointConfig": {"S3Uri": f"s3://bkt/ck/{RUN_ID}/"}}
    script.answers = [wrong("ResourceInUse"), described(**ours), tags(team="search")]
    assert home.launch(asked(), NOW_UTC) == HANDLE
    for seen, carries in ((described(**ours), tags(run="another")), (described(), tags(team="search"))):
        token = f"{TOKEN[:-3]}{len(script.asked):03d}"
        script.answers = [wrong("ResourceInUse"), seen, carries]
        answer = home.launch(spec(asked().pool, token=token), NOW_UTC)
        assert isinstance(answer, Refused)
        assert "not of run" in answer.message
