"""Emulators from one warm process: it has imported all that `nightspot emulate` imports, and forks each of them from there.

For tests that need an emulator as a process and say nothing of how it starts: more than a second of imports each is spared.
As a program (`python -m tests.emulator.warm`): one JSON request a line, {"words", "environment", "output", "errors"} or {"wait": PID}.
Answers, a line each: {"pid"} or {"code"}, negative where a signal ended it. With its input's end it ends, and takes along what it began.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Mapping, Sequence

ROOT = Path(__file__).parents[2]
READY, LOOK_EVERY_S = "ready ", 0.01


@dataclass(frozen=True)
class Forked:
    """One that answers at `url`."""

    pid: int
    url: str
    _warm: Warm

    def end(self, patience_s: float) -> int:
        """SIGTERM, and wait; SIGKILL where that takes too long. Its exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self._warm.wait(self.pid, patience_s)


class Warm:
    """The warm process. It dies with this one."""

    def __init__(self) -> None:
        words = [sys.executable, "-m", "tests.emulator.warm"]
        self._process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def emulator(self, words: Sequence[str], environment: Mapping[str, str], folder: Path, patience_s: float) -> Forked:
        """`nightspot WORDS`, once it is ready; its log in the folder. AssertionError, with what it said, where it does not get there."""
        output, errors = folder / "emulator.out", folder / "emulator.log"
        output.write_bytes(b"")
        named = {"output": str(output), "errors": str(errors)}
        self._ask({"words": list(words), "environment": dict(environment), **named})
        pid = int(self._heard(patience_s)["pid"])
        until_s = time.monotonic() + patience_s
        while not (said := output.read_text()).endswith("\n"):
            if time.monotonic() > until_s or not _lives(pid):
                raise AssertionError(f"the emulator did not start: {errors.read_text()[-2000:]}")
            time.sleep(LOOK_EVERY_S)
        assert said.startswith(READY), said
        return Forked(pid, said.split()[1], self)

    def wait(self, pid: int, patience_s: float) -> int:
        self._ask({"wait": pid})
        try:
            return int(self._heard(patience_s)["code"])
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            return int(self._heard(patience_s)["code"])

    def _ask(self, request: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()

    def _heard(self, patience_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        there, _, _ = select.select([self._process.stdout], [], [], patience_s)
        if not there:
            raise TimeoutError
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


@lru_cache(maxsize=1)
def warm() -> Warm:
    """The one of this process."""
    return Warm()


def _lives(pid: int) -> bool:
    """A child of the warm process that has ended is a zombie until it is waited for."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def main() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication  # noqa: F401 - imported by all that are forked

    import nightspot.cli.app
    import nightspot.emulator.factory
    import nightspot.emulator.server

    begun: set[int] = set()
    for line in iter(sys.stdin.readline, ""):  # with nothing read ahead of what is asked
        request = json.loads(line)
        if "wait" in request:
            code = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
            begun.discard(request["wait"])
            print(json.dumps({"code": code}), flush=True)  # noqa: T201 - the answer
            continue
        pid = os.fork()
        if pid == 0:
            _become(request, nightspot.cli.app.invoke)
        begun.add(pid)
        print(json.dumps({"pid": pid}), flush=True)  # noqa: T201 - the answer
    for pid in begun:
        os.kill(pid, signal.SIGKILL)


def _become(request: Mapping[str, Any], invoke: Any) -> None:
    """The emulator, in this process; never returns."""
    for number, path in ((0, os.devnull), (1, request["output"]), (2, request["errors"])):
        os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
    os.environ.clear()
    os.environ.update(request["environment"])
    code = 1
    try:
        code = invoke(request["words"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
