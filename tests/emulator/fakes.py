"""A machine without a program: what it does is in the job's hyperparameters. For the life of jobs, where no training is needed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from nightspot.emulator.folder import StateFolder
from nightspot.emulator.instance import DataError, Instance, MakeInstance
from nightspot.emulator.record import JobRecord
from nightspot.emulator.settings import Settings


@dataclass
class FakeMachine:
    """`did` is all that was called. What it does is told by hyperparameters:

    `run_real_s` (of each incarnation; default: for ever), `exit_code`, `ignores_sigterm`, `code_on_sigterm`, `bad_data`,
    `bad_bucket` and `stuck_disk`.
    """

    record: JobRecord
    did: list[str] = field(default_factory=list)
    code: int | None = None
    until_s: float = float("inf")

    def told(self, name: str, otherwise: str = "") -> str:
        return str(self.record.request.get("HyperParameters", {}).get(name, otherwise))

    def download(self) -> None:
        self.did.append("download")
        if self.told("bad_data"):
            raise DataError(self.told("bad_data"))

    def start(self) -> None:
        self.did.append("start")
        spans = self.told("run_real_s", "inf").split(",")
        self.until_s = time.monotonic() + float(spans[min(self.record.incarnation, len(spans)) - 1])

    def exit_code(self) -> int | None:
        if self.code is None and time.monotonic() >= self.until_s:
            self.code = int(self.told("exit_code", "0"))
        return self.code

    def terminate(self) -> None:
        self.did.append("terminate")
        if not self.told("ignores_sigterm"):
            self.code = int(self.told("code_on_sigterm", "143"))

    def kill(self) -> None:
        self.did.append("kill")
        self.code = 137 if self.code is None else self.code

    def close(self) -> None:
        self.did.append("close")

    def upload(self) -> str:
        self.did.append("upload")
        if self.told("bad_bucket"):
            raise DataError(self.told("bad_bucket"))
        return f"s3://bucket/{self.record.name}/output/model.tar.gz"

    def failure(self) -> str:
        return "the script says no"

    def metrics(self) -> list[dict[str, Any]]:
        return [{"MetricName": "loss", "Value": 0.5}]

    def discard(self) -> None:
        self.did.append("discard")
        if self.told("stuck_disk"):
            raise OSError(self.told("stuck_disk"))


class FakeFleet:
    """Makes them, and remembers them."""

    def __init__(self) -> None:
        self.machines: list[FakeMachine] = []
        self._lock = threading.Lock()

    def maker_of(self, endpoint_url: str, settings: Settings, folder: StateFolder) -> MakeInstance:
        return self.make

    def make(self, record: JobRecord) -> Instance:
        with self._lock:
            self.machines.append(FakeMachine(record))
            return self.machines[-1]

    def of(self, name: str) -> list[FakeMachine]:
        """Those of one job, in order."""
        return [machine for machine in self.machines if machine.record.name == name]
