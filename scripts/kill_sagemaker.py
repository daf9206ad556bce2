"""Kills `nightspot run --emulate` with SIGKILL again and again during nights on an emulated SageMaker, and checks what becomes of its jobs.

After each kill it is started again, until the night is over. Then, from what the emulator wrote down and from the journal:

lost      a training job that the journal does not know, an attempt without an outcome, or a model that differs from an undisturbed one's
doubled   two jobs of a run that held an instance at the same time
leaked    jobs that had not ended when the night was over, and processes that are left of it

The seed is printed. Exit status 0 if all three are 0.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from kill_controller import NIGHTSPOT, expected, journal_of, left_of, live_with, weather

SCALE = 240
PATIENCE_S = 280.0
# Some kills come while the emulator starts, most in mid-launch, mid-queue, mid-interruption, mid-anything.
FIRST_LIVES_S, LIVES_S = (0.5, 25.0), (0.5, 7.0)
# Then the night may end: each new controller must find its way in first.
KILLS_IN_A_NIGHT = 14
HELD = ("Downloading", "Training", "Uploading", "Stopping")

TRAINING = """
import hashlib, os, pathlib, random, time
from nightspot.checkpoint import Session
random.seed(7)
loop = {"unit": 0, "chain": ""}
with Session({"loop": loop}, interval_s=0) as session:
    session.restore()
    while loop["unit"] < 80:
        time.sleep(0.1)
        loop["chain"] = hashlib.sha256(f"{loop['chain']}{random.random()}".encode()).hexdigest()
        loop["unit"] += 1
        session.step(units_done=loop["unit"])
    pathlib.Path(os.environ["SM_MODEL_DIR"], "model.txt").write_text(loop["chain"])
    session.done(units_done=loop["unit"])
"""

JOB = """
name = "killed"
artifact = "model.txt"
policy = "greedy"
time_scale = {scale}
[sagemaker]
template = "request.json"
region = "us-east-1"
[work]
units = 80
unit = "unit"
each = "3min"
[deadline]
start = "20:00"
at = "12:00"
[checkpoint]
interval = "2min"
[emulator]
source = "training.py"
market = {{ "ml.m5.large" = "a.json", "ml.m5.xlarge" = "b.json" }}
options = ["--sync-every", "1min", "--start-delay", "1min", "--faults", "throttle=0.03,internal=0.02,lost=0.03,seed={seed}"]
"""

POOL = """
[[pools]]
id = "{id}"
backend = "sagemaker"
market = "{market}"
instance_type = "{type}"
price = {price}
full_price = 3.0
bounds = {{ lead = "1h", stop = "40min", refusal = "20min", save = "5min" }}
"""
POOLS = (
    ("spot-a", "spot", "ml.m5.large", 1.0),
    ("spot-b", "spot", "ml.m5.xlarge", 1.1),
    ("on-demand", "on-demand", "ml.m5.xlarge", 3.0),
)


@dataclass
class Tally:
    """What was counted."""

    nights: int = 0
    kills: int = 0
    jobs: int = 0
    lost: int = 0
    doubled: int = 0
    leaked: int = 0

    def clean(self) -> bool:
        return self.lost == self.doubled == self.leaked == 0


@dataclass(frozen=True)
class Seen:
    """A training job as the emulator left it: spans in which it held an instance, in market time."""

    name: str
    ended: bool
    held: tuple[tuple[float, float], ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--keep", type=Path, help="leave the nights' folders there")
    chosen = options.parse_args(arguments)
    print(f"seed={chosen.seed}", flush=True)
    tally, rng = Tally(), random.Random(chosen.seed)
    with tempfile.TemporaryDirectory(prefix="nightspot-kills-") as name:
        while tally.kills < chosen.kills:
            play(Path(chosen.keep or name) / str(tally.nights), rng, chosen.kills, tally)
            print(f"night {tally.nights}: {tally}", file=sys.stderr, flush=True)
    print(f"kills={tally.kills} nights={tally.nights} jobs={tally.jobs} ", end="")
    print(f"lost={tally.lost} doubled={tally.doubled} leaked={tally.leaked}")
    return 0 if tally.clean() else 1


def play(folder: Path, rng: random.Random, kills_max: int, tally: Tally) -> None:
    """One night, its controller killed until it is over; then count."""
    write_job(folder, rng)
    words = [*NIGHTSPOT, "--home", str(folder / "home"), "run", str(folder / "job.toml"), "--emulate", "--json"]
    give_up_s = time.monotonic() + PATIENCE_S
    kills_max = min(kills_max, tally.kills + KILLS_IN_A_NIGHT)
    while time.monotonic() < give_up_s:
        opened = any((folder / "home" / "emulated" / "runs").glob("*.emulator/endpoint.json"))
        life_s = rng.uniform(*(LIVES_S if opened else FIRST_LIVES_S)) if tally.kills < kills_max else PATIENCE_S
        if not live_with(words, folder, life_s):
            break
        tally.kills += 1
    tally.nights += 1
    count(folder, tally)


def count(folder: Path, tally: Tally) -> None:
    """Lost, doubled, leaked of one night."""
    home = folder / "home" / "emulated"
    requested, ended = journal_of(home)
    jobs = [job for path in home.glob("runs/*.emulator/*/emulator.sqlite") for job in jobs_of(path)]
    tally.jobs += len(jobs)
    tally.lost += len({job.name for job in jobs} - set(requested)) + len(set(requested) - set(ended))
    tally.lost += model_of(home) != expected()
    spans = sorted(span for job in jobs for span in job.held)
    tally.doubled += sum(before[1] > after[0] for before, after in pairwise(spans))
    left = list(left_of(folder))
    tally.leaked += sum(not job.ended for job in jobs) + len(left)
    for process in left:
        process.kill()


def jobs_of(path: Path) -> Iterator[Seen]:
    """All jobs in an emulator's state."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as book:
        bodies = book.execute("SELECT name, body FROM jobs").fetchall()
        for name, body in bodies:
            rows = book.execute(
                "SELECT status, start_utc, end_utc FROM transitions WHERE name=? ORDER BY number", (name,)
            )
            status = json.loads(body)["status"]
            yield Seen(name, status in ("Completed", "Failed", "Stopped"), tuple(held(rows.fetchall())))


