"""The recommender's night on SageMaker: the emulator's, through our own backend, from the command line."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nightspot.emulator.container import what_is_missing
from tests.examples.on_sagemaker import (
    EXAMPLE,
    ON_DEMAND_USD,
    POOLS,
    SAGEMAKER,
    clean_environment,
    commands,
    ran,
    write_request,
)

EPOCHS = 36
SMALL = {"users": "60", "items": "80", "interactions": "2000", "epochs": str(EPOCHS)}
SPOT_FACTOR = 0.3
missing = pytest.mark.skipif(what_is_missing() is not None, reason=str(what_is_missing()))

# The example's script at a pace that no computer exceeds: 36 epochs take 29 real seconds, and it sleeps for most of them.
PACED = """
import sys, time
import train
from nightspot.checkpoint import Session

step, last = Session.step, None

def paced(session, units_done, metrics=None):
    global last
    time.sleep(0.0 if last is None else 0.8 * (units_done - last))
    last = units_done
    step(session, units_done, metrics)

Session.step = paced
sys.exit(train.main())
"""
# The first type never comes. The second has capacity for an hour and a half, which are 22 real seconds: too few to finish in, whatever
# the computer. Then on-demand does the rest.
JOB = """
name = "recommender"
artifact = "model.pt"
policy = {{ name = "timed-fallback", wait = "2h30min" }}
time_scale = 240
[work]
units = {epochs}
unit = "epoch"
each = "4min"
[deadline]
start = "20:00"
at = "12:00"
[checkpoint]
interval = "4min"
[[pools]]
id = "never"
backend = "sagemaker"
market = "spot"
instance_type = "ml.p3dn.24xlarge"
price = 9.36
full_price = 31.21
bounds = {{ lead = "1h", stop = "40min", refusal = "20min", save = "5min" }}
[emulator]
source = "{example}"
market = {{ "ml.p3dn.24xlarge" = "never", "ml.p4d.24xlarge" = "capacity.json" }}
options = ["--sync-every", "2min", "--faults", "{faults}"]
"""


def written(folder: Path, faults: str = "throttle=0.03,lost=0.02,seed=5") -> Path:
    """The job file, its request, its source, and capacity from 20:50 to 22:20."""
    source = shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "paced.py").write_text(PACED)
    write_request(folder, SMALL | {"sagemaker_program": json.dumps("paced.py")})
    (folder / "capacity.json").write_text(
        json.dumps({"metadata": {"gap_seconds": 600}, "data": [0] * 5 + [1] * 9 + [0] * 200})
    )
    (folder / "job.toml").write_text(JOB.format(example=source, faults=faults, epochs=EPOCHS) + POOLS + SAGEMAKER)
    return folder / "job.toml"


def played(folder: Path) -> dict[str, Any]:
    """The object that `run --json` prints last."""
    done = ran(["--home", str(folder / "home"), "run", str(written(folder)), "--emulate", "--json"])
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def digest_of_an_undisturbed_training(folder: Path) -> str:
    """The same program with the same arguments, alone."""
    options = [word for name, value in sorted((SMALL | {"seed": "0"}).items()) for word in (f"--{name}", value)]
    words = [sys.executable, str(EXAMPLE / "train.py"), *options, "--out", str(folder / "alone.pt")]
    subprocess.run(words, capture_output=True, timeout=200, env=clean_environment(), check=True, cwd=folder)
    return hashlib.sha256((folder / "alone.pt").read_bytes()).hexdigest()


@missing
@pytest.mark.slow
def test_a_night_on_sagemaker_tries_types_is_interrupted_falls_back_and_leaves_the_same_model(tmp_path: Path) -> None:
    night = played(tmp_path)
    assert (night["outcome"], night["late"]) == ("completed", False)
    never, spot, *_, last = night["attempts"]
    assert (never["pool"], never["outcome"], never["cost_usd"]) == ("never", "no-capacity", 0.0)
    assert spot["pool"] == "spot"
    assert spot["incarnation"] >= 2  # it was taken, and waited for capacity once more
    assert night["interruptions"] >= 1
    assert 0 < spot["units"] < EPOCHS
    assert (last["pool"], last["outcome"]) == ("on-demand", "completed")
    assert night["model_sha256"] == digest_of_an_undisturbed_training(tmp_path)
    check_bill(night, spot, last)
    assert "recall_at_10" in output_of(
        tmp_path, last["number"]
    )  # its last line, fetched before the emulator was taken down


def output_of(folder: Path, number: int) -> str:
    """As `nightspot logs` prints it."""
    home = ["--home", str(folder / "home" / "emulated")]
    return ran([*home, "logs", "last", "--attempt", str(number)], 60).stdout


def check_bill(night: dict[str, Any], spot: dict[str, Any], last: dict[str, Any]) -> None:
    """Billable seconds carry the discount: both legs are billed at the on-demand price."""
    for attempt in (spot, last):
        assert attempt["cost_usd"] == pytest.approx(attempt["billable_s"] / 3600 * ON_DEMAND_USD, rel=1e-6)
    # It had an instance for an hour and a half, and what two real seconds of dying are here.
    assert 0 < spot["billable_s"] <= 110 * 60 * SPOT_FACTOR
    assert night["cost_usd"] == pytest.approx(sum(a["cost_usd"] for a in night["attempts"]))


@missing
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('source = "', 'source = "nowhere', "emulator.source = 'nowhere"),
        (
            'source = "',
            'data = { test = "." }\nsource = "',
            "emulator.data.test = '.': the request has no such channel",
        ),
        ('"capacity.json"', '"drizzle"', "emulator.market = "),
    ],
)
def test_an_emulation_that_cannot_be_is_refused_before_anything_is_started(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    job = written(tmp_path)
    job.write_text(job.read_text().replace(before, after))
    done = ran(["--home", str(tmp_path / "home"), "run", str(job), "--emulate"], 120)
    assert done.returncode == 8, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists()
    assert not [line for line in commands() if str(tmp_path) in line and "emulate" in line]
