"""`nightspot init --from-training-job`: two files that load, from what AWS says over HTTP; and one sentence where it says nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nightspot.backends.aws.calls import Aws, Rejected, Trouble
from nightspot.errors import BackendError, UnknownBackendError
from nightspot.jobfile import load_job
from nightspot.sagemaker import pastjobs
from nightspot.sagemaker.errors import PastJobError
from tests.jobfile.requests import RECORDED
from tests.sagemaker.conftest import boto3

SPOT = {**RECORDED, "CheckpointConfig": {"S3Uri": "s3://bkt/ck/init"}}
NAMES = [f"init-2026-11-2{day}-20-00-00-123" for day in (1, 2, 3)]


@pytest.fixture
def jobs(aws: str) -> list[str]:
    """Three training jobs of one base name, the last on Spot with checkpoints; one of another name."""
    client = boto3.client("sagemaker")
    known = {job["TrainingJobName"] for job in client.list_training_jobs()["TrainingJobSummaries"]}
    for name in [*NAMES, "init-other-2026-11-21-20-00-00-123"]:
        if name not in known:
            client.create_training_job(**{**SPOT, "TrainingJobName": name})
    boto3.client("s3").put_object(Bucket="bkt", Key="ck/init/epoch-2.pt", Body=b"x")
    return NAMES


def init(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, as a user would run it."""
    command = [sys.executable, "-m", "nightspot.cli", "--home", str(folder / "home"), "init", *words]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_a_past_job_becomes_a_job_file_and_a_request_that_load(jobs: list[str], tmp_path: Path) -> None:
    done = init(tmp_path, "--from-training-job", jobs[0], "--region", "us-east-1")
    assert (done.returncode, done.stderr.count("nightspot:")) == (0, 0), done.stderr
    assert "nightspot doctor nightspot.toml" in done.stdout
    job_file = load_job(tmp_path / "nightspot.toml")
    table = job_file.document.sagemaker
    assert table is not None
    assert (job_file.name, table.region, table.checkpoints) == ("init", "us-east-1", "s3://bkt/ck/init")
    assert (table.progress, job_file.document.checkpoint.pattern) == ("files", "epoch-*.pt")
    request = json.loads((tmp_path / "request.json").read_text())
    kept = ("HyperParameters", "RoleArn", "InputDataConfig", "OutputDataConfig")
    assert {key: request[key] for key in kept} == {key: RECORDED[key] for key in kept}


def test_only_siblings_of_the_same_base_name_are_asked_for(jobs: list[str], aws: str) -> None:
    heard = pastjobs.hear(jobs[1], "us-east-1")
    assert sorted(job["TrainingJobName"] for job in heard.siblings) == sorted(jobs)
    assert heard.siblings[0] == heard.job
    assert heard.checkpoint_files == ("epoch-2.pt",)
    assert heard.region == "us-east-1"


def test_nothing_is_overwritten_or_half_written_without_force(jobs: list[str], tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text("mine")
    done = init(tmp_path, "--from-training-job", jobs[0])
    assert done.returncode == 2
    assert "request.json is there already, and nothing was written" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "source") == ["request.json"]
    done = init(tmp_path, "--from-training-job", jobs[0], "--force", "--name", "mine")
    assert done.returncode == 0
    assert load_job(tmp_path / "nightspot.toml").name == "mine"


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr
    line = done.stderr.strip()
    assert line.count("\n") == 0
    return line


def test_a_job_that_does_not_exist_is_told_with_its_region(aws: str, tmp_path: Path) -> None:
    done = init(tmp_path, "--from-training-job", "nobody", "--region", "eu-west-1")
    assert one_sentence(done).startswith("nightspot: there is no training job 'nobody' in eu-west-1")
    assert done.returncode == 11
    assert not (tmp_path / "nightspot.toml").exists()


def test_missing_credentials_are_told_in_one_sentence(
    aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    done = init(tmp_path, "--from-training-job", NAMES[0])
    said = one_sentence(done)
    assert "cannot be read: describe_training_job: the credentials are missing" in said
    assert said.endswith("(a profile, the environment, the machine's role).")
    assert done.returncode == 13


def test_a_region_that_nobody_named_is_asked_for(aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    done = init(tmp_path, "--from-training-job", NAMES[0])
    said = one_sentence(done)
    assert said.endswith("no region is set. Name the training job's with --region, for example --region eu-central-1")
    assert done.returncode == 13


def test_a_server_that_is_not_there_is_a_missing_connection(
    no_aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "there is no connection to AWS" in one_sentence(init(tmp_path, "--from-training-job", NAMES[0]))


def test_a_region_alone_is_refused(tmp_path: Path) -> None:
    done = init(tmp_path, "--region", "eu-west-1")
    assert "--region belongs to --from-training-job" in one_sentence(done)
    assert done.returncode == 2


def test_without_boto3_the_remedy_is_named(tmp_path: Path) -> None:
    (tmp_path / "boto3.py").write_text("raise ImportError('no boto3 here')\n")
    done = init(tmp_path, "--from-training-job", NAMES[0], PYTHONPATH=str(tmp_path))
    assert "pip install 'nightspot[aws]'" in one_sentence(done)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "boto3", None)
        with pytest.raises(UnknownBackendError, match="needs boto3"):
            pastjobs.hear("x", "")


def test_siblings_and_checkpoints_that_may_not_be_read_are_done_without(jobs: list[str]) -> None:
    heard = pastjobs.hear(jobs[0], "us-east-1", Denied("list_training_jobs", "list_objects_v2"))  # type: ignore[arg-type]
    assert [job["TrainingJobName"] for job in heard.siblings] == [jobs[0]]
    assert heard.checkpoint_files == ()
    with pytest.raises(BackendError, match="cannot be read"):
        pastjobs.hear(jobs[0], "us-east-1", Denied("describe_training_job"))  # type: ignore[arg-type]
    with pytest.raises(PastJobError):
        pastjobs.hear("nobody", "us-east-1")


class Denied:
    """The real calls, but that some of them are not allowed."""

    def __init__(self, *operations: str) -> None:
        self._denied, self._aws = operations, Aws()

    def call(self, service: str, region: str, operation: str, /, **parameters: Any) -> Any:
        if operation in self._denied:
            raise Rejected(Trouble.DENIED, "AccessDeniedException", f"{operation}: not allowed")
        return self._aws.call(service, region, operation, **parameters)
