"""A real S3 and CloudWatch Logs on loopback, and machines that work with them."""

from __future__ import annotations

import io
import json
import tarfile
import textwrap
import time
from pathlib import Path
from typing import Any, Callable

from nightspot.emulator.container import _needed
from nightspot.emulator.machine import Machine, MachineSpec, SyncSettings
from nightspot.emulator.transfer import Clients, clients

REGION = "us-east-1"
PATIENCE_S = 60.0
QUIET = SyncSettings(interval_market_s=1e6, torn=False)


def wait_for(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s, "it never came true"
        time.sleep(0.02)


class Stage:
    """One bucket, one job name, and as many incarnations as a test asks for."""

    def __init__(self, endpoint_url: str, folder: Path, name: str) -> None:
        self.endpoint_url, self.folder, self.name = endpoint_url, folder, name
        self.machines: list[Machine] = []
        self.changes: dict[str, Any] = {}
        self.hyperparameters: dict[str, str] = {}
        self.aws: Clients = clients(endpoint_url, REGION)
        self.aws.s3.create_bucket(Bucket=name)

    def put(self, key: str, content: bytes | str) -> None:
        self.aws.s3.put_object(Bucket=self.name, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        content: bytes = self.aws.s3.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def objects(self, prefix: str = "") -> list[str]:
        found = self.aws.s3.list_objects_v2(Bucket=self.name, Prefix=prefix).get("Contents", [])
        return sorted(one["Key"] for one in found)

    def logs(self) -> str:
        """All that CloudWatch has of the job."""
        group = "/aws/sagemaker/TrainingJobs"
        found = self.aws.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{self.name}/algo-1-")
        names = [one["logStreamName"] for one in found["logStreams"]]
        assert len(names) <= 1, "the SDK follows one stream for each host"
        read = [self.aws.logs.get_log_events(logGroupName=group, logStreamName=n, startFromHead=True) for n in names]
        return "\n".join(event["message"] for one in read for event in one["events"])

    def script(self, source: str, program: str = "train.py") -> None:
        """The sourcedir.tar.gz that the SDK makes."""
        content = textwrap.dedent(source).encode()
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            member = tarfile.TarInfo(program)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        self.put("code/sourcedir.tar.gz", packed.getvalue())
        self.hyperparameters |= {
            "sagemaker_program": json.dumps(program),
            "sagemaker_submit_directory": json.dumps(f"s3://{self.name}/code/sourcedir.tar.gz"),
            "sagemaker_region": json.dumps(REGION),
            "sagemaker_job_name": json.dumps(self.name),
            "sagemaker_container_log_level": "20",
        }

    def direct(self, source: str) -> None:
        """A program without the toolkit: faster, where the toolkit is not the point."""
        self.changes["AlgorithmSpecification"] = {
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "-c", textwrap.dedent(source)],
        }

    def request(self) -> dict[str, Any]:
        return {
            "TrainingJobName": self.name,
            "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "an-image"},
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.name}/out"},
            "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "CheckpointConfig": {"S3Uri": f"s3://{self.name}/ck"},
            "HyperParameters": self.hyperparameters,
            "RoleArn": "arn:aws:iam::123456789012:role/r",
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
            **self.changes,
        }

    def channel(self, **source: Any) -> None:
        """One channel `train`."""
        s3 = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.name}/data", **source}
        self.changes["InputDataConfig"] = [{"ChannelName": "train", "DataSource": {"S3DataSource": s3}}]

    def machine(self, sync: SyncSettings = QUIET, time_scale: float = 60.0) -> Machine:
        number = len(self.machines) + 1
        folder = self.folder / f"incarnation-{number}"
        spec = MachineSpec(self.name, self.request(), folder, number, self.endpoint_url, REGION, time_scale, sync)
        self.machines.append(Machine(spec))
        return self.machines[-1]

    def running(self, sync: SyncSettings = QUIET, says: str = "ready", time_scale: float = 60.0) -> Machine:
        """A machine whose program has printed that."""
        machine = self.machine(sync, time_scale)
        machine.download()
        machine.start()
        wait_for(lambda: says in self.printed() or machine.exit_code() is not None)
        assert machine.exit_code() is None, self.printed()
        return machine

    def ended(self, machine: Machine | None = None) -> Machine:
        """A machine whose program has ended by itself."""
        if machine is None:
            machine = self.machine()
            machine.download()
            machine.start()
        wait_for(lambda: machine.exit_code() is not None)
        machine.close()
        return machine

    @property
    def ml(self) -> Path:
        """The last machine's /opt/ml."""
        return self.folder / f"incarnation-{len(self.machines)}/ml"

    def printed(self) -> str:
        file = self.ml.parent / "output.log"
        return file.read_text() if file.exists() else ""

    def leave(self) -> None:
        for machine in self.machines:
            machine.discard()


def ours_in_tmp() -> set[str]:
    """What of this Python, and of this checkout, lies in /tmp: a container must see it there."""
    return {Path(path).relative_to("/tmp").parts[0] for path in _needed() if Path("/tmp") in Path(path).parents}
