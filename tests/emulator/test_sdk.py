"""The contract with the team's own world: the real SageMaker Python SDK v2, unmodified, through an interruption, to a model."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import IO, Callable, cast

import pytest

from nightspot.emulator.clients import client, without_aws
from nightspot.emulator.orders import NOTICE, Orders
from tests.emulator.emulated import Emulated, emulated, needs_container
from tests.emulator.stage import statuses

__all__ = ["emulated"]
pytestmark = [needs_container, pytest.mark.slow]
FIT = Path(__file__).parent / "sdk/fit.py"
TIMEOUT_S = 280.0
# The SDK would tell its makers of each call.
SDK_CONFIG = "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n"


def fitted(variables: dict[str, str], folder: Path, interrupt: Callable[[], object]) -> str:
    """What the notebook prints. The script waits for an interruption in its fourth epoch; it comes once the third one's line is here."""
    words = [sys.executable, "-u", str(FIT), "bkt"]
    with (folder / "errors").open("w+") as errors:
        notebook = subprocess.Popen(words, env=variables, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True)
        watchdog = threading.Timer(TIMEOUT_S, notebook.kill)
        watchdog.start()
        lines = []
        for line in cast("IO[str]", notebook.stdout):
            lines.append(line)
            if "epoch=3 " in line:
                interrupt()
        code = notebook.wait()
        watchdog.cancel()
        errors.seek(0)
        said = errors.read()
    assert code == 0, "".join(lines)[-3000:] + said[-3000:]
    assert "sm-pysdk" not in said
    return "".join(lines)


def test_the_sdk_fits_through_an_interruption_with_streamed_logs_and_the_script_resumes(
    emulated: Emulated, tmp_path: Path
) -> None:
    config, state = tmp_path / "sdk.yaml", tmp_path / "emulator"
    config.write_text(SDK_CONFIG)
    running = emulated("--market", "never", "--market", "ml.g5.xlarge=always", "--time-scale", "120", state=state)
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
    api = client("sagemaker", running.endpoint_url)

    def interrupt() -> None:
        (job,) = api.list_training_jobs()["TrainingJobSummaries"]
        Orders(state / "orders").give(job["TrainingJobName"], NOTICE)

    printed = fitted(variables, tmp_path, interrupt)
    for line in ("epoch=3 ", "resumed after epoch 3", "epoch=4 ", "epoch=6 ", "Interrupted - ", "Training seconds"):
        assert line in printed, line
    told = json.loads(printed.strip().splitlines()[-1])
    job = api.describe_training_job(TrainingJobName=told["job"])
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
