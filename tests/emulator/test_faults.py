"""Faults on request: they happen as often as they were asked for, and a client of AWS survives them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from nightspot.emulator.dice import Dice, Fate
from nightspot.emulator.settings import Faults
from tests.emulator.stage import request, stage


def once(endpoint_url: str, retries: int = 1) -> Any:
    """A client that does not try again."""
    session = boto3.session.Session("KEY", "secret", region_name="us-east-1")
    config = Config(retries={"total_max_attempts": retries, "mode": "standard"})
    return session.client("sagemaker", endpoint_url=endpoint_url, config=config)


def test_throws_come_at_their_rates_and_the_same_from_the_same_seed() -> None:
    faults = Faults(throttle=0.1, internal=0.05, lost=0.02, slow=0.05, seed=3)
    dice, same = Dice(faults), Dice(faults)
    fates = [dice.fate() for _ in range(20_000)]
    assert fates == [same.fate() for _ in range(20_000)]
    shares = {fate: count / len(fates) for fate, count in Counter(fates).items()}
    assert shares[Fate.THROTTLED] == pytest.approx(0.1, abs=0.01)
    assert shares[Fate.INTERNAL_BEFORE] + shares[Fate.INTERNAL_AFTER] == pytest.approx(0.05, abs=0.01)
    assert shares[Fate.LOST] == pytest.approx(0.02, abs=0.005)
    assert shares[Fate.SLOW] == pytest.approx(0.05, abs=0.01)


def test_throttling_is_as_aws_says_it(tmp_path: Path) -> None:
    with stage(tmp_path, faults=Faults(throttle=1.0)) as at, pytest.raises(ClientError) as caught:
        once(at.endpoint_url).list_training_jobs()
    assert caught.value.response["Error"] == {"Code": "ThrottlingException", "Message": "Rate exceeded"}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_lost_answer_is_to_a_request_that_was_carried_out(tmp_path: Path) -> None:
    with stage(tmp_path, faults=Faults(lost=1.0)) as at:
        with pytest.raises(ConnectionClosedError):
            once(at.endpoint_url).create_training_job(**request("lost"))
        assert [record.name for record in at.emulator.world.book.jobs()] == ["lost"]


def test_an_internal_error_does_not_say_whether_the_request_was_carried_out(tmp_path: Path) -> None:
    with stage(tmp_path, faults=Faults(internal=1.0, seed=1)) as at:
        for number in range(12):
            with pytest.raises(ClientError) as caught:
                once(at.endpoint_url).create_training_job(**request(f"job-{number}"))
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
        assert 0 < len(at.emulator.world.book.jobs()) < 12


def test_a_client_that_tries_again_gets_through(tmp_path: Path) -> None:
    with stage(tmp_path, faults=Faults(throttle=0.2, internal=0.1, lost=0.1, seed=5)) as at:
        api = once(at.endpoint_url, retries=10)
        for number in range(5):
            try:
                api.create_training_job(**request(f"job-{number}", hyper={"run_real_s": "0"}))
            except ClientError as error:
                assert error.response["Error"]["Code"] == "ResourceInUse"  # the first try was carried out
        assert len(api.list_training_jobs(MaxResults=50)["TrainingJobSummaries"]) == 5


def test_the_buckets_know_no_faults(tmp_path: Path) -> None:
    with stage(tmp_path, faults=Faults(throttle=1.0)) as at:
        at.client("s3").create_bucket(Bucket="fine")
