"""`nightspot run` as a process of its own, heard from a notebook.

It has a session of its own and writes to a file: a kernel that dies leaves the controller at work, and the deadline guarded.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

from nightspot.errors import ExitCode, StoppedError
from nightspot.sagemaker.errors import NightNotRunError
from nightspot.sagemaker.night import Night

LOOK_S = 0.2
# How long a controller that was told to leave may take to say so.
LEAVE_S = 60.0
SAYS, TELLS = "night.log", "night.json"
Say = Callable[[str], None]


def run_night(file: Path, arguments: Sequence[str], environment: Mapping[str, str], say: Say) -> Night:
    """Run the night of that job file to its end, saying each line as it comes.

    Raises StoppedError where Ctrl-C left it running, NightNotRunError where it did not come to a night.
    """
    command = [sys.executable, "-m", "nightspot.cli", *arguments]
    with (file.parent / SAYS).open("w+b") as says, (file.parent / TELLS).open("w+b") as tells:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=tells,
            stderr=says,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        heard = _Lines(file.parent / SAYS, say)
        try:
            code = _until_the_end(child, heard)
        except KeyboardInterrupt:
            raise StoppedError(_left(child, heard, file)) from None
    return _night(file, code, heard)


class _Lines:
    """What has been said so far, line by line, from a file that grows."""

    def __init__(self, path: Path, say: Say) -> None:
        self._path, self._say = path, say
        self._offset, self.last = 0, ""

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
    again = f"in the notebook: call fit again; in a shell: nightspot run {file}"
    return f"{heard.last or 'left'}. To go on, {again}" if code == ExitCode.LEFT_RUNNING else heard.last or "left"


def _night(file: Path, code: int, heard: _Lines) -> Night:
    facts = _told(file.parent / TELLS)
    if facts is None:
        sentence = heard.last.removeprefix("nightspot: ") or f"`nightspot run {file}` ended with {code}"
        raise NightNotRunError(sentence, code)
    if facts["outcome"] is None:
        raise StoppedError(f"{heard.last or 'left'}. To go on, call fit again; in a shell: nightspot run {file}")
    return Night.of(facts, file, code)


def _told(path: Path) -> dict[str, Any] | None:
    try:
        facts = json.loads(path.read_text("utf-8"))
    except ValueError:
        return None
    return facts if isinstance(facts, dict) else None
