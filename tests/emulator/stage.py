"""An emulator in this process, with machines that have no program, and a real boto3 in front of it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Iterator

from nightspot.emulator.clients import client
from nightspot.emulator.folder import StateFolder
from nightspot.emulator.record import ENDED
from nightspot.emulator.server import Emulator, running
from nightspot.emulator.settings import Delays, Settings
from tests.emulator.fakes import FakeFleet

ROLE = "arn:aws:iam::123456789012:role/training"
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3.0-gpu-py311"
QUICK = Delays(start_s=1.0, download_s=1.0, upload_s=1.0, stop_s=1.0, interrupted_s=1.0)
PATIENCE_S = 30.0


@dataclass
class Stage:
    emulator: Emulator
    endpoint_url: str
    fleet: FakeFleet
    clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    def client(self, service: str = "sagemaker", region: str = "us-east-1") -> Any:
        """One of each: a client's exceptions are its own."""
        if (service, region) not in self.clients:
            self.clients[service, region] = client(service, self.endpoint_url, region)
        return self.clients[service, region]

    def create(self, name: str, **changes: Any) -> str:
        return str(self.client().create_training_job(**request(name, **changes))["TrainingJobArn"])

    def job(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client().describe_training_job(TrainingJobName=name)
        return found

    def until(self, name: str, *secondary: str) -> dict[str, Any]:
        return _until(lambda: self.job(name), lambda job: job["SecondaryStatus"] in secondary)

    def over(self, name: str) -> dict[str, Any]:
        return _until(lambda: self.job(name), lambda job: job["TrainingJobStatus"] in ENDED)

    def leap(self, market_s: float) -> None:
        """So much market time passes at once, as if everybody had slept: what waits for it comes when a test wants it, however fast."""
        clock = self.emulator.world.clock
        clock._time = replace(clock._time, anchor_market_utc=clock._time.anchor_market_utc + market_s)
        for life in list(self.emulator.jobs._lives.values()):
            life._patience.nudge()


def _until(look: Callable[[], dict[str, Any]], right: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        found = look()
        if right(found):
            return found
        time.sleep(0.02)
    raise AssertionError(f"it did not come to that: {found}")


def request(name: str, *, spot: bool = False, run_s: int = 3600, wait_s: int = 7200, **changes: Any) -> dict[str, Any]:
    """A small CreateTrainingJob request. `hyper` are hyperparameters, `instance_type` is the type."""
    hyper, instance_type = changes.pop("hyper", {}), changes.pop("instance_type", "ml.g5.xlarge")
    stopping = {"MaxRuntimeInSeconds": run_s, **({"MaxWaitTimeInSeconds": wait_s} if spot else {})}
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {"InstanceType": instance_type, "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": spot,
        "HyperParameters": hyper,
        **changes,
    }


@contextmanager
def stage(state: Path, **changes: Any) -> Iterator[Stage]:
    """By default a real second is a market minute, and launching takes a moment."""
    settings = Settings(**{"state": state, "time_scale": 60.0, "delays": QUICK, **changes})
    folder, fleet = StateFolder(state), FakeFleet()
    forget_moto()
    with folder.owned(), running(settings, folder, fleet.maker_of) as (emulator, endpoint_url):
        yield Stage(emulator, endpoint_url, fleet)


def forget_moto() -> None:
    """moto keeps all it has in the process: another emulator in it begins with nothing."""
    from moto.moto_api._internal.models import moto_api_backend

    moto_api_backend.reset()


def statuses(job: dict[str, Any]) -> list[str]:
    return [one["Status"] for one in job["SecondaryStatusTransitions"]]
