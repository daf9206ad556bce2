"""A training's side of its bucket: hands committed checkpoints to the uploader, hears what became of them, fetches the newest."""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Union

from nightspot.checkpoint import _boto3, bucket_look, manifest
from nightspot.checkpoint.bucket_objects import Bucket, split
from nightspot.checkpoint.download import Fetcher
from nightspot.checkpoint.errors import ConfigError
from nightspot.checkpoint.manifest import Manifest
from nightspot.checkpoint.store_errors import BusyError, DeniedError, StoreError
from nightspot.checkpoint.store_patience import Patience
from nightspot.checkpoint.uploader import UNCONDITIONAL, Task

BANDWIDTH = "NIGHTSPOT_STORE_BANDWIDTH"
FETCH_PATIENCE_S = 120.0
MOST_STARTS = 3
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from nightspot.checkpoint import uploader; uploader.main("
)
_PROGRAM += "int(sys.argv[2]), uploader.Task(**json.loads(sys.argv[3])))"


@dataclass(frozen=True, slots=True)
class Stored:
    """That checkpoint is in the bucket, whole: it will survive this machine. sent: False if it was there before."""

    name: str
    upload_s: float
    sent: bool = True


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer one came before its upload began: it stays on this machine only."""

    name: str


@dataclass(frozen=True, slots=True)
class Failed:
    """It could not be stored. `final`: going on would be wrong (two trainings share a prefix, the bucket is no store)."""

    name: str
    why: str
    final: bool


@dataclass(frozen=True, slots=True)
class Said:
    """Something the user should hear of."""

    message: str


Outcome = Union[Stored, Superseded, Failed, Said]


@dataclass(frozen=True, slots=True)
class Retained:
    """What stays in the bucket: the newest `keep`, and every `keep_every`-th by its number."""

    keep: int = 2
    keep_every: int | None = None


class Store:
    """The bucket below `uri` for the checkpoints of one training, whose local folder is `folder`.

    attempt: this training's; a late upload of an earlier one is no sign of a second training. Raises ConfigError for a URI or
    a variable that makes no sense, and where boto3 is missing.
    """

    def __init__(
        self,
        uri: str,
        folder: Path,
        retained: Retained = Retained(),
        *,
        attempt: int = 0,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        split(uri)
        _boto3.require()
        self.uri, self.folder = uri, folder
        self.highest = 0  # the highest number seen in the bucket: new checkpoints must be above it
        bytes_per_s, free = bandwidth(environment), environment.get(UNCONDITIONAL) == "1"
        where, kept = (uri, str(folder.absolute())), (retained.keep, retained.keep_every)
        self._task = Task(*where, *kept, attempt, os.getpid(), bytes_per_s, free)
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._left, self._starts = b"", 0
        self._untold: list[Outcome] = []  # what happened here, and goes with what is heard next
        self._waiting: str | None = None  # the newest submitted one whose outcome is not known

    @property
    def waiting(self) -> str | None:
        """The newest checkpoint that was submitted and of which nothing was heard yet."""
        return self._waiting

    def fetch(
        self,
        above: int,
        warn: Callable[[str], None],
        check: Callable[[Manifest], None] = lambda _found: None,
        staging: Path | None = None,
        patience_s: float = FETCH_PATIENCE_S,
    ) -> Manifest | None:
        """Put the bucket's newest whole checkpoint with a number higher than `above` into the folder; None: there is none.

        Damaged ones are passed over by a `warn`ing. check: raises ConfigError for one this training must not go on from.
        Raises StoreError where the bucket does not answer for so long, ConfigError where it will not, OSError (disk full).
        """
        ask = Patience(give_up_s=time.monotonic() + patience_s)
        try:
            bucket = ask(lambda: Bucket(self.uri))
            numbers = [manifest.number(name) for name in bucket_look.names(bucket, ask)]
            self.highest = max(numbers + _begun(bucket, ask), default=0)
            return Fetcher(bucket, self.folder, ask, warn, check, staging).newest(above)
        except DeniedError as error:
            raise ConfigError(f"the store cannot be used: {error}") from error
        except BusyError as error:
            raise StoreError(f"{self.uri} does not answer, and nobody knows what is in it: {error}") from error

    def start(self) -> None:
        """Start the uploader before there is anything to upload: what is wrong with the bucket is heard early."""
        if (why := self._unstarted()) is not None:
            self._untold.append(Said(f"{why}; it is tried again at the next checkpoint"))

    def submit(self, name: str) -> None:
        """Upload this committed checkpoint, in the background, before all that were submitted earlier and are not begun."""
        if (why := self._unstarted()) is not None:
            self._waiting = None
            self._untold.append(Failed(name, why, final=False))
            return
        self._waiting = name
        self._send(name)

    def poll(self) -> list[Outcome]:
        """What became of checkpoints since the last call. Never waits."""
        return self._hear(0.0)

    def finish(self, within_s: float) -> list[Outcome]:
        """Wait until the newest submitted one is stored, or known not to be, at most so long; `waiting` is None then."""
        give_up_s, heard = time.monotonic() + within_s, self.poll()
        while self._waiting is not None and (left_s := give_up_s - time.monotonic()) > 0:
            heard += self._hear(min(left_s, 0.5))
        return heard

    def close(self) -> None:
        """Let go: the uploader finishes what it was told, then ends."""
        if self._channel is not None:
            self._channel.close()
        self._channel = None

    def _unstarted(self) -> str | None:
        """Why there is no uploader; None: there is one. Training must not end because no process can be started."""
        if self._channel is not None:
            return None
        try:
            self._start()
        except OSError as error:
            return f"the uploader cannot be started: {error}"
        return None

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        words = [json.dumps(sys.path), str(theirs.fileno()), json.dumps(asdict(self._task))]
        # Our process group: whoever ends this training's group ends it as well. Our stderr: only faults are said there.
        command, nowhere = [sys.executable, "-c", _PROGRAM, *words], subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=nowhere, stdout=nowhere)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.settimeout(0)
        self._channel, self._left, self._starts = ours, b"", self._starts + 1

    def _send(self, name: str) -> None:
        if self._channel is not None:
            with contextlib.suppress(OSError):  # it died: the next look notices, and starts another
                self._channel.settimeout(5.0)
                self._channel.sendall(json.dumps({"submit": name}).encode() + b"\n", socket.MSG_NOSIGNAL)

    def _hear(self, within_s: float) -> list[Outcome]:
        if self._untold:
            told, self._untold = self._untold, []
            return told
        if self._channel is None:
            return []
        try:
            self._channel.settimeout(within_s)
            heard = self._channel.recv(1 << 16)
        except (BlockingIOError, TimeoutError):
            return []
        except OSError:
            heard = b""
        if not heard:
            return self._died()
        *lines, self._left = (self._left + heard).split(b"\n")
        return [self._outcome(json.loads(line)) for line in lines]

    def _died(self) -> list[Outcome]:
        """An uploader does not end while we live: it was killed, or has a fault. Another one, a few times."""
        self.close()
        if self._waiting is None:
            return []
        if self._starts >= MOST_STARTS:
            lost, self._waiting = self._waiting, None
            return [
                Failed(lost, f"the uploader ended {MOST_STARTS} times before it had uploaded anything", final=False)
            ]
        self.submit(self._waiting)
        return [] if self._untold else [Said("the uploader ended before its time, and was started again")]

    def _outcome(self, told: dict[str, Any]) -> Outcome:
        kind, name = told["kind"], told.get("name", "")
        if kind == "said":
            return Said(told["message"])
        if name == self._waiting or kind == "refused":
            self._waiting = None
        if kind == "stored":
            self._starts = 1
            return Stored(name, told["upload_s"], told["sent"])
        if kind == "superseded":
            return Superseded(name)
        return Failed(name, told["why"], bool(told.get("final", True)))


def _begun(bucket: Bucket, ask: Patience) -> list[int]:
    """Numbers of which no object is there yet, but parts of some: an earlier attempt's uploader may still be at work on them,
    elsewhere, and must not meet ours under one name. Where that may not be asked for, none.
    """
    try:
        steps = {key.partition("/")[0] for key, _ in ask(bucket.uploads)}
    except BusyError:
        raise
    except StoreError:
        return []
    return [manifest.number(step) for step in steps if bucket_look.NAME.fullmatch(step)]


def bandwidth(environment: Mapping[str, str]) -> float | None:
    """Bytes a second that uploads may take; None: as much as there is. Raises ConfigError."""
    value = environment.get(BANDWIDTH)
    if not value:
        return None
    try:
        bytes_per_s = float(value)
    except ValueError:
        bytes_per_s = math.nan
    if not (bytes_per_s > 0 and math.isfinite(bytes_per_s)):
        raise ConfigError(f"${BANDWIDTH} = {value!r}: expected bytes a second, above 0")
    return bytes_per_s
