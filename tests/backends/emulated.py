"""A real emulator in a process of its own, a bucket with a user's source in it, and the environment that leads boto3 there."""

from __future__ import annotations

import io
import json
import os
import tarfile
import textwrap
import time
from pathlib import Path
from typing import Any, Mapping, Sequence

import boto3

from tests.emulator.warm import warm

BUCKET, REGION = "bkt", "us-east-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
QUICK = ("--start-delay", "6s", "--download-delay", "6s", "--upload-delay", "6s", "--sync-every", "12s")
READY_S, END_S = 60.0, 30.0

# Trains by nightspot's own session: `units` units of `unit_s` real seconds each, saved when due, when asked, on notice.
TRAINER = """
    import os, sys, time
    from nightspot.checkpoint import Session

    given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    units, unit_s = float(given["--units"]), float(given["--unit-s"])
    loop = {"done": 0.0}
    with Session({"loop": loop}) as session:
        session.restore()
        while loop["done"] < units:
            time.sleep(unit_s)
            loop["done"] += 1.0
            print(f"unit={loop['done']};", flush=True)
            session.step(loop["done"], metrics={"loss": 1.0 / loop["done"]})
        with open(os.path.join(os.environ["SM_MODEL_DIR"], "model.bin"), "w") as model:
            model.write("a model")
        session.done(loop["done"], metrics={"loss": 0.5})
"""


def packed(source: str, name: str = "train.py") -> bytes:
    """A sourcedir.tar.gz of one program, as the SDK makes it."""
    content = textwrap.dedent(source).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def template(**hyperparameters: str) -> dict[str, Any]:
    """A CreateTrainingJob request as the v2 SDK records it; the code is TRAINER's."""
    parameters = {
        **hyperparameters,
        "sagemaker_submit_directory": json.dumps(f"s3://{BUCKET}/code/sourcedir.tar.gz"),
        "sagemaker_program": json.dumps("train.py"),
        "sagemaker_container_log_level": "20",
        "sagemaker_region": json.dumps(REGION),
    }
    return {
        "AlgorithmSpecification": {
            "TrainingImage": f"763104351884.dkr.ecr.{REGION}.amazonaws.com/pytorch-training:2.3.0-cpu-py311",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "unit", "Regex": "unit=([0-9.]+);"}],
        },
        "RoleArn": "arn:aws:iam::123456789012:role/training",
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
        "HyperParameters": parameters,
    }


class Emulation:
    """`nightspot emulate sagemaker`; market time is `market_utc` at `real_utc`. Sets the environment until it is closed."""

    def __init__(
        self,
        folder: Path,
        options: Sequence[str],
        *,
        scale: float,
        market_utc: float | None = None,
        ahead_s: float = 0.0,
    ) -> None:
        self.scale, self.real_utc = scale, time.time() + ahead_s
        self.market_utc = self.real_utc if market_utc is None else market_utc
        clock = ("--time-scale", str(scale), "--anchor-market-utc", repr(self.market_utc))
        words = ["emulate", "sagemaker", "--state", str(folder / "emulator"), *clock]
        words += ["--anchor-real-utc", repr(self.real_utc), *options]
        self._forked = warm().emulator(words, os.environ, folder, READY_S)
        self.url = self._forked.url
        self._before = dict(os.environ)
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update({**CREDENTIALS, "AWS_ENDPOINT_URL": self.url})
        self._furnish()

    def now_utc(self) -> float:
        return self.market_utc + (time.time() - self.real_utc) * self.scale

    def client(self, service: str) -> Any:
        return boto3.Session().client(service, endpoint_url=self.url)

    def put(self, key: str, content: bytes) -> None:
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content)

    def keys(self, prefix: str = "") -> list[str]:
        found = self.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [str(one["Key"]) for one in found]

    def jobs(self) -> Mapping[str, str]:
        found = self.client("sagemaker").list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
        return {job["TrainingJobName"]: job["TrainingJobStatus"] for job in found}

    def close(self) -> None:
        os.environ.clear()
        os.environ.update(self._before)
        assert self._forked.end(END_S) == 0, "the emulator did not end well"

    def _furnish(self) -> None:
        s3 = self.client("s3")
        for _ in range(100):  # the faults that were asked for hit this too
            try:
                s3.create_bucket(Bucket=BUCKET)
                self.put("code/sourcedir.tar.gz", packed(TRAINER))
                return
            except Exception as error:
                last = error
                time.sleep(0.05)
        raise AssertionError(f"the bucket could not be furnished: {last!r}")
