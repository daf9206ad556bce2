"""What one training instance does, for one incarnation of one job: from its empty disk to the model in the bucket."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from nightspot.emulator.agent import CheckpointAgent, SyncSettings
from nightspot.emulator.clients import ACCESS_KEY, SECRET_KEY
from nightspot.emulator.container import Container, Sandbox
from nightspot.emulator.instance import DataError
from nightspot.emulator.layout import (
    checkpoint_path,
    download_channels,
    instance_type,
    make_folders,
    within,
    write_configuration,
)
from nightspot.emulator.logs import LogPump, LogStream
from nightspot.emulator.metrics import MetricScan
from nightspot.emulator.settings import ACCOUNT
from nightspot.emulator.transfer import (
    clients,
    is_real_folder,
    open_real,
    pack,
    place,
    real_files,
    remove_tree,
    send,
)

TOOLKIT = "sagemaker_training"
TOOLKIT_COMMAND = (sys.executable, "-m", f"{TOOLKIT}.cli.train")
LONGEST_FAILURE = 1000  # of 1024 in FailureReason, which begins with who failed
DRAIN_REAL_S = 30.0
# What of the emulator's own environment describes the machine, and no one's secrets.
FROM_HERE = ("LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A request's Environment may set anything but where its AWS calls go, and as whom: an emulated job never reaches the real AWS.
NOT_FROM_REQUEST = ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONTAINER_", "AWS_ROLE_", "AWS_WEB_")
HOME = "/tmp/home"  # noqa: S108 - the container's own
PACKAGES = "/tmp/packages"  # noqa: S108

__all__ = ["Machine", "MachineSpec", "SyncSettings"]


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """`request`: a valid CreateTrainingJob. `folder`: made by the machine, removed by `discard`. `incarnation` counts from 1.

    `instance_type`: which one was got, where the request left a choice.
    """

    job_name: str
    request: Mapping[str, Any]
    folder: Path
    incarnation: int
    endpoint_url: str
    region: str
    time_scale: float
    sync: SyncSettings
    instance_type: str = ""

    @property
    def arn(self) -> str:
        """The job's."""
        return f"arn:aws:sagemaker:{self.region}:{ACCOUNT}:training-job/{self.job_name}"

    @property
    def hyperparameters(self) -> Mapping[str, str]:
        """As they came: all texts, those of the SageMaker SDK in JSON."""
        found: Mapping[str, str] = self.request.get("HyperParameters", {})
        return found


class Machine:
    """One instance. Every method is called from the job's own thread only, and the container does not outlive that thread.

    DataError: the request names what cannot be read, written or run: the job has failed. EmulatorError: it is this computer's fault.
    """

    def __init__(self, spec: MachineSpec) -> None:
        self._spec = spec
        self._aws = clients(spec.endpoint_url, spec.region)
        self._ml = spec.folder / "ml"
        self._sandbox = Sandbox(self._ml, spec.folder / "own")
        self._container: Container | None = None
        self._agent: CheckpointAgent | None = None
        self._pump: LogPump | None = None
        self._scan = MetricScan([])

    def download(self) -> None:
        """Folders and configuration, then channels and checkpoints; the program is fetched by the toolkit itself. DataError, OSError."""
        command(self._spec)
        definitions = self._spec.request["AlgorithmSpecification"].get("MetricDefinitions", ())
        self._scan = MetricScan(definitions)
        self.discard()  # what an emulator that was killed may have left
        self._spec.folder.mkdir(parents=True)
        make_folders(self._ml, self._spec.request)
        self._sandbox.make()
        write_configuration(self._ml, self._spec.request, self._spec.instance_type)
        download_channels(self._aws.s3, self._ml, self._spec.request)
        self._container = Container(self._sandbox, command(self._spec), environment(self._spec))
        self._agent = self._make_agent(self._container)
        if self._agent is not None:
            self._agent.restore()

    def _make_agent(self, container: Container) -> CheckpointAgent | None:
        shown = checkpoint_path(self._spec.request)
        if shown is None:
            return None
        target = place(self._spec.request["CheckpointConfig"]["S3Uri"], "CheckpointConfig.S3Uri")
        folder, scratch = within(self._ml, shown), self._spec.folder / "agent"
        sync, scale = self._spec.sync, self._spec.time_scale
        return CheckpointAgent(self._aws.s3, target, folder, scratch, sync, scale, container.pids)

    def start(self) -> None:
        """The container, the log pump, the checkpoint agent. EmulatorError where no container can be made here."""
        assert self._container is not None, "download first"  # noqa: S101
        output = self._container.start()
        stream = LogStream(self._aws.logs, self._spec.job_name, self._spec.incarnation)
        self._pump = LogPump(output, stream, self._spec.folder / "output.log", self._scan.hear)
        self._pump.start()
        if self._agent is not None:
            self._agent.start()

    def exit_code(self) -> int | None:
        """As a shell has it; None while it runs, or before. After that nothing of it runs any more."""
        return self._container.exit_code() if self._container is not None else None

    def terminate(self) -> None:
        """SIGTERM to every process of the container."""
        if self._container is not None:
            self._container.terminate()

    def kill(self) -> None:
        """The instance is lost: SIGKILL, and no last sync. Nothing is left of it when this returns, and nothing more is uploaded."""
        if self._container is not None:
            self._container.kill()
        if self._agent is not None:
            self._agent.abandon()
        self._drain()

    def close(self) -> None:
        """The end of a job: what still runs is killed, then come the last sync of checkpoints and the last logs."""
        if self._container is not None:
            self._container.kill()
        if self._agent is not None:
            self._agent.finish()
        self._drain()

    def _drain(self) -> None:
        """The pump ends by itself, as nobody can write to it any more."""
        if self._pump is not None:
            self._pump.join(DRAIN_REAL_S)
            self._pump = None

    def upload(self) -> str:
        """Model and output data into the bucket; the model's S3 URI. DataError where the bucket does not take it."""
        config = self._spec.request["OutputDataConfig"]
        target = place(config["S3OutputPath"], "OutputDataConfig.S3OutputPath")
        target = target.under(f"{self._spec.job_name}/output")
        packed = config.get("CompressionType", "GZIP") != "NONE"
        for name, folder in (("output", self._ml / "output/data"), ("model", self._ml / "model")):
            if name == "output" and not (is_real_folder(folder) and any(folder.iterdir())):
                continue
            if packed:
                archive = self._spec.folder / f"{name}.tar.gz"
                pack(folder, archive)
                send(self._aws.s3, archive, target.under(archive.name))
            else:
                for file, _ in real_files(folder):
                    send(self._aws.s3, folder / file, target.under(f"{name}/{file}"))
        return target.under("model.tar.gz" if packed else "model/").uri

    def failure(self) -> str:
        """What the program left in /opt/ml/output/failure, and its exit code; at most 1000 characters."""
        code = self.exit_code()
        ending = f", exit code: {code}" if code is not None else ""
        file = open_real(self._ml / "output/failure")
        if file is None:
            return _code_in_words(code)
        with file:
            text = file.read(LONGEST_FAILURE * 4).decode("utf-8", "replace").strip()
        return text[: LONGEST_FAILURE - len(ending)] + ending if text else _code_in_words(code)

    def metrics(self) -> list[dict[str, Any]]:
        """The last value of each metric so far: MetricName and Value."""
        return self._scan.last()

    def discard(self) -> None:
        """Remove all of it from the disk; what still runs is killed first. OSError where something stays."""
        self.kill()
        remove_tree(self._spec.folder)


