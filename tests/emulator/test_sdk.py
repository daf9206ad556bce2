"""The contract with the team's own world: the real SageMaker Python SDK v2, unmodified, through an interruption, to a model."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from nightspot.emulator.clients import client, without_aws
from tests.emulator.emulated import Emulated, emulated, needs_container
from tests.emulator.stage import statuses

__all__ = ["emulated"]
pytestmark = [needs_container, pytest.mark.slow]
FIT = Path(__file__).parent / "sdk/fit.py"
TIMEOUT_S = 280.0
# Again and again, in real seconds: capacity for 28, none for 4. The script waits for an interruption, so one of them will do.
SCALE = 120
TRACE = {"metadata": {"gap_seconds": 4 * SCALE}, "data": [1] * 7 + [0]}
# The SDK would tell its makers of each call.
SDK_CONFIG = "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n"


def test_the_sdk_fits_through_an_interruption_with_streamed_logs_and_the_script_resumes(
    emulated: Emulated, tmp_path: Path
) -> None:
    trace, config = tmp_path / "trace.json", tmp_path / "sdk.yaml"
    trace.write_text(json.dumps(TRACE))
    config.write_text(SDK_CONFIG)
    running = emulated("--market", "never", "--market", f"ml.g5.xlarge={trace}", "--time-scale", str(SCALE))
    s3 = client("s3", running.endpoint_url)
    s3.create_bucket(Bucket="bkt")
    s3.put_object(Bucket="bkt", Key="data/numbers.csv", Body=b"1,2,3")
    variables = {
        **without_aws(os.environ),
        **running.environment(),
        "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(config),
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, str(FIT), "bkt"],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "sm-pysdk" not in done.stderr
    for line in ("epoch=3 ", "resumed after epoch 3", "epoch=4 ", "epoch=6 ", "Interrupted - ", "Training seconds"):
        assert line in done.stdout, line
    told = json.loads(done.stdout.strip().splitlines()[-1])
    job = client("sagemaker", running.endpoint_url).describe_training_job(TrainingJobName=told["job"])
    assert job["TrainingJobStatus"] == "Completed"
    shown = statuses(job)
    assert shown[0] == "Starting"
    assert shown.index("Interrupted") < len(shown) - 1 - shown[::-1].index("Training")
    assert shown[-3:] == ["Training", "Uploading", "Completed"]
    assert job["FinalMetricDataList"][0]["MetricName"] == "loss"
    assert 0 < job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]
    bucket, _, key = told["model"].removeprefix("s3://").partition("/")
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert [name for name in archive.getnames() if name.strip("./")] == ["model.pt"]
