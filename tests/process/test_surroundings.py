"""What a script written for SageMaker finds around it, with bubblewrap and without."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from nightspot.backends import local
from nightspot.night.ports import EndKind, Kind, SavedCheckpoint
from nightspot.process.files import read_json
from nightspot.process.identity import Identity
from nightspot.process.surroundings import NO_SANDBOX, arguments, as_text, sandbox_works
from nightspot.process.tree import bearers
from tests.process.stage import Stage, wait_for
from tests.process.trainers import SPEAKS

needs_sandbox = pytest.mark.skipif(
    not sandbox_works(), reason="bubblewrap is missing or not allowed here: apt-get install bubblewrap"
)
HYPERPARAMETERS: dict[str, Any] = {"epochs": 3, "learning-rate": 0.5, "optimizer": "adam", "shuffle": True, "b": 64}
# What the toolkit's own examples do: arguments, SM_ variables, /opt/ml.
SCRIPT = """
    import json, os, sys
    def text(path):
        return open(path).read() if os.path.exists(path) else None
    model = os.environ["SM_MODEL_DIR"]
    seen = {
        "arguments": sys.argv[1:],
        "variables": {k: v for k, v in os.environ.items() if k.startswith("SM_")},
        "data": text(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "part-0.csv")),
        "mounted data": text("/opt/ml/input/data/train/part-0.csv"),
        "hyperparameters": text("/opt/ml/input/config/hyperparameters.json"),
        "opt": sorted(os.listdir("/opt")) if os.path.isdir("/opt") else [],
    }
    checkpoints = "/opt/ml/checkpoints" if os.path.isdir("/opt/ml/checkpoints") else os.environ["NIGHTSPOT_CHECKPOINT_DIR"]
    open(os.path.join(checkpoints, "state"), "w").write("kept")
    open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "curve"), "w").write("1 2 3")
    open(os.path.join(model, "model.bin"), "w").write("a model")
    json.dump(seen, open("seen.json", "w"))
