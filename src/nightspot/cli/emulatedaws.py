"""The AWS side of a drill through the emulator: requests, jobs, what lies in the bucket, the model."""

from __future__ import annotations

import os
import shutil
import tarfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Mapping, Optional, Sequence

from nightspot.backends.aws import bundle
from nightspot.backends.aws.request import LONGEST_S, checkpoint_uri, control_uri, training_job
from nightspot.backends.aws.wrapped import NAME, progress_of
from nightspot.cli.emulatedlife import BESIDE, PROBE, RELEASE
from nightspot.drill import record_probe
from nightspot.drill.around import slowed
from nightspot.drill.seen import saves
from nightspot.drill.settings import Place
from nightspot.emulator.clients import client
from nightspot.emulator.layout import CHECKPOINTS
from nightspot.emulator.machine import TOOLKIT_COMMAND, packages_path
from nightspot.emulator.transfer import fetch_prefix, place, real_files, send
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
class Pacing:
    """How a job trains. every: steps between two checkpoints of nightspot.checkpoint; holds: steps of a Life after which the probe waits;
    waits, slowly: see `drill.life.Strike`."""

    every: int
    holds: Sequence[int] = ()
    waits: bool = True
    slowly: bool = False


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

    def start(self, run_id: str, number: int, pacing: Pacing, now_utc: float) -> str:
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
        request["Environment"] |= self._probe(request["Environment"], pacing)
        if pacing.slowly:
            request["AlgorithmSpecification"] = {**request["AlgorithmSpecification"], "ContainerEntrypoint": _slowed()}
        self.client("sagemaker").create_training_job(**request)
        return token

    def _probe(self, environment: Mapping[str, str], pacing: Pacing) -> dict[str, str]:
        beside = Path(BESIDE)
        paths = [Path(self.shown), Path(MODEL_DIR)]
        inherited = environment.get("PYTHONPATH") or packages_path()
        probe = record_probe.environment(beside / PROBE, inherited=inherited, release=beside / RELEASE, paths=paths)
        return {
            **probe,
            "NIGHTSPOT_PROBE_HOLD": ",".join(map(str, sorted(pacing.holds))),
            "NIGHTSPOT_PROBE_STAYS": "1",  # the training toolkit makes its program's path of its own
            "NIGHTSPOT_CHECKPOINT_INTERVAL": f"{pacing.every} steps",
            **({"NIGHTSPOT_CHECKPOINT_WAIT": "1"} if pacing.waits else {}),
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
        """A copy of that training's checkpoints, as the next instance would get them; of the times at which they came."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        fetch_prefix(self.client("s3"), place(self.place(run_id), "checkpoints"), folder, "checkpoints")
        for name, one in self._objects(run_id).items():
            with suppress(OSError):  # one that is no file here
                os.utime(folder / name, (one.came_utc, one.came_utc))

    def _objects(self, run_id: str) -> dict[str, _Object]:
        """By their names below the prefix."""
        prefix, s3 = place(self.place(run_id), "checkpoints"), self.client("s3")
        beginning = prefix.key.rstrip("/") + "/"
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=prefix.bucket, Prefix=beginning)
        found = [one for page in pages for one in page.get("Contents", ())]
        return {
            one["Key"].removeprefix(beginning): _Object(one["Size"], one["LastModified"].timestamp()) for one in found
        }

    def synced(self, run_id: str, here: Place) -> bool:
        """Whether the newest whole checkpoint on the instance is in the bucket, too; so it is where there is none."""
        there, newest = self._objects(run_id), saves.newest_first(here)[:1]
        files = saves.files_of(here, [path.name for path in newest])
        return all(_size(there, file, here) == file.stat().st_size for file in files)

    def caught_up(self, run_id: str, here: Place) -> bool:
        """Whether each file that stands still on the instance has been there since its last change, whole or half: see the emulator's
        agent."""
        there = self._objects(run_id)
        sizes = {here.folder / name: found.st_size for name, found in real_files(here.folder)}
        return all(_size(there, file, here) in (size, size // 2) for file, size in sizes.items())

    def put(self, run_id: str, file: Path, name: str) -> None:
        """Into that training's checkpoints, over what is there. DataError."""
        send(self.client("s3"), file, place(self.place(run_id), "checkpoints").under(name))

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


@dataclass(frozen=True, slots=True)
class _Object:
    size_bytes: int
    came_utc: float


def _size(there: Mapping[str, _Object], file: Path, here: Place) -> Optional[int]:
    found = there.get(file.relative_to(here.folder).as_posix())
    return None if found is None else found.size_bytes


def _slowed() -> list[str]:
    """What the container would run without an entry point, with its writes slowed down."""
    return list(slowed(TOOLKIT_COMMAND))


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
