"""Hooks: the user's own commands, run to tell somebody. Whatever they do, the night goes on."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from typing import IO

TIMEOUT_S = 60.0
SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class HookCall:
    """What a hook is told, as NIGHTSPOT_RUN_ID, NIGHTSPOT_OUTCOME and NIGHTSPOT_MESSAGE."""

    run_id: str
    outcome: str
    message: str

    def environment(self) -> dict[str, str]:
        """Ours, and what it is told."""
        told = {"NIGHTSPOT_RUN_ID": self.run_id, "NIGHTSPOT_OUTCOME": self.outcome, "NIGHTSPOT_MESSAGE": self.message}
        return {**os.environ, **told}


def run_hook(command: str, call: HookCall, timeout_s: float = TIMEOUT_S) -> str:
    """Run it by the shell, at most `timeout_s` real seconds, and say in a sentence what came of it. Raises nothing."""
    try:
        return _run(command, call, timeout_s)
    except (OSError, ValueError) as error:
        return f"the hook could not be run: {error}"


def _run(command: str, call: HookCall, timeout_s: float) -> str:
    process = subprocess.Popen(  # noqa: S602 - a hook is a line for the shell, written by the user
        command,
        shell=True,
        env=call.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    with process:
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            return f"the hook took longer than {timeout_s:g} s and was killed"
    text = _short(output)
    if process.returncode == 0:
        return f"the hook ran: {text}" if text else "the hook ran"
    return f"the hook failed with code {process.returncode}" + (f": {text}" if text else "")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    _close(process.stdout)


def _close(pipe: IO[bytes] | None) -> None:
    """Something that left the group may hold the pipe open: it is not waited for."""
    if pipe is not None:
        pipe.close()


def _short(output: bytes) -> str:
    text = " ".join(output.decode(errors="replace").split())
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
