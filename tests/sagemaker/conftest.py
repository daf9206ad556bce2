"""A bucket and an identity (moto, over HTTP), and the real SageMaker SDK that talks to them."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

boto3 = pytest.importorskip("boto3", reason="pip install 'nightspot[aws]'")
moto_server = pytest.importorskip("moto.server", reason="pip install 'nightspot[emulator]'")

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
}
QUIET = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
ROLE = "arn:aws:iam::123456789012:role/r"


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of this machine's, and dummy credentials."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a moto server."""
    moto = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def aws(no_aws: None, server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """AWS is that server, and has the bucket `bkt`."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    boto3.client("s3").create_bucket(Bucket="bkt")
    return server


@pytest.fixture
def pytorch(aws: str, tmp_path: Path) -> Callable[..., Any]:
    """Makes PyTorch estimators: a Spot one like the recorded, but for what is given."""
    pytest.importorskip("sagemaker.pytorch", reason="the SageMaker SDK v2 is not installed")
    source = tmp_path / "source"
    source.mkdir()
    (source / "train.py").write_text("print('training')\n")

    def make(**changes: Any) -> Any:
        session = importlib.import_module("sagemaker").Session(
            boto3.Session(region_name="us-east-1"), sagemaker_config=QUIET, default_bucket="bkt"
        )
        settings: dict[str, Any] = {
            "entry_point": "train.py",
            "source_dir": str(source),
            "role": ROLE,
            "framework_version": "2.3.0",
            "py_version": "py311",
            "instance_count": 1,
            "instance_type": "ml.g5.xlarge",
            "use_spot_instances": True,
            "max_run": 3600,
            "max_wait": 7200,
            "checkpoint_s3_uri": "s3://bkt/ck/run1",
            "checkpoint_local_path": "/opt/ml/checkpoints",
            "output_path": "s3://bkt/out",
            "code_location": "s3://bkt/code",
            "hyperparameters": {"epochs": 3, "lr": 0.1},
            "metric_definitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
            "base_job_name": "spotjob",
            "environment": {"FOO": "1"},
            "max_retry_attempts": 3,
            "sagemaker_session": session,
        }
        return importlib.import_module("sagemaker.pytorch").PyTorch(**{**settings, **changes})

    return make
