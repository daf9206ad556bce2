"""Kills `nightspot run` with SIGKILL again and again during nights on this machine, and checks what becomes of the attempts.

After each kill it is started again, until the night is over. Then, from what the training processes themselves wrote down, from the
journal and from the process table:

lost      launched, and not in the journal with an outcome; or a night whose model differs from an undisturbed one's
doubled   two training processes of a run at the same time, or one attempt's command started twice
orphans   processes of the run that are left after it

The seed is printed. Exit status 0 if all three are 0.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from nightspot.model.events import AttemptEnded, LaunchRefused, LaunchRequested
from nightspot.night.sqlite import SqliteJournal

NIGHTSPOT = (sys.executable, "-c", "from nightspot.cli.app import main; main()")
SCALE = 600
PATIENCE_S = 120.0
# Kills come as a night goes: some before it is opened, most in mid-launch, mid-interruption, mid-anything.
LIVES_S = (0.02, 1.6)

# Draws from a seeded generator, one unit each tenth of a second; notes when it began and ended, and who it is.
TRAINING = """
import hashlib, os, pathlib, random, sys, time
from nightspot.checkpoint import Session
log = open(sys.argv[1], "a", buffering=1)
log.write(f"began {time.monotonic()} {os.getpid()} {os.environ['NIGHTSPOT_TOKEN']}\\n")
random.seed(7)
loop = {"unit": 0, "chain": ""}
with Session({"loop": loop}, interval_s=0) as session:
    session.restore()
    while loop["unit"] < 80:
        time.sleep(0.1)
        loop["chain"] = hashlib.sha256(f"{loop['chain']}{random.random()}".encode()).hexdigest()
        loop["unit"] += 1
        session.step(units_done=loop["unit"])
    pathlib.Path(os.environ["NIGHTSPOT_ARTIFACT"]).write_text(loop["chain"])
    session.done(units_done=loop["unit"])
"""

# Capacity changes every few real seconds, so that launches, notices, kills and moves are many.
JOB = """
name = "killed"
command = "{{python}} {folder}/training.py {folder}/began.log"
artifact = "{{run_folder}}/model.txt"
policy = "greedy"
time_scale = {scale}
[work]
units = 80
unit = "unit"
each = "1min15s"
[deadline]
start = "20:00"
at = "08:00"
[checkpoint]
interval = "1s"
[[pools]]
id = "spot-a"
market = "spot"
price = 1.0
notice = "0s"
capacity = {{ trace = "{folder}/a.json" }}
[[pools]]
id = "spot-b"
market = "spot"
price = 1.1
notice = "10min"
capacity = {{ trace = "{folder}/b.json" }}
[[pools]]
id = "on-demand"
market = "on-demand"
price = 3.0
"""


@dataclass
class Tally:
    """What was counted."""

    nights: int = 0
    kills: int = 0
    attempts: int = 0
    lost: int = 0
    doubled: int = 0
    orphans: int = 0

    def clean(self) -> bool:
        return self.lost == self.doubled == self.orphans == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--seed", type=int, default=7)
    chosen = options.parse_args(arguments)
    print(f"seed={chosen.seed}", flush=True)
    tally, rng = Tally(), random.Random(chosen.seed)
    with tempfile.TemporaryDirectory(prefix="nightspot-kills-") as name:
        while tally.kills < chosen.kills:
            folder = Path(name) / str(tally.nights)
            play(folder, rng, chosen.kills, tally)
            print(f"night {tally.nights}: {tally}", file=sys.stderr, flush=True)
    print(f"kills={tally.kills} nights={tally.nights} attempts={tally.attempts} ", end="")
    print(f"lost={tally.lost} doubled={tally.doubled} orphans={tally.orphans}")
    return 0 if tally.clean() else 1


def play(folder: Path, rng: random.Random, kills_max: int, tally: Tally) -> None:
    """One night, its controller killed until it is over; then count."""
    write_job(folder, rng)
    give_up_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_s:
        life_s = rng.uniform(*LIVES_S) if tally.kills < kills_max else PATIENCE_S
        if not live(folder, life_s):
            break
        tally.kills += 1
    tally.nights += 1
    count(folder, tally)


def live(folder: Path, life_s: float) -> bool:
    """One controller's life. True where it was killed, False where the night was over first."""
    words = [*NIGHTSPOT, "--home", str(folder / "home"), "run", str(folder / "job.toml"), "--json"]
    return live_with(words, folder, life_s)