"""


def sagemaker(stage: Stage, **changes: Any) -> None:
    data = stage.folder / "data"
    data.mkdir()
    (data / "part-0.csv").write_text("1,2,3")
    stage.training = {
        "artifact": str(stage.folder / "out/model.bin"),
        "hyperparameters": HYPERPARAMETERS,
        "channels": {"train": str(data), "far-away": "s3://bucket/prefix"},
        "sagemaker": True,
        **changes,
    }


def seen(stage: Stage) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((stage.folder / "seen.json").read_text())
    return found


def test_hyperparameters_become_arguments_as_the_toolkit_makes_them() -> None:
    assert arguments(HYPERPARAMETERS) == [
        *("-b", "64", "--epochs", "3", "--learning-rate", "0.5", "--optimizer", "adam", "--shuffle", "True")
    ]
    assert [as_text(value) for value in ("adam", 0.5, True, [1])] == ["adam", "0.5", "true", "[1]"]


@needs_sandbox
def test_a_sagemaker_script_finds_opt_ml_and_all_it_writes_is_kept(stage: Stage) -> None:
    sagemaker(stage)
    before = sorted(path.name for path in Path("/opt").iterdir()) if Path("/opt").is_dir() else []
    show = stage.launch(SCRIPT)
    ended = show.to_the_end()
    assert ended.kind is EndKind.SUCCEEDED, (ended, show.output)
    found = seen(stage)
    assert found["data"] == found["mounted data"] == "1,2,3"
    assert found["arguments"] == arguments(HYPERPARAMETERS)
    assert json.loads(found["hyperparameters"])["learning-rate"] == "0.5"
    assert found["opt"] == sorted({*before, "ml"})
    assert (stage.folder / "out/model.bin").read_text() == "a model"
    assert (stage.checkpoints / "state").read_text() == "kept"
    assert (show.folder.machine_learning / "output/data/curve").exists()
    assert (sorted(path.name for path in Path("/opt").iterdir()) if before else []) == before
    assert show.warnings == []


@needs_sandbox
def test_the_variables_lead_to_opt_ml(stage: Stage) -> None:
    sagemaker(stage)
    stage.launch(SCRIPT).to_the_end()
    variables = seen(stage)["variables"]
    expected = {
        "SM_MODEL_DIR": "/opt/ml/model",
        "SM_OUTPUT_DATA_DIR": "/opt/ml/output/data",
        "SM_CHANNEL_TRAIN": "/opt/ml/input/data/train",
        "SM_CHANNEL_FAR_AWAY": "s3://bucket/prefix",
        "SM_HP_LEARNING_RATE": "0.5",
        "SM_HP_OPTIMIZER": "adam",
        "SM_CURRENT_HOST": "algo-1",
        "SM_HOSTS": '["algo-1"]',
    }
    assert {name: variables.get(name) for name in expected} == expected
    assert json.loads(variables["SM_HPS"]) == HYPERPARAMETERS
    assert json.loads(variables["SM_CHANNELS"]) == ["far-away", "train"]


@pytest.mark.parametrize("shown", [True, False])
def test_without_bubblewrap_the_variables_lead_to_the_folders_and_the_user_is_warned(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, shown: bool
) -> None:
    monkeypatch.setattr(local, "sandbox_works", lambda: False)
    sagemaker(stage, sagemaker=shown)
    show = stage.launch(SCRIPT)
    assert show.to_the_end().kind is EndKind.SUCCEEDED, show.output
    found = seen(stage)
    assert found["variables"]["SM_MODEL_DIR"] == str(stage.folder / "out")
    assert found["variables"]["SM_CHANNEL_TRAIN"] == str(stage.folder / "data")
    assert (found["data"], found["mounted data"]) == ("1,2,3", None)
    assert (show.folder.machine_learning / "input/data/train/part-0.csv").read_text() == "1,2,3"
    assert found["arguments"] == (arguments(HYPERPARAMETERS) if shown else [])
    assert show.warnings == ([NO_SANDBOX] if shown else [])
    findings = [one.what for one in stage.backend().check(stage.job(["true"])) if one.kind is Kind.WRONG]
    assert any("bubblewrap" in what for what in findings) == shown


def test_without_an_artefact_the_model_has_a_folder_of_its_own(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "sandbox_works", lambda: False)
    sagemaker(stage, artifact=None)
    show = stage.launch(SCRIPT)
    assert show.to_the_end().kind is EndKind.SUCCEEDED
    assert (show.folder.machine_learning / "model/model.bin").exists()


def within(stage: Stage) -> None:
    """No arguments of SageMaker's: the program has its own."""
    sagemaker(stage, hyperparameters={})


@needs_sandbox
def test_within_the_sandbox_the_notice_is_heard_and_a_checkpoint_saved(stage: Stage) -> None:
    within(stage)
    stage.lose_capacity_after(240.0, notice_s=90.0)
    show = stage.launch(SPEAKS, 1e6, 0.05, 1e6)
    ended = show.to_the_end()
    assert (ended.kind, ended.exit_code) == (EndKind.TAKEN, 75), (ended, show.output)
    assert len(show.of(SavedCheckpoint)) == 1
    assert (stage.checkpoints / "kept.json").exists()


@needs_sandbox
@pytest.mark.parametrize("who", ["stop", "supervisor", "sandbox"])
def test_nothing_in_the_sandbox_outlives_it(stage: Stage, who: str) -> None:
    within(stage)
    show = stage.launch(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    show.until(lambda _: "deaf" in show.output)
    if who == "stop":
        show.tell("stop")
    else:
        file = show.folder.supervisor if who == "supervisor" else show.folder.child
        Identity.from_json(read_json(file)).send(signal.SIGKILL)
    ended = show.to_the_end()
    assert ended.kind is {"stop": EndKind.STOPPED, "supervisor": EndKind.LOST, "sandbox": EndKind.FAILED}[who]
    wait_for(lambda: bearers(show.folder.progress) == set())


def test_where_bubblewrap_is_missing_or_refused_it_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not sandbox_works()
    refuses = tmp_path / "bwrap"
    refuses.write_text("#!/bin/sh\nexit 1\n")
    refuses.chmod(0o755)
    assert not sandbox_works()
