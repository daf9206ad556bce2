"""`nightspot run` as a process of its own, heard from a notebook.

It has a session of its own and writes to a file: a kernel that dies leaves the controller at work, and the deadline guarded.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

from nightspot.errors import ExitCode, StoppedError
from nightspot.sagemaker.errors import NightNotRunError
from nightspot.sagemaker.night import Night

LOOK_S = 0.2
# How long a controller that was told to leave may take to say so.
LEAVE_S = 60.0
LOG = "night.log"
FRESH = "fit(..., fresh=True)"
Say = Callable[[str], None]


def run_night(file: Path, arguments: Sequence[str], environment: Mapping[str, str], say: Say) -> Night:
    """Run the night of that job file to its end, saying each line as it comes.

    Raises StoppedError where Ctrl-C left it running, NightNotRunError where it did not come to a night.
    """
    command = [sys.executable, "-m", "nightspot.cli", *arguments]
    log = file.parent / LOG
    with log.open("ab") as says, tempfile.TemporaryFile() as tells:
        heard = _Lines(log, says.tell(), lambda line: say(in_a_notebook(line, file)))
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=tells,
            stderr=says,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        try:
            code = _until_the_end(child, heard)
        except KeyboardInterrupt:
            raise StoppedError(_left(child, heard, file)) from None
        tells.seek(0)
        return _night(file, code, heard, tells.read())


class _Lines:
    """What has been said since an offset, line by line, from a file that grows: one controller after the other writes to it."""

    def __init__(self, path: Path, offset: int, say: Say) -> None:
        self._path, self._say = path, say
        self._offset, self.last = offset, ""

    def hear(self, *, to_the_end: bool = False) -> None:
        """Say each whole line that is new; at the end the rest, too."""
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            content = stream.read()
        whole = content if to_the_end else content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            self.last = line
            self._say(line)


def _until_the_end(child: subprocess.Popen[bytes], heard: _Lines) -> int:
    while True:
        try:
            code = child.wait(LOOK_S)
        except subprocess.TimeoutExpired:
            heard.hear()
            continue
        heard.hear(to_the_end=True)
        return code


def _left(child: subprocess.Popen[bytes], heard: _Lines, file: Path) -> str:
    """Tell the controller to leave. Its last sentence says what goes on without it, and how to go on with it."""
    child.send_signal(signal.SIGTERM)
    try:
        code = child.wait(LEAVE_S)
    except subprocess.TimeoutExpired:
        return (
            f"the controller (pid {child.pid}) still leaves the night of {file}; `nightspot status` says how it stands"
        )
    heard.hear(to_the_end=True)
    last = in_a_notebook(heard.last, file) or "left"
    return f"{last}. {_again(file)}" if code == ExitCode.LEFT_RUNNING else last


def _again(file: Path) -> str:
    """The file says all of the job; how AWS is reached, it does not."""
    shell = f"in a shell with the same AWS settings: nightspot run {shlex.quote(str(file.absolute()))}"
    return f"To go on, in the notebook: call fit again, without fresh=True; {shell}"


def in_a_notebook(line: str, file: Path) -> str:
    """The command's sentence with the notebook's word for `--fresh`."""
    return re.sub(rf"(nightspot run {re.escape(str(file))} )?--fresh\b", FRESH, line)


def _night(file: Path, code: int, heard: _Lines, told: bytes) -> Night:
    facts = _facts(told)
    if facts is None:
        sentence = (
            in_a_notebook(heard.last, file).removeprefix("nightspot: ") or f"`nightspot run {file}` ended with {code}"
        )
        raise NightNotRunError(sentence, code)
    if facts["outcome"] is None:
        raise StoppedError(f"{in_a_notebook(heard.last, file) or 'left'}. {_again(file)}")
    return Night.of(facts, file, code)


def _facts(told: bytes) -> dict[str, Any] | None:
    try:
        facts = json.loads(told)
    except ValueError:
        return None
    return facts if isinstance(facts, dict) else None
