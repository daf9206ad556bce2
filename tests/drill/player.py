"""Plays one training of a script with an interruption, as the drill does, but forked from a process that has torch already."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Optional, Sequence

from nightspot.drill import record_probe
from nightspot.drill.record import Artefact, Blow, Case, Durable, Life, Logged, Training

REPOSITORY = Path(__file__).parent.parent.parent
FAULTY = REPOSITORY / "examples" / "faulty"
MOST_WAIT_S = 120.0


class Zygote:
    """The process that has torch."""

    def __init__(self) -> None:
        words = [sys.executable, str(Path(__file__).parent / "zygote.py"), str(record_probe.FOLDER)]
        surroundings = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=surroundings
        )

    def ask(self, **request: Any) -> int:
        """Begin a training; its process id."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer("pid")

    def answer(self, name: str) -> int:
        """Waits for it."""
        assert self.process.stdout is not None
        return int(json.loads(self.process.stdout.readline())[name])

    def close(self) -> None:
        self.process.communicate()


@dataclasses.dataclass
class Player:
    """folder: a new one for each training; deaf: the script lets notices pass, so that it is killed where it was told."""

    zygote: Zygote
    script: Path
    folder: Path
    deaf: bool = False
    lives: list[Life] = dataclasses.field(default_factory=list)

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def play(self, case: Optional[Case], holds: Sequence[int]) -> Training:
        """holds: steps of each Life at which it is killed; one more Life then runs to the end."""
        self.checkpoints.mkdir(parents=True)
        for hold in holds:
            life = self.live(hold, notice=case is Case.NOTICE)
            self.lives.append(damaged(life, self.checkpoints, case) if life.blow is not None else life)
        self.lives.append(self.live(None))
        return Training(case, tuple(self.lives), artefact(self.folder / "model.pt"))

    def live(self, hold: Optional[int], *, notice: bool = False) -> Life:
        """One start of the script."""
        number = len(self.lives)
        lines, release = self.folder / f"probe-{number}", self.folder / f"release-{number}"
        output = self.folder / f"output-{number}"
        probe = record_probe.environment(lines, hold=hold, release=release, paths=[self.checkpoints])
        environment = {
            **probe,
            "NIGHTSPOT_CHECKPOINT_DIR": str(self.checkpoints),
            "NIGHTSPOT_ARTIFACT": str(self.folder / "model.pt"),
        }
        pid = self.zygote.ask(
            script=str(self.script), environment=environment, folder=str(self.folder), output=str(output)
        )
        if hold is not None:
            _strike(pid, lines, [signal.SIGTERM] * notice + [signal.SIGKILL] * (self.deaf or not notice))
            release.touch()
        code = self.zygote.answer("code")
        seen = record_probe.parse(lines.read_text() if lines.exists() else "")
        assert seen.faults == ()
        blow = None if hold is None else Blow("notice" if notice else "kill", hold, left=names(self.checkpoints))
        text = output.read_text()
        durables = tuple(_durables(number, seen))
        probed = seen.torch and bool(seen.steps)
        return Life(
            number, seen.steps, tuple(logged(text)), seen.touches, durables, code, blow, probed, 0.0, text[-2000:]
        )


def _strike(pid: int, lines: Path, signals: Sequence[int]) -> None:
    """Wait until it holds, and send it these."""
    wait_until_held(pid, lines)
    for number in signals:
        os.kill(pid, number)


def wait_until_held(pid: int, lines: Path) -> None:
    """Until the probe of that process says so."""
    until = time.monotonic() + MOST_WAIT_S
    while not lines.exists() or record_probe.parse(lines.read_text()).held is None:
        assert time.monotonic() < until, "it never came to the step"
        assert Path(f"/proc/{pid}").exists(), "it ended before the step"
        time.sleep(0.005)


def _durables(number: int, seen: record_probe.Probed) -> list[Durable]:
    """Saved straight to its name, or renamed to it."""
    saves = [(Path(one.path or "").name, one.at_index) for one in seen.touches if one.what in ("saved", "rename")]
    return [Durable(name, "", number, at) for name, at in saves if name.startswith("ckpt-")]


def names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.glob("ckpt-*")))


def logged(text: str) -> list[Logged]:
    found = [json.loads(line) for line in text.splitlines() if line.startswith('{"step"')]
    return [Logged(one["step"], repr(one["loss"])) for one in found]


def damaged(life: Life, folder: Path, case: Optional[Case]) -> Life:
    """The newest checkpoint loses its end, or a bit of a weight is changed."""
    if case not in (Case.TRUNCATED, Case.FLIPPED) or life.blow is None:
        return life
    name = names(folder)[-1]
    newest = folder / name / "state.pt" if (folder / name).is_dir() else folder / name
    raw = bytearray(newest.read_bytes())
    if case is Case.TRUNCATED:
        del raw[len(raw) // 2 :]
    else:
        raw[len(raw) // 3] ^= 4
    newest.write_bytes(raw)
    left = tuple(one for one in names(folder) if one != name)
    return dataclasses.replace(
        life, blow=dataclasses.replace(life.blow, damaged=str(newest.relative_to(folder)), left=left)
    )


def artefact(path: Path) -> Optional[Artefact]:
    """Saved by the same torch from equal tensors the file is the same, byte for byte."""
    return Artefact(str(path), hashlib.sha256(path.read_bytes()).hexdigest()) if path.exists() else None
