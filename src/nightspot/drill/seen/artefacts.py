"""Reads finished models, in a process of the Python that trains: it has the libraries for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Optional, Sequence

from nightspot.drill.record import Artefact
from nightspot.drill.seen import tensors

PYTHONS = ("python", "pypy")


class Reader:
    """Started once; answers for one file at a time, from any thread. Where it dies, whole files are compared."""

    def __init__(self, command: Sequence[str], directory: Path) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [python_of(command), "-I", tensors.__file__],
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def read(self, path: Path, shown: Path) -> Optional[Artefact]:
        """None where there is no such file or folder. shown: what it is called in the sandbox."""
        if not path.exists():
            return None
        answer = self._ask(path)
        if answer is None or "fault" in answer:
            return Artefact(str(shown), tensors.bytes_of(path)) if path.is_file() else None
        return Artefact(str(shown), answer["digest"], answer["tensors"])

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _ask(self, path: Path) -> Optional[dict[str, Any]]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None  # noqa: S101 - made above
        with self._lock:
            try:
                stdin.write(json.dumps(str(path)) + "\n")
                stdin.flush()
                answer = json.loads(stdout.readline())
            except (OSError, ValueError):
                return None
        return answer if isinstance(answer, dict) else None


def python_of(command: Sequence[str]) -> str:
    """The interpreter that the command begins with; ours where it begins with something else."""
    first = command[0] if command else ""
    found = shutil.which(first) if Path(first).name.startswith(PYTHONS) else None
    return found or sys.executable
