"""The AWS side of a drill through the emulator: requests, jobs, what lies in the bucket, the model."""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Mapping, Optional, Sequence

from nightspot.backends.aws import bundle
from nightspot.backends.aws.request import LONGEST_S, checkpoint_uri, control_uri, training_job
from nightspot.backends.aws.wrapped import NAME, progress_of
from nightspot.cli.emulatedlife import BESIDE, PROBE, RELEASE
from nightspot.drill import record_probe
from nightspot.drill.seen import saves
from nightspot.drill.settings import Place
from nightspot.emulator.clients import client
from nightspot.emulator.layout import CHECKPOINTS
from nightspot.emulator.machine import packages_path
from nightspot.emulator.transfer import fetch_prefix, names_under, place
from nightspot.model.attempt import Role
from nightspot.model.capacity import Pool
from nightspot.model.job import Job
from nightspot.night.ports import LaunchSpec

ENDED = ("Completed", "Failed", "Stopped")
MODEL_DIR = "/opt/ml/model"
FAILED = 1


@cache
def _client(service: str, url: str, region: str) -> Any:
    """Made once: that takes a moment."""
    return client(service, url, region)


@dataclass(frozen=True, slots=True)
class Account:
    """What the drill's jobs have in common. request: of the job file, shortened; parameters, variables: what the drill adds."""

    url: str
    region: str
    job: Job
    pool: Pool
    parameters: Mapping[str, str]
    variables: Mapping[str, str]
    time_scale: float

    def client(self, service: str) -> Any:
        """Of the emulator."""
        return _client(service, self.url, self.region)

    @property
    def shown(self) -> PurePosixPath:
        """The folder of checkpoints, as the program sees it."""
        config = self.pool.options["request"].get("CheckpointConfig") or {}
        return PurePosixPath(config.get("LocalPath") or CHECKPOINTS)

    def place(self, run_id: str) -> str:
        """Where that training's checkpoints lie in the bucket."""
        return checkpoint_uri(self.pool, run_id) or ""

    def start(self, run_id: str, number: int, every: int, holds: Sequence[int], now_utc: float) -> str:
        """One job of that training: the job's own request, our wrapper, the probe. Its name."""
        token = f"{run_id}-drill-{number:03d}"
        spec = LaunchSpec(run_id, number, token, self.pool, Role.TRAIN, now_utc + LONGEST_S, self.job)
        request = training_job(spec, now_utc)
        request["HyperParameters"] = {**request.get("HyperParameters", {}), **self.parameters}
        request["Environment"] = {**request.get("Environment", {}), **self.variables}
        # Limits of a night: here they would be of market time that passes too fast.
        request["StoppingCondition"] = dict.fromkeys(request["StoppingCondition"], LONGEST_S)
        control = control_uri(self.pool, run_id, token) or ""
        request |= bundle.travelling(
            request,
            spec,
            self.client("s3"),
            checkpoints_uri=self.place(run_id),
            control_uri=control,
            time_scale=self.time_scale,
        )
        request["Environment"] |= self._probe(request["Environment"], every, holds)
        self.client("sagemaker").create_training_job(**request)
        return token

    def _probe(self, environment: Mapping[str, str], every: int, holds: Sequence[int]) -> dict[str, str]:
        beside = Path(BESIDE)
        paths = [Path(self.shown), Path(MODEL_DIR)]
        inherited = environment.get("PYTHONPATH") or packages_path()
        probe = record_probe.environment(beside / PROBE, inherited=inherited, release=beside / RELEASE, paths=paths)
        return {
            **probe,
            "NIGHTSPOT_PROBE_HOLD": ",".join(map(str, sorted(holds))),
            "NIGHTSPOT_PROBE_STAYS": "1",  # the training toolkit makes its program's path of its own
            "NIGHTSPOT_CHECKPOINT_INTERVAL": f"{every} steps",
            "NIGHTSPOT_CHECKPOINT_WAIT": "1",
        }

    def describe(self, name: str) -> Mapping[str, Any]:
        """As the API does."""
        answer: Mapping[str, Any] = self.client("sagemaker").describe_training_job(TrainingJobName=name)
        return answer

    def stop(self, name: str) -> None:
        """It is to end."""
        self.client("sagemaker").stop_training_job(TrainingJobName=name)

    def exit_code(self, run_id: str, name: str) -> Optional[int]:
        """Of the program, as the wrapper last said; None where it did not come to that."""
        found = place(control_uri(self.pool, run_id, name) or "", "control").under(NAME)
        s3 = self.client("s3")
        try:
            said = progress_of(s3.get_object(Bucket=found.bucket, Key=found.key)["Body"].read())
        except s3.exceptions.ClientError:
            return None
        return None if said is None else said.exit_code

    def mirror(self, run_id: str, folder: Path) -> None:
        """A copy of that training's checkpoints, as the next instance would get them."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        fetch_prefix(self.client("s3"), place(self.place(run_id), "checkpoints"), folder, "checkpoints")

    def synced(self, run_id: str, here: Place) -> bool:
        """Whether the newest whole checkpoint on the instance is in the bucket, too; so it is where there is none."""
        newest = saves.newest_first(here)[:1]
        prefix, s3 = place(self.place(run_id), "checkpoints"), self.client("s3")
        there = {name: key for key, name in names_under(s3, prefix)}
        for file in saves.files_of(here, [path.name for path in newest]):
            key = there.get(file.relative_to(here.folder).as_posix())
            if key is None or s3.head_object(Bucket=prefix.bucket, Key=key)["ContentLength"] != file.stat().st_size:
                return False
        return True

    def model(self, name: str, folder: Path) -> Path:
        """The finished model, unpacked. OSError, tarfile.TarError where it cannot be."""
        uri = str((self.describe(name).get("ModelArtifacts") or {}).get("S3ModelArtifacts") or "")
        found = place(uri, "model")
        folder.mkdir(parents=True)
        if not uri.endswith(".tar.gz"):
            fetch_prefix(self.client("s3"), found, folder, "model")
            return folder
        packed = folder.parent / "model.tar.gz"
        self.client("s3").download_file(found.bucket, found.key, str(packed))
        with tarfile.open(packed) as archive:
            archive.extractall(folder, filter="data")
        return folder


def hyperparameters(words: Sequence[str]) -> dict[str, str]:
    """`--epochs 4 --lr=0.1` as the training toolkit would have to be told it. ValueError for what it cannot be told."""
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name or (not equals and not rest):
            raise ValueError(f"{word!r} cannot be given to a training job: only --name value can, as a hyperparameter")
        found[name] = value if equals else rest.pop(0)
    return found
