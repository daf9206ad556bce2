"""One machine with /opt/ml somewhere else, and the real training toolkit on it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import psutil

from nightspot.backends.aws.bundle import travelling
from nightspot.model.attempt import Role
from nightspot.model.capacity import Market, Pool
from nightspot.model.job import Checkpointing, Job, PolicyChoice, Training, Work
from nightspot.night.ports import LaunchSpec

BUCKET, RUN, TOKEN = "night", "job-20261124", "job-20261124-1"
SOURCE_KEY = "code/job/source/sourcedir.tar.gz"
CHECKPOINTS, CONTROL = f"ck/{RUN}/", f"ck/{RUN}-control/{TOKEN}/"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}
PATIENCE_S = 60.0
# Market time passes so fast that the wrapper looks and reports as often as it may.
TIME_SCALE = 60.0


def packed(files: Mapping[str, str | bytes], modes: Mapping[str, int] | None = None) -> bytes:
    """A sourcedir.tar.gz as the SDK makes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            raw = textwrap.dedent(content).lstrip().encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(raw), (modes or {}).get(name, 0o644), 1_700_000_000
            archive.addfile(member, io.BytesIO(raw))
    return buffer.getvalue()


def request(program: str = "train.py", **parameters: str) -> dict[str, Any]:
    """A template as the v2 SDK would send it."""
    return {
        "HyperParameters": {
            **parameters,
            "sagemaker_submit_directory": json.dumps(f"s3://{BUCKET}/{SOURCE_KEY}"),
            "sagemaker_program": json.dumps(program),
            "sagemaker_region": json.dumps("us-east-1"),
            "sagemaker_container_log_level": "20",
        },
        "Environment": {"FOO": "1"},
        "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/{CHECKPOINTS}"},
    }


def spec(role: Role = Role.TRAIN) -> LaunchSpec:
    pool = Pool("spot", "sagemaker", Market.SPOT, 1.0)
    training = Training(command=(), fingerprint="f1")
    work = Work(3, "epochs", 60.0)
    job = Job("job", training, work, (pool,), PolicyChoice("planned"), Checkpointing(interval_s=600.0))
    return LaunchSpec(RUN, 1, TOKEN, pool, role, 2e9, job)


@dataclass
class Image:
    """`base` is /opt/ml. The programs of a test are started in it, and ended with it."""

    base: Path
    s3: Any
    endpoint_url: str
    environment: dict[str, str] = field(default_factory=dict)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def bundle(
        self, files: Mapping[str, str | bytes], program: str = "train.py", role: Role = Role.TRAIN, **parameters: str
    ) -> dict[str, Any]:
        """Upload the source, have it bundled, and set the machine up for it."""
        self.s3.put_object(Bucket=BUCKET, Key=SOURCE_KEY, Body=packed(files))
        template = request(program, **parameters)
        uris: dict[str, Any] = {
            "checkpoints_uri": f"s3://{BUCKET}/{CHECKPOINTS}",
            "control_uri": f"s3://{BUCKET}/{CONTROL}",
        }
        changed = {**template, **travelling(template, spec(role), self.s3, time_scale=TIME_SCALE, **uris)}
        self._configure(changed["HyperParameters"])
        self.environment |= changed["Environment"]
        self.environment["NIGHTSPOT_CHECKPOINT_DIR"] = str(self.base / "checkpoints")
        return changed

    def _configure(self, parameters: Mapping[str, str]) -> None:
        config = self.base / "input" / "config"
        config.mkdir(parents=True, exist_ok=True)
        for folder in ("model", "output/data", "checkpoints"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        (config / "hyperparameters.json").write_text(json.dumps(parameters))
        (config / "inputdataconfig.json").write_text("{}")
        resources = {"current_host": "localhost", "hosts": ["localhost"], "network_interface_name": "lo"}
        (config / "resourceconfig.json").write_text(json.dumps(resources))

    def train(self) -> subprocess.Popen[bytes]:
        """The real toolkit, as a container would start it."""
        return self.start([sys.executable, "-m", "sagemaker_training.cli.train"], self.base)

    def unpack(self, changed: Mapping[str, Any]) -> Path:
        """What the toolkit does first; the folder of the code."""
        uri = json.loads(changed["HyperParameters"]["sagemaker_submit_directory"])
        body = self.s3.get_object(Bucket=BUCKET, Key=uri.split("/", 3)[3])["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            archive.extractall(self.base / "code")
        return self.base / "code"

    def enter(self, changed: Mapping[str, Any], arguments: Sequence[str] = (), python: str = sys.executable) -> Any:
        """Only our entry, without the toolkit around it."""
        return self.start([python, "nightspot_entry.py", *arguments], self.unpack(changed))

    def start(self, command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        ours = {"SAGEMAKER_BASE_DIR": str(self.base), "AWS_ENDPOINT_URL": self.endpoint_url, **CREDENTIALS}
        self.out, self.err = self.base / "stdout", self.base / "stderr"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            process = subprocess.Popen(
                command, cwd=folder, env={**inherited, **ours, **self.environment}, stdout=out, stderr=err
            )
        self.running.append(process)
        return process

    def progress(self) -> dict[str, Any]:
        """CONTROL/progress.json; empty while there is none."""
        try:
            body = self.s3.get_object(Bucket=BUCKET, Key=CONTROL + "progress.json")["Body"].read()
        except self.s3.exceptions.NoSuchKey:
            return {}
        found: dict[str, Any] = json.loads(body)
        return found

    def say(self, word: str, body: bytes = b"{}") -> None:
        self.s3.put_object(Bucket=BUCKET, Key=CONTROL + word, Body=body)

    @property
    def failure(self) -> str | None:
        path = self.base / "output" / "failure"
        return path.read_text() if path.exists() else None

    def wrapper(self, toolkit: subprocess.Popen[bytes]) -> psutil.Process:
        """The wrapper's process below the toolkit, once it is there."""
        found: list[psutil.Process] = wait_for(
            lambda: [child for child in children(toolkit) if "nightspot_entry.py" in line_of(child)]
        )
        return found[0]

    def close(self) -> None:
        for process in self.running:
            for child in [*children(process), psutil.Process(process.pid)] if process.poll() is None else []:
                child.send_signal(signal.SIGKILL)
            process.wait(PATIENCE_S)


def children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def line_of(process: psutil.Process) -> list[str]:
    """Its command; empty once it is gone."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def wait_for(wanted: Callable[[], Any]) -> Any:
    """What `wanted` returns once that is true."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not (found := wanted()):
        assert time.monotonic() < give_up_s, "it never came"
        time.sleep(0.05)
    return found