def _code_in_words(code: int | None) -> str:
    if code is None:
        return "the container did not run to its end"
    if code > signal.NSIG + 128 or code <= 128:
        return f"the program ended and left no /opt/ml/output/failure, exit code: {code}"
    return f"the program was ended by {_signal_name(code - 128)} and left no /opt/ml/output/failure, exit code: {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def command(spec: MachineSpec) -> list[str]:
    """The container's entry point: the request's, or the training toolkit's. DataError where there is nothing to run."""
    algorithm = spec.request["AlgorithmSpecification"]
    given = [*algorithm.get("ContainerEntrypoint", ()), *algorithm.get("ContainerArguments", ())]
    if algorithm.get("ContainerEntrypoint"):
        return given
    if not (
        spec.hyperparameters.get("sagemaker_program") or spec.request.get("Environment", {}).get("SAGEMAKER_PROGRAM")
    ):
        raise DataError(
            "there is no program to run: HyperParameters has no sagemaker_program, AlgorithmSpecification no "
            "ContainerEntrypoint, and the emulator does not run what is inside an image. Give one of the two"
        )
    if importlib.util.find_spec(TOOLKIT) is None:
        raise DataError("the emulator's Python lacks sagemaker-training: pip install 'nightspot[emulator]'")
    return [*TOOLKIT_COMMAND, *given]


def environment(spec: MachineSpec) -> dict[str, str]:
    """All variables of the container: a few of this machine's, the request's, SageMaker's. None of anybody's secrets."""
    asked = spec.request.get("Environment", {})
    kept = {name: str(value) for name, value in asked.items() if not name.startswith(NOT_FROM_REQUEST)}
    here = {name: os.environ[name] for name in FROM_HERE if name in os.environ}
    return {"LANG": "C.UTF-8", **here, **_defaults(), **kept, **_sagemaker(spec), **_aws(spec)}


def packages_path() -> str:
    """Where imports find what a job installs, as the program sees it."""
    return f"{PACKAGES}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


def _defaults() -> dict[str, str]:
    return {
        "PATH": f"{PACKAGES}/bin:{Path(sys.executable).parent}:{SYSTEM_PATH}",
        "HOME": HOME,
        "PYTHONUNBUFFERED": "1",
        # The emulator's own Python can only be read: what a job installs goes into its own folder.
        "PYTHONPATH": packages_path(),
        "PIP_PREFIX": PACKAGES,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }


def _sagemaker(spec: MachineSpec) -> dict[str, str]:
    return {
        "TRAINING_JOB_NAME": spec.job_name,
        "TRAINING_JOB_ARN": spec.arn,
        "SAGEMAKER_JOB_NAME": spec.job_name,
        "SAGEMAKER_REGION": spec.region,
        "SM_CURRENT_INSTANCE_TYPE": instance_type(spec.request, spec.instance_type),
    }


def _aws(spec: MachineSpec) -> dict[str, str]:
    return {
        "AWS_REGION": spec.region,
        "AWS_DEFAULT_REGION": spec.region,
        "AWS_ENDPOINT_URL": spec.endpoint_url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }
