"""What training says to whoever watches: JSON lines, each appended by a single write."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path


class Progress:
    """Appends lines to a file; None: says nothing. Never stops the training: trouble goes to stderr, once."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._torn = False
        self._complained = False

    def report(self, kind: str, **fields: object) -> None:
        """Append one line; `fields` must be JSON values, numbers finite."""
        if self._path is None:
            return
        line = json.dumps({"kind": kind, **fields}, allow_nan=False).encode() + b"\n"
        try:
            self._append(line)
        except OSError as error:
            self._complain(error)

    def close(self) -> None:
        """Let go of the file; a later report opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _append(self, line: bytes) -> None:
        if self._descriptor is None:
            self._descriptor = self._open()
        if self._torn:  # or this line would be lost with the torn one
            line = b"\n" + line
        self._torn = os.write(self._descriptor, line) != len(line)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(str(self._path), flags, 0o666)
        size_bytes = os.fstat(descriptor).st_size
        self._torn = size_bytes > 0 and os.pread(descriptor, 1, size_bytes - 1) != b"\n"
        return descriptor

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            print(f"nightspot: cannot report progress to {self._path}: {error}", file=sys.stderr)  # noqa: T201
        self._complained = True


def not_finite(metrics: Mapping[str, float]) -> list[str]:
    """Names of metrics that are NaN or infinite."""
    return [name for name, value in metrics.items() if not math.isfinite(value)]
