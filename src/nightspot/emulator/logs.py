"""What a program prints, line by line: to CloudWatch Logs, to a file, and to whoever listens for metrics."""

from __future__ import annotations

import os
import select
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO, Callable

from botocore.exceptions import BotoCoreError, ClientError

GROUP = "/aws/sagemaker/TrainingJobs"
SEND_EVERY_REAL_S = 0.5
CHUNK_BYTES = 1 << 16
LONGEST_LINE_BYTES = 1 << 16
# CloudWatch's own limits are 10,000 events and 1 MiB; each event counts 26 bytes more than its text.
MOST_EVENTS, MOST_BYTES, EVENT_BYTES = 5000, 900_000, 26
# All of it stays in the emulator's memory, where an event takes about so much more than its text.
KEPT_BYTES, KEPT_EVENT_BYTES = 64 << 20, 512
TRIES, TRY_AGAIN_REAL_S = 3, 0.2
FULL = f"[emulator] this instance has printed {KEPT_BYTES >> 20} MiB: what follows is not kept"
Listener = Callable[[str], None]


class LogStream:
    """One stream of the group. A restarted job goes on in the stream it had: the SageMaker SDK follows one for each host."""

    def __init__(self, client: Any, job_name: str, incarnation: int) -> None:
        self._client, self._prefix = client, f"{job_name}/algo-1-"
        self._incarnation, self._name, self._last_ms = incarnation, "", 0

    def put(self, lines: list[tuple[int, str]]) -> bool:
        """(milliseconds of real time, text) of each. False where they were not taken: they are lost."""
        for _ in range(TRIES):
            try:
                self._client.put_log_events(
                    logGroupName=GROUP, logStreamName=self._opened(), logEvents=[self._event(*line) for line in lines]
                )
            except (ClientError, BotoCoreError):
                time.sleep(TRY_AGAIN_REAL_S)
            else:
                return True
        return False

    def _event(self, at_ms: int, text: str) -> dict[str, Any]:
        self._last_ms = max(self._last_ms, at_ms)  # the clock may be set back, a stream may not
        return {"timestamp": self._last_ms, "message": text}

    def _opened(self) -> str:
        if not self._name:
            self._make(self._client.create_log_group, logGroupName=GROUP)
            name = (self._former() if self._incarnation > 1 else None) or f"{self._prefix}{int(time.time())}"
            self._make(self._client.create_log_stream, logGroupName=GROUP, logStreamName=name)
            self._name = name
        return self._name

    def _former(self) -> str | None:
        found = self._client.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=self._prefix)["logStreams"]
        return max((str(one["logStreamName"]) for one in found), default=None)

    @staticmethod
    def _make(create: Callable[..., Any], **names: str) -> None:
        try:
            create(**names)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                raise


class LogPump(threading.Thread):
    """Reads a pipe until its end. Memory is bounded: while a batch is on its way, the program waits for its pipe."""

    def __init__(self, pipe: int, stream: LogStream, file: Path, listener: Listener) -> None:
        """`pipe`: a descriptor for reading, that is closed at the end. `file`: a copy of what is kept."""
        super().__init__(name="log pump", daemon=True)
        self._pipe, self._stream, self._path, self._listener = pipe, stream, file, listener
        self._partial, self._batch, self._batch_bytes, self._kept_bytes = b"", list[tuple[int, str]](), 0, 0

    def run(self) -> None:
        """Ends when nobody can write to the pipe any more."""
        try:
            with self._path.open("ab") as copy:
                self._pump(copy)
        finally:
            os.close(self._pipe)

    def _pump(self, copy: BinaryIO) -> None:
        due_s = time.monotonic() + SEND_EVERY_REAL_S
        while True:
            if select.select([self._pipe], [], [], max(0.0, due_s - time.monotonic()))[0]:
                chunk = os.read(self._pipe, CHUNK_BYTES)
                if not chunk:
                    break
                self._split(chunk, copy)
            if time.monotonic() >= due_s:
                self._send()
                due_s = time.monotonic() + SEND_EVERY_REAL_S
        self._take(self._partial, copy)
        self._send()

    def _split(self, chunk: bytes, copy: BinaryIO) -> None:
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        for line in lines:
            self._take(line, copy)
        if len(self._partial) > LONGEST_LINE_BYTES:
            self._take(self._partial, copy)
            self._partial = b""

    def _take(self, line: bytes, copy: BinaryIO) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        if not text:
            return  # CloudWatch takes no empty events
        self._listener(text)
        if self._kept_bytes > KEPT_BYTES:
            return
        self._kept_bytes += len(line) + KEPT_EVENT_BYTES
        self._add(text if self._kept_bytes <= KEPT_BYTES else FULL)
        copy.write(line + b"\n")
        copy.flush()

    def _add(self, text: str) -> None:
        self._batch.append((int(time.time() * 1000), text))
        self._batch_bytes += len(text.encode()) + EVENT_BYTES
        if len(self._batch) >= MOST_EVENTS or self._batch_bytes >= MOST_BYTES - LONGEST_LINE_BYTES * 3:
            self._send()

    def _send(self) -> None:
        if self._batch:
            self._stream.put(self._batch)
        self._batch, self._batch_bytes = [], 0
