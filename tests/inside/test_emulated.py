"""The wrapper on an emulated training instance: the true /opt/ml, and a checkpoint agent as bad as it may be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator

import pytest

from nightspot.backends.aws.bundle import travelling
from nightspot.emulator.machine import Machine, MachineSpec, SyncSettings
from nightspot.process.surroundings import sandbox_works
from tests.inside.image import BUCKET, CHECKPOINTS, CONTROL, SOURCE_KEY, TIME_SCALE, packed, request, spec, wait_for

pytestmark = pytest.mark.skipif(
    not sandbox_works(), reason="bubblewrap is missing or not allowed here: apt-get install bubblewrap"
)
# Saves a few times a second, so that the agent gets one whole before it is dropped; large enough to be met while it writes.
TRAINS = """
    import json, os, sys, time
    from nightspot.checkpoint import Session
    loop = {"step": 0, "weights": b"", "restored": []}
    with Session({"loop": loop}, interval_s=0) as session:
        found = session.restore()
        loop["restored"] = [*loop["restored"], found and found.units_done]
        while loop["step"] < int(sys.argv[-1]):
            loop["step"] += 1
            loop["weights"] = bytes(loop["step"] for _ in range(300_000))
            session.step(loop["step"])
            time.sleep(0.25)
        session.done(loop["step"])
    restored = loop["restored"]
    json.dump(restored, open(os.environ["SM_MODEL_DIR"] + "/restored.json", "w"))
"""


class Instances:
    """One job, as many incarnations as a test asks for."""

    def __init__(self, s3: Any, endpoint_url: str, folder: Path) -> None:
        self.s3, self._endpoint_url, self._folder = s3, endpoint_url, folder
        self.made: list[Machine] = []

    def start(self, steps: int) -> Machine:
        self.s3.put_object(Bucket=BUCKET, Key=SOURCE_KEY, Body=packed({"train.py": TRAINS}))
        template = request(steps=str(steps)) | {
            "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        }
        uris: dict[str, Any] = {
            "checkpoints_uri": f"s3://{BUCKET}/{CHECKPOINTS}",
            "control_uri": f"s3://{BUCKET}/{CONTROL}",
        }
        sent = {**template, **travelling(template, spec(), self.s3, time_scale=TIME_SCALE, **uris)}
        sent["Environment"]["NIGHTSPOT_CHECKPOINT_INTERVAL_S"] = "0"
        number = len(self.made) + 1
        sync = SyncSettings(interval_market_s=6.0, torn=True)
        folder = self._folder / f"machine-{number}"
        machine = Machine(MachineSpec("job", sent, folder, number, self._endpoint_url, "us-east-1", TIME_SCALE, sync))
        self.made.append(machine)
        machine.download()
        machine.start()
        return machine

    def copied(self) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=CHECKPOINTS).get("Contents", [])
        return [entry["Key"].removeprefix(CHECKPOINTS) for entry in found]

    def progress(self) -> dict[str, Any]:
        if CONTROL + "progress.json" not in self._all():
            return {}
        body = self.s3.get_object(Bucket=BUCKET, Key=CONTROL + "progress.json")["Body"].read()
        document: dict[str, Any] = json.loads(body)
        return document

    def _all(self) -> list[str]:
        return [entry["Key"] for entry in self.s3.list_objects_v2(Bucket=BUCKET)["Contents"]]


@pytest.fixture
def instances(s3: Any, endpoint_url: str, tmp_path: Path) -> Iterator[Instances]:
    made = Instances(s3, endpoint_url, tmp_path)
    yield made
    for machine in made.made:
        machine.discard()


def test_an_interrupted_training_goes_on_from_the_bucket_and_says_that_it_is_done(instances: Instances) -> None:
    first = instances.start(steps=1_000_000)
    wait_for(
        lambda: (
            sum(key.endswith("MANIFEST.json") for key in instances.copied()) >= 4 and instances.progress().get("trains")
        )
    )
    first.kill()
    assert not [key for key in instances.copied() if ".tmp-" in key or "trial" in key or "loading-" in key]
    reached = int(instances.progress()["units_done"])
    second = instances.start(steps=reached + 5)
    wait_for(lambda: second.exit_code() is not None)
    second.close()
    assert second.exit_code() == 0, second.failure()
    document = instances.progress()
    assert document["done"]["units_done"] == reached + 5
    restored = json.loads((instances.made[1]._ml / "model/restored.json").read_text())
    assert restored[0] is None
    assert restored[-1] is not None
    assert 0 < restored[-1] <= reached + 5


def test_the_word_stop_reaches_a_script_that_the_toolkit_tells_nothing(instances: Instances) -> None:
    machine = instances.start(steps=1_000_000)
    wait_for(lambda: instances.progress().get("trains"))
    instances.s3.put_object(Bucket=BUCKET, Key=CONTROL + "stop", Body=b"{}")
    wait_for(lambda: machine.exit_code() is not None)
    machine.close()
    document = instances.progress()
    assert (document["exit_code"], document["notice"]["reason"]) == (75, "stop")
    assert "exit code 75: ended early, as it was asked to" in machine.failure()
    saved = document["checkpoint"]["name"]
    assert f"{saved}/MANIFEST.json" in instances.copied()
