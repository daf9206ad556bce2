"""Small jobs for the engine: a training of the standard library alone, which can do what scripts do, and forget what they forget."""

from __future__ import annotations

import shutil
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Sequence

import pytest

from nightspot.drill.apart.sandbox import why_not
from nightspot.drill.play import Drilled, play
from nightspot.drill.record import Case, Training
from nightspot.drill.settings import Settings, read_settings
from nightspot.jobfile import load_job

needs_bwrap = pytest.mark.skipif(why_not() is not None, reason="bubblewrap does not work here")
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

# A sum that depends on every step and its order; saved plainly to FOLDER/ckpt-0005.json, each value a line, and a closing one.
TRAINER = """
import argparse, hashlib, json, os, pathlib, signal, subprocess, sys, time
p = argparse.ArgumentParser()
p.add_argument("folder", type=pathlib.Path)
p.add_argument("--steps", type=int, default=20)
p.add_argument("--every", type=int, default=5)
p.add_argument("--pause", type=float, default=0.015)
p.add_argument("--pieces", type=float, default=0.0)
p.add_argument("--out", default="model.json")
p.add_argument("--also", default="")
p.add_argument("--on-notice", default="")
p.add_argument("--orphan", default="")
p.add_argument("--losses", default="")
p.add_argument("--hang-on-resume", action="store_true")
p.add_argument("--moved-in", action="store_true")
a = p.parse_args()
a.folder.mkdir(parents=True, exist_ok=True)
told = []
if a.on_notice:
    signal.signal(signal.SIGTERM, lambda *_: told.append(json.loads(pathlib.Path(os.environ["NIGHTSPOT_NOTICE"]).read_text())))
if a.orphan:
    subprocess.Popen([sys.executable, "-c", f'''
import os, signal, time
os.setsid()
[signal.signal(n, signal.SIG_IGN) for n in (15, 1, 2)]
if os.fork():
    os._exit(0)
for n in range(3000):
    open({a.orphan!r}, "a").write("x")
    time.sleep(0.01)
'''])
if a.also:
    path = pathlib.Path(a.also)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
step, state = 0, "0"
saved = sorted(a.folder.glob("ckpt-*.json"))
def load(path):
    lines = path.read_text().splitlines()
    assert lines and lines[-1] == "end", f"{path} is torn"
    return json.loads("".join(lines[:-1]))
if saved:
    if a.hang_on_resume:
        time.sleep(600)
    step, state = load(saved[-1])
def save():
    text = json.dumps([step, state], indent=0) + "\\n" + "x" * 0 + "end"
    name = a.folder / f"ckpt-{step:04d}.json"
    with open(f"{name}.tmp" if a.moved_in else name, "w") as file:
        for line in text.splitlines(keepends=True):
            file.write(line)
            if a.pieces:
                file.flush()
                time.sleep(a.pieces)
    if a.moved_in:
        os.replace(f"{name}.tmp", name)
log = open(a.losses, "a") if a.losses else None
while step < a.steps:
    step += 1
    state = hashlib.sha256(f"{state} {step}".encode()).hexdigest()
    print(f"step {step} loss {int(state[:8], 16) / 2**32}", flush=True)
    if log:
        log.write(json.dumps({"step": step, "loss": int(state[:8], 16) / 2**32}) + "\\n")
        log.flush()
    if step % a.every == 0:
        save()
    if told and a.on_notice == "save":
        save()
        sys.exit(75)
    time.sleep(a.pause)
pathlib.Path(a.out).write_text(state)
"""

JOB = """
name = "small"
command = ["{{python}}", "train.py", {words}]
artifact = "model.json"
[work]
total = "1h"
[deadline]
at = "08:00"
[[pools]]
market = "on-demand"
price = 1.0
[drill]
loss_pattern = 'step (?P<step>\\d+) loss (?P<loss>\\S+)'
checkpoints = "ckpt"
{drill}
"""


def written(folder: Path, *words: str, drill: str = "", more: str = "") -> Path:
    """A job in that folder; its file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.py").write_text(TRAINER)
    shown = ", ".join(f"'{word}'" for word in (words or ("ckpt",)))
    file = folder / "job.toml"
    file.write_text(JOB.format(words=shown, drill=textwrap.dedent(drill)) + textwrap.dedent(more))
    return file


def settings_of(file: Path, root: Path, **changes: object) -> Settings:
    for part in ("run", "life", "cases", "sources"):
        (root / part).mkdir(parents=True, exist_ok=True)
    return replace(read_settings(load_job(file), root, time.time()), **changes)  # type: ignore[arg-type]


def play_all(settings: Settings, cases: Sequence[Case]) -> Drilled:
    """Without a judge: baselines that end with the same model agree."""
    return play(settings, cases, same_models, lambda _: None)


def same_models(trainings: Sequence[Training]) -> bool:
    return len({training.artefact and training.artefact.digest for training in trainings}) == 1


def by_case(drilled: Drilled) -> dict[Case, Training]:
    return {training.case: training for training in drilled.trainings if training.case is not None}


def everything_in(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Content, mode and time of change of each file; what of it another one would show."""
    found = {}
    for path in sorted(folder.rglob("*")):
        stat = path.lstat()
        found[str(path)] = (path.read_bytes() if path.is_file() else b"", stat.st_mode, stat.st_mtime_ns)
    return found
