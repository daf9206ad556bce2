from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any, Iterator

import pytest
from moto.server import ThreadedMotoServer

from tests.backends.aws.answers import BUCKET, ME, REGION, Answers, quotas_of

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
TORN = {
    "ID": "torn",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
}


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """A real server of S3, IAM, STS and ECR on this machine: its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto: str) -> Answers:
    """Clients of that server, whose account is empty. What it does not have is denied."""
    with urllib.request.urlopen(urllib.request.Request(f"{moto}/moto-api/reset", method="POST")):
        pass
    missing = ("ListServiceQuotas", "ListAWSDefaultServiceQuotas", "SimulatePrincipalPolicy", "GetProducts")
    return Answers(moto, dict.fromkeys(missing, "AccessDeniedException"))


@pytest.fixture
def account(aws: Answers) -> Answers:
    """The same, with all that the night of `answers.job` needs."""
    s3 = aws("s3", REGION)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="data/part-0", Body=b"1")
    s3.put_object(Bucket=BUCKET, Key="code/sourcedir.tar.gz", Body=b"tar")
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [TORN]})
    aws("iam", REGION).create_role(RoleName="trainer", AssumeRolePolicyDocument=json.dumps(TRUST))
    aws.calls.clear()
    return aws


@pytest.fixture
def far() -> Answers:
    """Clients of AWS itself, none of whose calls leaves this machine: all is denied that a test has no answer for."""
    listed: dict[str, Any] = {"TrainingJobSummaries": []}
    return Answers(
        None, {"GetCallerIdentity": ME, "ListServiceQuotas": quotas_of(spot=1, od=1), "ListTrainingJobs": listed}
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path
