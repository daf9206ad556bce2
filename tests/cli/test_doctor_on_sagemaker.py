"""`nightspot doctor`, `iam` and a night's prices, through the whole of nightspot, against a real emulator of SageMaker."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Callable, Iterator

import boto3
import pytest

from nightspot.emulator.launch import launch
from nightspot.night.ports import Quote
from tests.cli.conftest import Cli
from tests.cli.nights import Checked, FakeWorlds, hours_from_now

REGION, BUCKET, ROLE = "us-east-1", "nights", "arn:aws:iam::123456789012:role/trainer"
REQUEST: dict[str, Any] = {
    "AlgorithmSpecification": {
        "TrainingImage": f"763104351884.dkr.ecr.{REGION}.amazonaws.com/pytorch-training:2.3.0-gpu-py311",
        "TrainingInputMode": "File",
    },
    "RoleArn": ROLE,
    "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
    "InputDataConfig": [
        {
            "ChannelName": "train",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/data"}},
        }
    ],
    "HyperParameters": {
        "sagemaker_submit_directory": f'"s3://{BUCKET}/code/sourcedir.tar.gz"',
        "sagemaker_program": '"train.py"',
    },
}
NIGHT = f"""
name = "rec"
[sagemaker]
template = "request.json"
region = "{REGION}"
checkpoints = "s3://{BUCKET}/nightspot"
[work]
units = 4
unit = "epoch"
each = "15min"
[deadline]
at = "12h"
[[pools]]
id = "spot"
backend = "sagemaker"
market = "spot"
instance_type = "ml.g5.xlarge"
[[pools]]
id = "od"
backend = "sagemaker"
market = "on-demand"
instance_type = "ml.m5.large"
price = 0.2
"""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its Spot quota for the first type is 0, and its only bucket, role and data are those of the night."""
    running = launch(
        tmp_path_factory.mktemp("emulator"),
        ["--quota", "ml.g5.xlarge:spot=0", "--quota", "ml.g4dn.xlarge:spot=1", "--market", "never"],
    )
    session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)
    s3 = session.client("s3", endpoint_url=running.endpoint_url)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="data/part-0", Body=b"1")
    s3.put_object(Bucket=BUCKET, Key="code/sourcedir.tar.gz", Body=b"tar")
    yield running.endpoint_url
    assert running.stop() == 0
    assert running.log.read_text() == f"ready {running.endpoint_url}\n", (
        "what the doctor asks in vain is no trouble of the emulator's"
    )


@pytest.fixture
def night(tmp_path: Path, emulator: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job file, and an environment that leads to the emulator."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {"ENDPOINT_URL": emulator, "ACCESS_KEY_ID": "testing", "SECRET_ACCESS_KEY": "testing"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    (tmp_path / "request.json").write_text(json.dumps(REQUEST))
    path = tmp_path / "job.toml"
    path.write_text(NIGHT.replace('at = "12h"', f"at = {hours_from_now(12.0)}"))
    return path


def test_a_spot_quota_of_0_comes_first_is_fatal_and_keeps_the_night_from_running(cli: Cli, night: Path) -> None:
    rows = cli.json("doctor", night)
    assert (rows[0]["mark"], rows[0]["about"]) == ("fatal", "sagemaker")
    assert "'ml.g5.xlarge for spot training job usage' in us-east-1 is 0" in rows[0]["what"]
    assert "days" in rows[0]["remedy"]
    assert [row["mark"] for row in rows].count("fatal") == 1
    assert cli("run", night) == 8
    assert "is 0, and pool spot asks for 1" in cli.err
    assert cli.json("history") == []


def test_with_another_type_nothing_is_fatal_and_everything_was_looked_at(cli: Cli, night: Path) -> None:
    assert cli("doctor", night, "--set", 'pools.0.instance_type="ml.g6.xlarge"', "--json") == 0
    rows = json.loads(cli.out)
    words = " / ".join(row["what"] for row in rows)
    for what in (
        "0 are in use: enough for pool od",
        "123456789012",
        "region",
        "can be written to",
        "clock agrees",
        "data under",
        "source",
    ):
        assert what in words
    assert "no role trainer at http://127.0.0.1" in words
    assert "what pool spot costs is not known" in words
    assert words.count("does not answer that question") == 1
    assert "makes no sense" not in words
    assert [row["what"] for row in rows if row["mark"] == "wrong"] == ["resume was never proven"]
    assert "pool od costs 0.2 USD an hour, by the job file" in words


def test_a_quota_that_others_use_up_is_warned_of(cli: Cli, night: Path, emulator: str) -> None:
    """A request that waits for capacity holds its quota, too."""
    sagemaker = boto3.Session(region_name=REGION).client("sagemaker", endpoint_url=emulator)
    spot = {
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 3600},
    }
    resources = {**REQUEST["ResourceConfig"], "InstanceType": "ml.g4dn.xlarge"}
    sagemaker.create_training_job(**{**REQUEST, **spot, "TrainingJobName": "theirs", "ResourceConfig": resources})
    assert cli("doctor", night, "--set", 'pools.0.instance_type="ml.g4dn.xlarge"') == 0
    assert "is 1, and 1 are in use" in " ".join(cli.out.split())
    sagemaker.stop_training_job(TrainingJobName="theirs")


def test_without_credentials_it_is_said_in_one_finding_and_no_traceback(
    cli: Cli, night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"AWS_{name}")
    for name in ("CONFIG_FILE", "SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(f"AWS_{name}", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert cli("doctor", night) == 8
    assert "there are no AWS credentials" in cli.out
    assert "there are no credentials" in cli.out, "each other look says why it was not made"


def test_a_run_asks_for_the_prices_it_lacks_says_them_and_bills_by_them(
    cli: Cli, night: Path, play_in: Callable[[FakeWorlds], FakeWorlds], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a simulated world, whose backend knows a price."""
    monkeypatch.setattr(Checked, "quote", lambda _self, pool, _job: Quote(0.05, f"a friend who knows {pool.id}", 0.0))
    play_in(FakeWorlds())
    assert cli("run", night) == 0
    assert "pool spot costs about 0.05 USD an hour: a friend who knows spot," in cli.out
    assert "pool od costs" not in cli.out, "the job file says that"
    (attempt,) = cli.json("report")["attempts"]
    assert attempt["pool"] == "spot"
    assert attempt["cost_usd"] == pytest.approx(attempt["billable_s"] / 3600.0 * 0.05, abs=1e-5)


def test_a_spend_cap_below_what_was_found_starts_nothing(
    cli: Cli, night: Path, play_in: Callable[[FakeWorlds], FakeWorlds], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checked, "quote", lambda *_: Quote(50.0, "a list"))
    play_in(FakeWorlds())
    night.write_text(night.read_text().replace("price = 0.2", "") + "[limits]\ncost = 5.0\n")
    assert cli("run", night) == 8
    assert "limits.cost = 5.0" in cli.err
    assert cli.json("history") == []
    rows = cli.json("doctor", night)
    assert (rows[0]["mark"], "a night wholly on od costs" in rows[0]["what"]) == ("fatal", True)


def test_iam_prints_one_json_document_and_nothing_else(cli: Cli, night: Path) -> None:
    assert cli("iam", night) == 0
    document = json.loads(cli.out)
    assert cli.err == ""
    (train,) = [one for one in document["Statement"] if one["Sid"] == "TrainUnderThisName"]
    assert train["Resource"] == [f"arn:aws:sagemaker:{REGION}:123456789012:training-job/rec-*"]
    assert cli("iam", night, "--read-only") == 0
    assert "StopTrainingJob" not in cli.out
