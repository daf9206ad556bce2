"""One container: a program in bubblewrap, alone with its processes, its /opt/ml and what it was given; the rest can only be read."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

from nightspot.emulator.errors import EmulatorError
from nightspot.process.identity import Identity, identify
from nightspot.process.surroundings import HOST, MOUNT, PROBE_S, opt_of_its_own
from nightspot.process.tree import descendants, kill_until_none, send_all

KILL_BUDGET_REAL_S = 30.0
BEGIN_BUDGET_REAL_S = 30.0
HOSTS = Path("/etc/hosts")
# Each instance has these to itself, and leaves nothing in them.
TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - the program's own
# Where people keep what opens other doors.
SECRET = (".aws", ".ssh", ".kube", ".docker", ".config/gcloud", ".azure", ".netrc", ".pypirc", ".git-credentials")
SECRET_VARIABLES = ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
# A container that began before bubblewrap has tied both of them to our life would survive us. So it says that it is there, and waits for
# our word: by then they are tied; and where we died before the word, it reads the end of the line, and ends. (Bubblewrap itself
# must not die with us earlier, nor for a pipe that we left: half-way, it leaves a child behind that waits for it for ever.)
GATE = ("/bin/sh", "-c", 'printf . >&0 && read -r go && exec "$@" </dev/null', "sh")
NAMESPACES = ("--unshare-pid", "--as-pid-1", "--unshare-uts", "--hostname", HOST)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """`ml` becomes /opt/ml, `scratch` holds what else the container has for itself."""

    ml: Path
    scratch: Path

    def make(self) -> None:
        """Its folders and files. OSError where the disk refuses."""
        for number, _ in enumerate(TEMPORARY):
            (self.scratch / f"tmp{number}").mkdir(parents=True)
        (self.scratch / "tmp0/home").mkdir()
        own = f"127.0.0.1 localhost {HOST}\n"  # the toolkit waits until the host's name leads somewhere
        (self.scratch / "hosts").write_text(own, "utf-8")

    def words(self) -> list[str]:
        """What stands before the command."""
        words = ["bwrap", "--die-with-parent", *NAMESPACES, "--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev"]
        words += ["--tmpfs", "/dev/shm", "--proc", "/proc", *opt_of_its_own("--ro-bind")]  # noqa: S108
        for number, folder in enumerate(TEMPORARY):
            if folder.is_dir() and not folder.is_symlink():
                words += ["--bind", str(self.scratch / f"tmp{number}"), str(folder)]
        for path in _needed():
            words += ["--ro-bind", path, path]
        if HOSTS.exists():
            words += ["--ro-bind", str(self.scratch / "hosts"), str(HOSTS.resolve())]
        return [*words, *_masks(), "--bind", str(self.ml), str(MOUNT), "--chdir", "/", "--"]


def _needed() -> list[str]:
    """Parts of this Python that lie where the container has its own folders."""
    wanted = {sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parent.parent), *sys.path}
    return sorted(path for path in wanted if _is_temporary(Path(path)) and Path(path).exists())


def _is_temporary(path: Path) -> bool:
    return any(folder in path.parents for folder in TEMPORARY)


def _masks() -> list[str]:
    """Credentials are as good as absent: an empty folder, or nothing to read."""
    named = [Path(os.environ[name]) for name in SECRET_VARIABLES if os.environ.get(name)]
    words: list[str] = []
    for path in [*(Path.home() / name for name in SECRET), *named]:
        real = path.resolve()
        shown = not _is_temporary(real) or any(Path(path) in real.parents for path in _needed())
        if real.exists() and shown:
            words += ["--tmpfs", str(real)] if real.is_dir() else ["--ro-bind", os.devnull, str(real)]
    return words


def what_is_missing() -> str | None:
    """Why no container can be made here, in a sentence for the user; None where one can."""
    if shutil.which("bwrap") is None:
        return "bubblewrap (bwrap) is not installed: the emulator runs training in it. Install bubblewrap"
    words = ["bwrap", *NAMESPACES, "--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc"]
    try:
        done = subprocess.run(
            [*words, "--tmpfs", "/opt", "--", "true"], capture_output=True, timeout=PROBE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not work here: {error}"
    if done.returncode == 0:
        return None
    said = done.stderr.decode("utf-8", "replace").strip()
    return f"bubblewrap is not allowed to make a container here ({said}): run the emulator where it is"


class Container:
    """Start it once. It dies with the thread that started it, however that ends, and with it everything it started."""

    def __init__(self, sandbox: Sandbox, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._before, self._command = sandbox.words(), list(command)
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._first: Identity | None = None

    def start(self) -> int:
        """A descriptor to read its output from, which ends with the container. EmulatorError where bubblewrap cannot do it."""
        bwrap = shutil.which("bwrap")
        if bwrap is None:
            raise EmulatorError(what_is_missing() or "bubblewrap vanished for a moment")
        ours, theirs = socket.socketpair()
        output, output_end = os.pipe()
        words = [bwrap, *self._before[1:], *GATE, *self._command]
        try:
            self._process = subprocess.Popen(
                words,
                env=self._environment,
                stdin=theirs.fileno(),
                stdout=output_end,
                stderr=output_end,
                start_new_session=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            os.close(output)
            ours.close()
            raise EmulatorError(f"the container cannot be started: {error}") from error
        finally:
            os.close(output_end)
            theirs.close()
        self._open_gate(ours)
        return output

    def _open_gate(self, gate: socket.socket) -> None:
        """Let the program begin. Where the container ended before, its output tells why."""
        assert self._process is not None  # noqa: S101
        with gate:
            gate.settimeout(BEGIN_BUDGET_REAL_S)
            try:
                if gate.recv(1):
                    alone = next(iter(descendants(self._process.pid)), None)
                    self._first = identify(alone) if alone is not None else None
                    gate.sendall(b"go\n")
            except OSError:
                return

    def exit_code(self) -> int | None:
        """As a shell has it, 128 + N for signal N; None while it runs, or before. Then nothing of it runs any more."""
        if self._process is None:
            return None
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def pids(self) -> set[int]:
        """All its processes that live: also those that left their group, or lost their parent."""
        if self._process is None or self.exit_code() is not None:
            return self._orphan()
        return descendants(self._process.pid) | self._orphan()

    def _orphan(self) -> set[int]:
        """The first process, should bubblewrap's own be gone before it."""
        return {self._first.pid} if self._first is not None and self._first.alive() else set()

    def terminate(self) -> None:
        """SIGTERM to all of it, not to bubblewrap, which would die of it. The first process hears it only if it listens, as in Docker."""
        send_all(self.pids(), signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL; nothing is left when this returns. EmulatorError where the kernel does not let them go."""
        if self._process is None:
            return
        if self._first is not None:
            self._first.send(signal.SIGKILL)  # and with it the kernel ends whatever lives in its namespace
        if not kill_until_none(self.pids, lambda: None, KILL_BUDGET_REAL_S):
            raise EmulatorError(f"processes {sorted(self.pids())} of a training job cannot be killed")
        if self._first is None:
            self._process.kill()
        self._process.wait()
