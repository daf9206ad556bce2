"""An emulated SageMaker in a process of its own, for the length of a test."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

# Real time, but for what is waiting and nothing else.
QUICK = ("--start-delay", "1s", "--download-delay", "1s", "--upload-delay", "1s", "--sync-every", "1s")


@contextmanager
def emulator(state: Path, *options: str) -> Iterator[str]:
    """Its address. It ends with 0 when it is told to."""
    command = [sys.executable, "-m", "nightspot.cli", "emulate", "sagemaker", "--state", str(state), *QUICK, *options]
    with (state.parent / "emulator.log").open("w+b") as log:
        served = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert served.stdout is not None
            line = served.stdout.readline()
            assert line.startswith("ready "), Path(log.name).read_text()
            yield line.split()[1]
        finally:
            served.terminate()
            code = served.wait(30)
            if served.stdout is not None:
                served.stdout.close()
    assert code == 0
