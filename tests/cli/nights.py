"""Nights for the commands' tests: in simulated worlds inside this process, and as real processes on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

from nightspot.backends.simulated import Capacity, Overheads, SimulatedBackend, SimulatedBackends, SimulatedClock
from nightspot.cli.home import Home
from nightspot.cli.world import Anchors, World
from nightspot.market.trace import ALWAYS
from nightspot.model.job import Job
from nightspot.night.night import Settings
from nightspot.night.ports import Finding

PYTHON = sys.executable
NIGHTSPOT = (PYTHON, "-c", "from nightspot.cli.app import main; main()")

SIMULATED = """
name = "sim"
command = "true"
artifact = "model.pt"
policy = "{policy}"
[work]
units = 10
unit = "epoch"
each = "12min"
[deadline]
at = {at}
miss_means = "Yesterday's model."
[[pools]]
id = "spot"
market = "spot"
price = 1.0
[[pools]]
id = "od"
market = "on-demand"
price = 3.0
{more}
"""

# Trains by the protocol, a real process. Its argument: units, and real seconds for each.
TRAINER = """
import json, os, pathlib, signal, sys, time
folder = pathlib.Path(os.environ["NIGHTSPOT_CHECKPOINT_DIR"])
units, each_s = int(sys.argv[1]), float(sys.argv[2])
safe = folder / "done"
done = int(safe.read_text()) if safe.exists() else 0
def say(**line):
    with open(os.environ["NIGHTSPOT_PROGRESS"], "a") as progress:
        progress.write(json.dumps(line) + "\\n")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
say(kind="training", units_done=done)
print(f"attempt {os.environ['NIGHTSPOT_ATTEMPT']} trains from {done}", flush=True)
while done < units:
    time.sleep(each_s)
    done += 1
    (folder / "new").write_text(str(done))
    (folder / "new").replace(safe)
    say(kind="checkpoint", units_done=done, name=str(done), digest="d", save_s=0.0, size_bytes=1)
    print(f"epoch {done}", flush=True)
pathlib.Path(os.environ["NIGHTSPOT_ARTIFACT"]).write_text("the model")
say(kind="done", units_done=done, metrics={"recall": 0.5}, facts={"data_sha256": "beef"})
"""

# 600 times as fast: half a second for each epoch of five minutes.
LOCAL = """
name = "local"
command = "{{python}} train.py {units} 0.4"
artifact = "model.txt"
time_scale = 600
policy = "greedy"
[work]
units = {units}
unit = "epoch"
each = "5min"
[deadline]
start = "20:00"
at = "08:00"
timezone = "Europe/Berlin"
[[pools]]
id = "spot"
market = "spot"
price = 1.0
capacity = "always"
[[pools]]
id = "od"
market = "on-demand"
price = 3.0
"""


def hours_from_now(hours: float) -> str:
    """A dated deadline in TOML, whole minutes."""
    at_s = (time.time() + hours * 3600) // 60 * 60
    return datetime.fromtimestamp(at_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def simulated_job(
    folder: Path, hours: float = 8.0, policy: str = "greedy", more: str = "", name: str = "job.toml"
) -> Path:
    path = folder / name
    path.write_text(SIMULATED.format(at=hours_from_now(hours), policy=policy, more=more))
    return path


def local_job(folder: Path, units: int = 6, **replace: str) -> Path:
    """A job file and its script in that folder."""
    (folder / "train.py").write_text(textwrap.dedent(TRAINER))
    text = LOCAL.format(units=units)
    for old, new in replace.items():
        text = text.replace(old, new)
    path = folder / "job.toml"
    path.write_text(text)
    return path


class WakingClock(SimulatedClock):
    """Jumps, and does something of the test's before a sleep of its choice."""

    naps = 0
    on_nap: Callable[[int], None] | None = None

    def sleep_until(self, at_utc: float, /) -> None:
        self.naps += 1
        if self.on_nap is not None:
            self.on_nap(self.naps)
        SimulatedClock.sleep_until(self, at_utc)

    def interrupt(self) -> None:
        """Nobody sleeps here."""


class Checked(SimulatedBackend):
    """With findings of the test's."""

    findings: Sequence[Finding] = ()

    def check(self, _job: Job, /) -> Sequence[Finding]:
        return self.findings


@dataclass
class FakeWorlds:
    """What `open_world` is in a test: one backend that outlives every controller, a clock that jumps for each."""

    capacities: Mapping[str, Capacity] = field(default_factory=lambda: {"spot": ALWAYS})
    lead_s: float = 30.0
    on_nap: Callable[[int], None] | None = None
    findings: Sequence[Finding] = ()
    backend: Checked | None = None
    clock: WakingClock | None = None

    def open_world(self, _home: Home, anchors: Anchors) -> World:
        if self.backend is None:
            overheads = {pool: Overheads(self.lead_s, 5.0, 600.0) for pool in ("spot", "od")}
            shifted = {pool: Shifted(c, anchors.market_utc) for pool, c in self.capacities.items()}
            self.backend = Checked(shifted, overheads)
            self.backend.findings = self.findings
        utc = self.clock.utc if self.clock is not None else anchors.market_utc
        self.clock = WakingClock(self.backend, utc)
        self.clock.on_nap = self.on_nap
        return World(SimulatedBackends(self.backend), self.clock, Settings(15.0))


@dataclass(frozen=True)
class Shifted:
    """A capacity told in seconds since the night began."""

    capacity: Capacity
    from_utc: float

    def up(self, at_utc: float, /) -> bool:
        return self.capacity.up(at_utc - self.from_utc)

    def since(self, at_utc: float, /) -> float:
        return self.from_utc + self.capacity.since(at_utc - self.from_utc)

    def next_flip(self, at_utc: float, /) -> float:
        return self.from_utc + self.capacity.next_flip(at_utc - self.from_utc)


@dataclass(frozen=True)
class Machine:
    """`nightspot` as processes of this machine, with a home of its own."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "NIGHTSPOT_HOME": str(self.home), "COLUMNS": "120", "PYTHONUNBUFFERED": "1"}

    def call(self, *words: object, timeout_s: float = 90.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*NIGHTSPOT, *map(str, words)],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )

    def start(self, *words: object, **options: Any) -> subprocess.Popen[str]:
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [*NIGHTSPOT, *map(str, words)], env=self.environment, cwd=self.folder, text=True, **{**given, **options}
        )

    def json(self, *words: object) -> Any:
        return json.loads(self.call(*words, "--json").stdout)

    def wait_until(self, true: Callable[[], bool], timeout_s: float = 30.0) -> None:
        until_s = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < until_s, "it did not come to that in time"
            time.sleep(0.05)

    def trains(self) -> bool:
        """Whether an Attempt has saved something, and lives."""
        rows = self.json("status") if (self.home / "journal.sqlite").exists() else []
        return any(row["phase"] == "training" and row["units_done"] >= 1 for row in rows)