def held(transitions: Sequence[tuple[str, float, float | None]]) -> Iterator[tuple[float, float]]:
    """From the first download of an incarnation to its end."""
    began_utc = None
    for status, start_utc, end_utc in transitions:
        if status == "Downloading" and began_utc is None:
            began_utc = start_utc
        if began_utc is not None and status not in HELD:
            yield began_utc, start_utc
            began_utc = None
        last_utc = end_utc if end_utc is not None else float("inf")
    if began_utc is not None:
        yield began_utc, last_utc


def model_of(home: Path) -> str:
    """What the night left in the bucket, which the emulator kept; nothing where it left none."""
    for index in home.glob("runs/*.emulator/*/s3/index.json"):
        for one in json.loads(index.read_text())["objects"]:
            if one["key"].endswith("/output/model.tar.gz"):
                with tarfile.open(index.parent / one["file"]) as archive:
                    member = archive.extractfile("model.txt")
                    return member.read().decode() if member is not None else ""
    return ""


def write_job(folder: Path, rng: random.Random) -> None:
    """The job file, the request, the program, and capacity for both Spot types."""
    folder.mkdir(parents=True)
    (folder / "training.py").write_text(TRAINING)
    pools = [POOL.format(id=id_, market=market, type=type_, price=price) for id_, market, type_, price in POOLS]
    (folder / "job.toml").write_text(JOB.format(scale=SCALE, seed=rng.randrange(1000)) + "".join(pools))
    for name in "ab":
        (folder / f"{name}.json").write_text(json.dumps({**weather(rng), "metadata": {"gap_seconds": 1500}}))
    request = {
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "RoleArn": "arn:aws:iam::123456789012:role/training",
        "OutputDataConfig": {"S3OutputPath": "s3://killed/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
        "CheckpointConfig": {"S3Uri": "s3://killed/checkpoints"},
        "HyperParameters": {
            "sagemaker_submit_directory": '"s3://killed/code/sourcedir.tar.gz"',
            "sagemaker_program": '"training.py"',
            "sagemaker_region": '"us-east-1"',
        },
    }
    (folder / "request.json").write_text(json.dumps(request))


if __name__ == "__main__":
    os.environ.pop("NIGHTSPOT_HOME", None)
    sys.exit(main())