def live_with(words: Sequence[str], folder: Path, life_s: float) -> bool:
    """The same, of that command."""
    with (folder / "controllers.log").open("ab") as log:
        controller = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            code = controller.wait(life_s)
        except subprocess.TimeoutExpired:
            controller.kill()
            controller.wait()
            return True
    if code != 0:
        print(f"{folder}: nightspot ended with {code}", file=sys.stderr)
    return False


def count(folder: Path, tally: Tally) -> None:
    """Lost, doubled, orphans of one night."""
    requested, ended = journal_of(folder / "home")
    began = [line.split() for line in lines(folder / "began.log")]
    supervised = {path.parent.name for path in (folder / "home" / "attempts").glob("*/supervisor.json")}
    launched = {token for *_, token in began} | supervised | set(requested)
    tally.attempts += len(supervised)
    tally.lost += len(launched - set(ended)) + (model_of(folder) != expected())
    tally.doubled += len(began) - len({token for *_, token in began}) + overlaps(folder, began)
    orphans = list(left_of(folder))
    tally.orphans += len(orphans)
    for process in orphans:
        process.kill()


def journal_of(home: Path) -> tuple[list[str], list[str]]:
    """Tokens that were asked for, and tokens whose Attempts have ended or were refused."""
    journal = SqliteJournal(home / "journal.sqlite")
    requested: dict[int, str] = {}
    ended: list[str] = []
    for run_id in journal.runs():
        for record in journal.read(run_id):
            if isinstance(record.event, LaunchRequested):
                requested[record.event.number] = record.event.token
            elif isinstance(record.event, (AttemptEnded, LaunchRefused)):
                ended.append(requested[record.event.number])
    return list(requested.values()), ended


def overlaps(folder: Path, began: Sequence[Sequence[str]]) -> int:
    """How often a training process began before its predecessor's end, as its supervisor noted that."""
    ends = {token: end_of(folder / "home" / "attempts" / token) for *_, token in began}
    return sum(ends[before[-1]] > float(after[1]) for before, after in pairwise(began))


def end_of(attempt: Path) -> float:
    """When an attempt's end was written down, on the clock of `time.monotonic`."""
    exit_file = attempt / "exit.json"
    if not exit_file.exists():
        return float("inf")
    return exit_file.stat().st_mtime - time.time() + time.monotonic()


def left_of(folder: Path) -> Iterator[psutil.Process]:
    """Processes that have to do with the night in that folder."""
    deadline_s = time.monotonic() + 3.0  # a supervisor that has written its last word may take a moment to be gone
    while time.monotonic() < deadline_s and any(belongs(process, folder) for process in psutil.process_iter()):
        time.sleep(0.05)
    yield from (process for process in psutil.process_iter() if belongs(process, folder))


def belongs(process: psutil.Process, folder: Path) -> bool:
    """Whether that folder is named in its command."""
    try:
        return any(f"{folder}/" in word for word in process.cmdline())
    except psutil.Error:
        return False


def write_job(folder: Path, rng: random.Random) -> None:
    """The job file, the program, and capacity for both Spot pools."""
    folder.mkdir()
    (folder / "training.py").write_text(TRAINING)
    (folder / "job.toml").write_text(JOB.format(folder=folder, scale=SCALE))
    for name in "ab":
        (folder / f"{name}.json").write_text(json.dumps(weather(rng)))


def weather(rng: random.Random) -> dict[str, Any]:
    """Capacity that stays for two to four real seconds, and then is away for one to three."""
    data: list[int] = []
    while len(data) < 72:
        data += [1] * rng.randint(2, 4) + [0] * rng.randint(1, 3)
    return {"metadata": {"gap_seconds": SCALE}, "data": data[:72]}


def expected() -> str:
    """What an undisturbed training computes."""
    chain, draws = "", random.Random(7)
    for _ in range(80):
        chain = hashlib.sha256(f"{chain}{draws.random()}".encode()).hexdigest()
    return chain


def model_of(folder: Path) -> str:
    """What the night left; nothing where it left none."""
    found = list((folder / "home" / "runs").glob("*/model.txt"))
    return found[0].read_text() if len(found) == 1 else ""


def lines(path: Path) -> list[str]:
    """A file's lines; none where there is no file."""
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    os.environ.pop("NIGHTSPOT_HOME", None)
    sys.exit(main())
