"""An emulator started by a program: as a process of its own, that answers when `launch` returns, and ends when it is told to.

For `nightspot run --emulate` and for tests. The options are those of `nightspot emulate`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from nightspot.emulator.clients import REGION, environment, without_aws
from nightspot.emulator.errors import EmulatorError, EmulatorOptionError
from nightspot.errors import ExitCode
from nightspot.process.linux import dies_with_parent

READY = "ready "
READY_REAL_S, STOP_REAL_S = 60.0, 60.0
LOOK_EVERY_REAL_S = 0.02
LOG = "emulator.log"


@dataclass(frozen=True, slots=True)
class Launched:
    """One that answers. `log` has what it says of its own troubles."""

    process: subprocess.Popen[bytes]
    endpoint_url: str
    log: Path

    @property
    def pid(self) -> int:
        """Of its process."""
        return self.process.pid

    def environment(self, region: str = REGION) -> dict[str, str]:
        """The variables with which a client talks to it: its address, dummy credentials, nobody's settings. To be added to others."""
        return environment(self.endpoint_url, region)

    def running(self) -> bool:
        """Whether it still lives."""
        return self.process.poll() is None

    def stop(self, budget_real_s: float = STOP_REAL_S) -> int:
        """SIGTERM, and wait; SIGKILL past the budget, which takes the training with it. Its exit code: 0 if all went well."""
        if self.running():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(budget_real_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def launch(
    state: Path, options: Sequence[str] = (), *, owned: bool = True, ready_real_s: float = READY_REAL_S
) -> Launched:
    """Start `nightspot emulate sagemaker --state STATE OPTIONS` and wait until it is ready.

    `owned`: it is killed when the calling thread ends, however that happens. Without it, it leaves us, and lives until it is stopped
    (`--idle-exit` is for that). EmulatorError, with its own words, where it does not get ready; EmulatorOptionError where its options make
    no sense.
    """
    state = state.absolute()
    state.mkdir(parents=True, exist_ok=True)
    log = state / LOG
    offset = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "nightspot.cli", "emulate", "sagemaker", "--state", str(state), *options],
            cwd=state,  # and not where a user's own json.py may lie
            env=without_aws(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C in our terminal is ours
            preexec_fn=dies_with_parent() if owned else None,
        )
    return Launched(process, _ready(process, log, offset, ready_real_s), log)


def _ready(process: subprocess.Popen[bytes], log: Path, offset: int, budget_real_s: float) -> str:
    """Its address, as it prints it."""
    until_s = time.monotonic() + budget_real_s
    while True:
        ended = process.poll() is not None
        said = log.read_bytes()[offset:].decode("utf-8", "replace")
        for line in said.splitlines(keepends=True):
            if line.startswith(READY) and line.endswith("\n"):
                return line[len(READY) :].strip()
        if ended or time.monotonic() >= until_s:
            process.kill()
            if process.wait() == ExitCode.USAGE:
                raise EmulatorOptionError(_of_options(said))
            raise EmulatorError(f"the emulator did not get ready: {said.strip()[-500:] or 'it said nothing'}")
        time.sleep(LOOK_EVERY_REAL_S)


def _of_options(said: str) -> str:
    """What is wrong with them, in one line: without the usage, and the frame that a command line puts around it."""
    lines = [line.strip("│| ") for line in said.splitlines() if line.startswith(("│", "|", "Error: ", "nightspot: "))]
    text = " ".join(line for line in lines if line) or said
    return re.sub(r"^(Error|nightspot): ", "", " ".join(text.split()))[:500]
