"""Runs the user's script as if nobody were there, and speaks for the controller meanwhile.

Output, input, arguments and exit code are the script's own. It gets a process group, and loses its life with ours.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Sequence

from nightspot.checkpoint.retention import LOADING
from nightspot.inside.bucket import Bucket, Trouble
from nightspot.inside.channel import Channel
from nightspot.inside.child import Child
from nightspot.inside.command import command
from nightspot.inside.failure import CONFIG, START_AGAIN, say, write_failure
from nightspot.inside.limit import Limit
from nightspot.inside.ownfiles import quarantine_torn
from nightspot.inside.pace import pace
from nightspot.inside.places import Orders, Places, orders, places, told
from nightspot.inside.refresh import refresh
from nightspot.inside.tally import Tally

NOT_STARTED = 127
WAIT_S = 0.2
FETCH_TRIES, FETCH_WAIT_S = 5, 2.0


def run(arguments: Sequence[str], *, code: Path, packages: str, heard: Sequence[int] = ()) -> int:
    """Run the script of $NIGHTSPOT_SCRIPT to its end. Returns its exit code, 128 + N where signal N killed it.

    code: folder of the user's source. packages: what to put first on the script's PYTHONPATH, so that it finds nightspot.
    heard: grows by each SIGTERM until we listen ourselves.
    """
    where = places(os.environ)
    try:
        where.make()
        wanted = orders(os.environ)
    except (OSError, KeyError, ValueError) as error:
        say(where.failure, f"nightspot's wrapper cannot be set up: {error!r}")
        return CONFIG
    wrapper = Wrapper(where, wanted)
    wrapper.listen()
    if heard:
        wrapper.tell()
    return wrapper.run(arguments, code, packages)


class Wrapper:
    """One incarnation of one Attempt."""

    def __init__(self, where: Places, wanted: Orders) -> None:
        self._where, self._wanted = where, wanted
        self._child: Child | None = None
        self._told = self._gone = False
        self._tally = Tally(where.progress)
        self._channel = Channel(
            wanted.control_uri, self._tally, pace(wanted.time_scale), self._hear, speaks=wanted.speaks
        )

    def listen(self) -> None:
        """From now on SIGTERM is passed on, and the time is kept."""
        signal.signal(signal.SIGTERM, self._on_signal)
        Limit(self._wanted.tell_utc, self._wanted.kill_in_s, lambda: self.tell("limit"), self._kill).begin()

    def run(self, arguments: Sequence[str], code: Path, packages: str) -> int:
        """From the start, or the wait for `go`, to the last word."""
        exit_code = self._wait_for_go() if self._wanted.probe else None
        if exit_code is None:
            exit_code = self._train(arguments, code, packages)
        write_failure(self._where.failure, self._wanted.script, exit_code, told=self._told)
        self._channel.end(exit_code)
        return exit_code

    def _train(self, arguments: Sequence[str], code: Path, packages: str) -> int:
        environment = told(os.environ, self._where, packages)
        if self._wanted.pattern is not None:
            aside = self._where.scratch / "quarantine"
            quarantine_torn(self._where.checkpoints, self._wanted.pattern, self._wanted.units, aside, self._tally.warn)
        if self._told:  # before there was anything to tell it to
            return START_AGAIN
        try:
            self._child = Child(command(self._wanted.script, arguments, code), environment, code)
        except OSError as error:
            say(self._where.failure, f"{self._wanted.script}: it cannot be started: {error}")
            return NOT_STARTED
        if self._told:
            self._child.terminate()
        self._channel.begin()
        exit_code = self._child.wait()
        self._child = None
        if exit_code not in (0, START_AGAIN) and not self._told:
            keep_tries(self._where)
        return exit_code

    def _wait_for_go(self) -> int | None:
        """None: it may begin. Else the exit code of a PROBE that will not."""
        if not self._channel.connect():
            say(self._where.failure, "a PROBE needs a control channel, and this image has none: boto3 is missing")
            return CONFIG
        while not (self._told or self._gone):
            self._channel.look()
            self._channel.report()
            time.sleep(WAIT_S)
        return START_AGAIN if self._told else self._catch_up()

    def _catch_up(self) -> int | None:
        """The checkpoints as the predecessor left them. Older ones would mix two histories: better not to begin."""
        uri, why = self._wanted.checkpoints_uri, "nobody said where they are"
        for attempt in range(FETCH_TRIES if uri is not None else 0):
            try:
                refresh(Bucket(uri or ""), self._where.checkpoints, self._where.scratch)
            except (Trouble, OSError) as error:
                why = str(error)
                time.sleep(FETCH_WAIT_S * (attempt + 1))
            else:
                return None
            if self._told:
                break
        say(self._where.failure, f"the newest checkpoints cannot be fetched: {why}")
        return START_AGAIN

    def _hear(self, word: str) -> None:
        """In the main thread or the channel's."""
        if word == "stop":
            self.tell()
        elif word == "checkpoint":
            with suppress(OSError):  # a full disk would not take the checkpoint either
                self._where.save_request.touch()
        elif word == "go":
            self._gone = True

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.tell()

    def tell(self, reason: str = "stop") -> None:
        """The notice first, so that whoever hears the signal can read it; every signal is passed on."""
        if not self._told:
            notice = {"reason": reason, "kill_in_s": self._wanted.kill_in_s}
            write_notice(self._where.notice, notice)
            self._channel.note(notice)
        self._told = True
        if self._child is not None:
            self._child.terminate()

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()


def write_notice(path: Path, notice: object) -> None:
    """Whole, or not at all. A full disk must not keep the signal from the script."""
    arriving = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
    try:
        arriving.write_text(json.dumps(notice))
        arriving.replace(path)
    except OSError:
        return


def keep_tries(where: Places) -> None:
    """Loads of a checkpoint that ended in this crash: noted in the synced folder, so that the next machine counts them too."""
    for marker in where.staging.glob(f"{LOADING}*"):
        try:
            with (where.checkpoints / marker.name).open("ab") as file:
                file.write(marker.read_bytes())
            marker.unlink()
        except OSError:
            continue
