"""The drill through the emulator: real training jobs, interrupted on order, judged by the same words."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from nightspot.drill import proof
from nightspot.emulator.container import what_is_missing
from nightspot.jobfile import load_job
from tests.examples.on_sagemaker import (
    EXAMPLE,
    NIGHTSPOT,
    POOLS,
    SAGEMAKER,
    clean_environment,
    commands,
    ran,
    write_request,
)

pytestmark = [
    pytest.mark.skipif(what_is_missing() is not None, reason=str(what_is_missing())),
    pytest.mark.slow,
]
FAULTY = EXAMPLE.parent / "faulty"
SMALL = {"users": "60", "items": "80", "interactions": "2000", "threads": "1"}
JOB = """
name = "drilled"
artifact = "model.pt"
deadline = {{ start = "20:00", at = "12:00" }}
work = {{ units = 4, unit = "epoch", each = "4min" }}
[drill]
grace = "6s"
{drill}
[emulator]
source = "{source}"
"""


def written(folder: Path, source: Path, program: str, hyper: dict[str, str], drill: str = "") -> Path:
    """The job file, and its request: the recommender's, for that program."""
    write_request(folder, hyper, program)
    (folder / "job.toml").write_text(JOB.format(source=source, drill=drill) + POOLS + SAGEMAKER)
    return folder / "job.toml"


def command(job: Path, cases: str) -> list[str]:
    home = str(job.parent / "home")
    return ["--home", home, "drill", str(job), "--emulate", "--cases", cases, "--json"]


def drilled(job: Path, cases: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, what `--json` prints, and standard error."""
    done = ran(command(job, cases))
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def test_the_recommender_resumes_exactly_on_sagemaker_whatever_became_of_its_newest_checkpoint(tmp_path: Path) -> None:
    job = written(tmp_path, EXAMPLE, "train.py", SMALL | {"epochs": "60"}, 'args = "--epochs 4"')
    code, report, said = drilled(job, "notice,during-save,truncated,flipped")
    assert code == 0, said
    assert (report["verdict"], report["baselines"], report["deterministic"]) == ("EXACT", 2, True)
    assert [case["case"] for case in report["cases"]] == ["notice", "during-save", "truncated", "flipped"]
    for case in report["cases"]:
        assert (case["verdict"], case["loss_match"], case["weights_match"]) == ("EXACT", True, True)
        assert case["diagnosis"] is None
        assert 0 < case["resumed_at_step"] <= case["killed_at_step"]
        assert case["redone_steps"] == case["killed_at_step"] - case["resumed_at_step"]
        if case["case"] in (
            "truncated",
            "flipped",
        ):  # the newest one was in the bucket, and was passed over for an older one
            assert case["redone_steps"] > 1
    for what in ("baseline 1", "baseline 2", "notice", "flipped"):
        assert f"{what}: played in " in said
    known = proof.read(tmp_path / "home", "drilled", emulated=True)
    assert known is not None and known.passed and list(known.cases) == [case["case"] for case in report["cases"]]
    assert known.standing == proof.standing_of(load_job(job), emulated=True)
    left = {path.name for path in (tmp_path / "home/drills").iterdir()}  # of what was played nothing
    assert left == {"drilled.html", "drilled.emulated.json"}


def test_an_optimizer_that_does_not_come_back_is_found_on_sagemaker_too(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("tiny.py", "optimizer_lost.py"):
        shutil.copy(FAULTY / name, source)
    start = "import os\nos.environ['NIGHTSPOT_ARTIFACT'] = os.environ['SM_MODEL_DIR'] + '/model.pt'\n"
    (source / "main.py").write_text(start + "import optimizer_lost\n")
    code, report, said = drilled(written(tmp_path, source, "main.py", {}), "kill")
    assert code == 15, said
    (kill,) = report["cases"]
    assert kill["verdict"] == "DIVERGED"
    assert kill["diagnosis"]["cause"] == "optimizer state not restored"
    assert kill["resumed_at_step"] > 0


def test_ended_by_the_user_it_leaves_no_emulator_no_training_and_no_folder(tmp_path: Path) -> None:
    job = written(tmp_path, EXAMPLE, "train.py", SMALL | {"epochs": "4000"})
    with subprocess.Popen(
        [*NIGHTSPOT, *command(job, "kill")], env=clean_environment(), stderr=subprocess.PIPE
    ) as process:
        while not list((tmp_path / "home").rglob("probe.jsonl")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 7
    assert not list((tmp_path / "home/drills").iterdir())
    assert not [line for line in commands() if str(tmp_path) in line]


@pytest.mark.parametrize(
    ("drill", "said"),
    [
        ('args = "4"', "drill.args"),
        ("", "sagemaker.template"),
    ],
)
def test_what_cannot_be_drilled_there_is_refused_before_anything_is_started(
    tmp_path: Path, drill: str, said: str
) -> None:
    job = written(tmp_path, EXAMPLE, "train.py", SMALL, drill)
    if not drill:
        request = json.loads((tmp_path / "request.json").read_text())
        request["HyperParameters"]["sagemaker_mpi_enabled"] = "true"
        (tmp_path / "request.json").write_text(json.dumps(request))
    code, _, error = drilled(job, "kill")
    assert (code, said in error, "Traceback" in error) == (8, True, False), error
    assert not list((tmp_path / "home").rglob("emulator.log"))
