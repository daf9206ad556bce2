"""The way to the controller and back, by objects in the bucket. Docs: docs/training-protocol.md.

What is said by the controller: `stop`, `checkpoint`, `go`. What is said to it: `progress.json`. Trouble is never fatal: it is tried
again, ever later.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any, Callable

from nightspot.inside.bucket import Bucket, Trouble
from nightspot.inside.pace import Pace, Turn
from nightspot.inside.tally import Tally

FORMAT = 1
WORDS = ("stop", "checkpoint", "go")
PROGRESS = "progress.json"
TICK_S = 0.25
FAREWELL_S, FAREWELL_TRIES = 12.0, 3


class Channel:
    """One incarnation's. `stage`: waiting (for `go`), started, ended."""

    def __init__(self, uri: str | None, tally: Tally, pace: Pace, hear: Callable[[str], None], *, speaks: bool) -> None:
        """hear: called with each word, again for each newer object of it. uri: s3://BUCKET/PREFIX/; None: there is no channel."""
        self._uri, self._connected = uri, False
        self._bucket: Bucket | None = None
        self._tally, self._hear, self._speaks = tally, hear, speaks
        self._look_turn, self._report_turn = Turn(pace.look_s, pace.trouble_s), Turn(pace.report_s, pace.trouble_s)
        self._heard: dict[str, str] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._fixed: dict[str, Any] = {"format": FORMAT, "incarnation": os.urandom(6).hex(), "started_utc": time.time()}
        self._stage: dict[str, Any] = {"stage": "waiting", "notice": None, "exit_code": None}
        self._counter, self._reported, self._urgent = 0, -1, 0

    def connect(self) -> bool:
        """Whether there is a channel. The first call loads boto3, which takes a moment."""
        if not self._connected and self._uri is not None:
            try:
                self._bucket = Bucket(self._uri)
            except Trouble as trouble:
                self._tally.warn(str(trouble))
        self._connected = True
        return self._bucket is not None

    def look(self) -> None:
        """Hear what is new, if it is time to look."""
        if self._bucket is None or not self._look_turn.due():
            return
        try:
            found = {object_.name: object_.version for object_ in self._bucket.found() if object_.name in WORDS}
        except Trouble:
            self._look_turn.badly()
            return
        self._look_turn.well()
        for word in WORDS:
            if word in found and found[word] != self._heard.get(word):
                self._heard[word] = found[word]
                self._hear(word)

    def report(self) -> None:
        """Say how it stands, if there is anything new and it is time; at once what is urgent."""
        self._tally.listen()
        urgent = self._tally.urgent != self._urgent and not self._report_turn.troubled
        if self._tally.changes != self._reported and (urgent or self._report_turn.due()):
            self._upload()

    def enter(self, stage: str) -> None:
        """A new stage, said at the next report, which is at once."""
        self._change(stage=stage)

    def note(self, notice: dict[str, Any]) -> None:
        """The script was told that it is about to end. Called from a signal handler too: no locks, no network."""
        self._change(notice=notice)

    def begin(self) -> None:
        """From now on listen and report beside the training."""
        self.enter("started")
        self._thread = threading.Thread(target=self._run, name="nightspot-channel", daemon=True)
        self._thread.start()

    def end(self, exit_code: int) -> None:
        """Say the last word. Returns when it is said, or has been tried for long enough."""
        self._change(stage="ended", exit_code=exit_code)
        self._ended.set()
        if self._thread is not None:
            self._thread.join(FAREWELL_S)
        elif self.connect():
            self._farewell()

    def _run(self) -> None:
        if not self.connect():
            return
        while not self._ended.wait(TICK_S):
            try:
                self.look()
                self.report()
            except Exception as error:  # a traceback would end up in the script's output
                self._tally.warn(f"the control channel failed: {error!r}")
                return
        self._farewell()

    def _farewell(self) -> None:
        self._tally.listen()
        for attempt in range(FAREWELL_TRIES):
            time.sleep(attempt)
            if self._upload():
                return

    def _change(self, **changes: Any) -> None:
        self._stage = {**self._stage, **changes}
        self._tally.changes += 1
        self._tally.urgent += 1

    def _upload(self) -> bool:
        if self._bucket is None or not self._speaks:
            return True
        changes, urgent = self._tally.changes, self._tally.urgent
        self._counter += 1
        document = {**self._fixed, "counter": self._counter, **self._stage, **self._tally.document()}
        try:
            self._bucket.put(PROGRESS, json.dumps(document).encode())
        except Trouble:
            self._report_turn.badly()
            return False
        self._reported, self._urgent = changes, urgent
        self._report_turn.well()
        return True
