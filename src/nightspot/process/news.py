"""news.jsonl: what happened in an Attempt, in order, one line each. One writer, any number of readers; a line's number is the cursor."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Mapping

Line = Mapping[str, Any]


class NewsWriter:
    """Appends. What cannot be written now (the disk is full) is kept, and written before the next."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._waiting: list[bytes] = []

    def add(self, kind: str, at_utc: float, **fields: object) -> None:
        """One more line. Raises nothing for a full disk."""
        line = {"kind": kind, "at_utc": at_utc, **fields}
        self._waiting.append(json.dumps(line, allow_nan=False).encode() + b"\n")
        self.flush()

    def flush(self) -> bool:
        """Write what waits. False where some still does."""
        while self._waiting:
            if not self._append(self._waiting[0]):
                return False
            del self._waiting[0]
        return True

    def close(self) -> None:
        """On the disk, as far as it goes."""
        self.flush()
        try:
            os.fsync(self._descriptor)
        except OSError:
            return
        finally:
            os.close(self._descriptor)

    def _append(self, line: bytes) -> bool:
        """Whole, or not at all: half a line would swallow the next."""
        size_bytes = os.fstat(self._descriptor).st_size
        try:
            whole = os.write(self._descriptor, line) == len(line)
        except OSError:
            return False
        if not whole:
            os.ftruncate(self._descriptor, size_bytes)
        return whole


class NewsReader:
    """Reads on from a cursor; remembers where in the file that is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line, self._offset_bytes = 0, 0

    def since(self, cursor: int) -> tuple[int, list[Line]]:
        """The whole lines from line `cursor` on, and the cursor after them. A torn last line is not there yet."""
        if cursor < self._line:
            self._line, self._offset_bytes = 0, 0
        text = self._rest()
        whole = text.split(b"\n")[:-1]
        skipped = max(0, cursor - self._line)
        self._line += len(whole)
        self._offset_bytes += sum(len(line) + 1 for line in whole)
        return max(cursor, self._line), [_parsed(line) for line in whole[skipped:]]

    def _rest(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset_bytes)
                return file.read()
        except FileNotFoundError:
            return b""


def _parsed(line: bytes) -> Line:
    """After a power cut there may be anything: it keeps its number, and says nothing."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
