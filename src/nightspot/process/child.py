"""The training process: how it is started, and what it is told."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

from nightspot.process.files import write_soon, write_whole
from nightspot.process.folder import AttemptFolder
from nightspot.process.identity import Identity, identify
from nightspot.process.linux import dies_with_parent
from nightspot.process.spec import AttemptSpec
from nightspot.process.tree import descendants, send_all

# What another Attempt, around us, may have left in our own environment.
NOT_INHERITED = ("NIGHTSPOT_ARTIFACT", "NIGHTSPOT_FINGERPRINT")


class NotStartedError(Exception):
    """The command cannot be started, now or later."""


@dataclass(slots=True)
class Child:
    """The leader of its own session. `exit_code`: as a shell would have it, 128 + N for signal N; None while it runs."""

    process: subprocess.Popen[bytes]
    identity: Identity
    shielded: bool
    exit_code: int | None = None

    def tell(self) -> None:
        """SIGTERM to all of it. A sandbox would die of it and take the command along: it is passed over."""
        if self.shielded:
            send_all(descendants(self.identity.pid), signal.SIGTERM)
        else:
            _signal_group(self.identity.pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the group, in one call: none of it can start another in between."""
        _signal_group(self.identity.pid, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def start(spec: AttemptSpec, folder: AttemptFolder) -> Child:
    """Start the command. NotStartedError where that cannot be done, in words for the user."""
    with folder.output.open("ab") as output:
        try:
            process = subprocess.Popen(
                spec.command,
                cwd=spec.directory,
                env=environment(os.environ, spec.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=dies_with_parent(),
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise NotStartedError(_why(spec, error)) from error
    identity = identify(process.pid)
    assert identity is not None  # noqa: S101 - it is ours, and not yet buried
    write_whole(folder.child, identity.as_json())
    return Child(process, identity, spec.shielded)


def _why(spec: AttemptSpec, error: Exception) -> str:
    if not Path(spec.directory).is_dir():
        return f"the command cannot be started: there is no folder {spec.directory}"
    if isinstance(error, FileNotFoundError):
        return f"the command cannot be started: there is no program {spec.command[0]!r}"
    return f"the command cannot be started: {error}"


def environment(inherited: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Ours, without what concerns another Attempt; then what the spec gives. Its prints shall not be lost when it is killed."""
    kept = {name: value for name, value in inherited.items() if name not in NOT_INHERITED}
    return {"PYTHONUNBUFFERED": "1", **kept, **given}


def write_notice(folder: AttemptFolder, reason: str, kill_in_s: float) -> None:
    """Before the signal, so that whoever hears that can read this."""
    write_soon(folder.notice, {"reason": reason, "kill_in_s": round(max(0.0, kill_in_s), 3)})
