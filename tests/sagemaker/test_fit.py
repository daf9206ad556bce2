"""One line in a notebook: the night that it opens is a real one, in a process of its own, and it goes on when it is left."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator

import pytest

from nightspot.errors import ExitCode, JobFileError, StoppedError
from nightspot.jobfile import load_job
from nightspot.sagemaker import EstimatorError, NightNotRunError, fit, fitting
from nightspot.sagemaker.child import in_a_notebook
from nightspot.sagemaker.fittedjob import fingerprint_of
from tests.sagemaker.conftest import boto3
from tests.sagemaker.emulated import emulator

Make = Callable[..., Any]
INPUTS = {"train": "s3://bkt/data"}
# Saves each epoch, resumes from the newest, and takes half a second for one.
TRAIN = """\
import argparse, json, os, pathlib, re, time

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
epochs = parser.parse_known_args()[0].epochs
folder = pathlib.Path("/opt/ml/checkpoints")
done = max([int(found[1]) for found in map(re.compile(r"ckpt-(\\d+).json").fullmatch, os.listdir(folder)) if found], default=0)
for epoch in range(done + 1, epochs + 1):
    time.sleep(0.5)
    (folder / "new").write_text(json.dumps({"epoch": epoch}))
    (folder / "new").rename(folder / f"ckpt-{epoch:04d}.json")
    print(f"epoch={epoch}", flush=True)
pathlib.Path(os.environ["SM_MODEL_DIR"], "model.pt").write_text("the model")
"""


@pytest.fixture
def never_run(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """`fit` up to the process that it would start; what that would be given is kept."""
    calls: list[tuple[Any, ...]] = []

    def run_night(*words: Any) -> Any:
        calls.append(words)
        return SimpleNamespace(run_id="spotjob-1", facts={"fingerprint": fingerprint_of(load_job(words[0]))})

    monkeypatch.setattr(fitting, "run_night", run_night)
    return calls


def test_the_job_file_and_the_request_are_written_and_the_file_loads(
    pytorch: Make, tmp_path: Path, never_run: list[tuple[Any, ...]]
) -> None:
    pools: list[Any] = ["spot:ml.g5.xlarge", {"market": "on-demand", "instance_type": "ml.g5.xlarge", "price": 1.41}]
    settings = {"limits.cost": 20.0, "checkpoint": {"pattern": "ckpt-*.pt"}}
    fit(
        pytorch(),
        INPUTS,
        deadline="08:00",
        timezone="Europe/Berlin",
        start="20:00",
        work="30min",
        pools=pools,
        folder=tmp_path / "night",
        settings=settings,
        fresh=True,
    )
    file, arguments, environment, _say = never_run[0]
    assert file == tmp_path / "night" / "nightspot.toml"
    assert arguments == ["run", str(file), "--json", "--on-interrupt", "leave", "--fresh"]
    document = load_job(file).document
    assert (document.limits.cost, document.checkpoint.pattern) == (20.0, "ckpt-*.pt")
    assert (document.name, document.work.total, document.deadline.timezone) == ("spotjob", 1800.0, "Europe/Berlin")
    assert [(p.backend, p.market, p.price) for p in document.pools] == [
        ("sagemaker", "spot", None),
        ("sagemaker", "on-demand", 1.41),
    ]
    assert document.sagemaker is not None
    assert (document.sagemaker.region, document.sagemaker.checkpoints) == ("us-east-1", None)
    request = json.loads((file.parent / "request.json").read_text())
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}
    assert environment == {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}


def test_settings_of_any_kind_are_in_the_file_so_that_a_shell_runs_the_same_job(
    pytorch: Make, tmp_path: Path, never_run: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {
        "name": "nb",
        "policy": "on-demand",
        "pools.0.id": "first",
        "pools.1.price": 1.5,
        "sagemaker.overrides": {"HyperParameters": {'a "b"': "1"}},
        "deadline.reserve": "20min",
    }
    fit(pytorch(), INPUTS, deadline=datetime(2100, 1, 1, tzinfo=timezone.utc), settings=settings)
    assert never_run[0][0] == Path("nightspot-nb") / "nightspot.toml"
    document = load_job(never_run[0][0]).document
    assert (document.name, document.policy, document.deadline.reserve) == ("nb", "on-demand", 1200.0)
    assert (document.pools[0].id, document.pools[1].price) == ("first", 1.5)
    assert document.deadline.at == datetime(2100, 1, 1, tzinfo=timezone.utc)
    assert document.sagemaker is not None
    assert document.sagemaker.overrides == {"HyperParameters": {'a "b"': "1"}}


def test_a_setting_without_a_place_is_told_in_the_notebooks_words(pytorch: Make, tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match="settings: pools = 'nine'") as caught:
        fit(pytorch(), INPUTS, deadline="08:00", folder=tmp_path, settings={"pools.nine.price": 1.0})
    assert "--set" not in str(caught.value)
    assert not (tmp_path / "nightspot.toml").exists()


def test_the_commands_word_for_fresh_is_said_as_a_notebook_says_it() -> None:
    file = Path("a b/nightspot.toml")
    assert in_a_notebook("x-1 is over; --fresh plays it", file) == "x-1 is over; fit(..., fresh=True) plays it"
    assert in_a_notebook(f"another (nightspot run {file} --fresh)", file) == "another (fit(..., fresh=True))"
    assert in_a_notebook("nothing of it", file) == "nothing of it"


def test_what_is_not_said_comes_from_the_estimator(
    pytorch: Make, tmp_path: Path, never_run: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    estimator = pytorch(checkpoint_s3_uri=None, checkpoint_local_path=None, base_job_name="My Training!")
    fit(estimator, INPUTS, deadline="08:00", folder=tmp_path)
    document = load_job(tmp_path / "nightspot.toml").document
    assert (document.name, document.work.total) == ("my-training", 3600.0)
    assert [(p.market, p.instance_type) for p in document.pools] == [
        ("spot", "ml.g5.xlarge"),
        ("on-demand", "ml.g5.xlarge"),
    ]
    assert document.sagemaker is not None
    assert document.sagemaker.checkpoints == "s3://bkt/nightspot-checkpoints/my-training"
    assert "the estimator has no checkpoint_s3_uri" in capsys.readouterr().out


def test_the_same_source_makes_the_same_run_and_another_source_another(
    pytorch: Make, tmp_path: Path, never_run: list[tuple[Any, ...]]
) -> None:
    estimator = pytorch()
    requests = []
    for change in ("", "", "# changed\n"):
        script = Path(estimator.source_dir) / "train.py"
        script.write_text(script.read_text() + change)
        fit(estimator, INPUTS, deadline="08:00", folder=tmp_path)
        requests.append((tmp_path / "request.json").read_text())
    assert requests[0] == requests[1]
    assert requests[1] != requests[2]


def test_keys_that_were_given_in_python_and_profiles_reach_the_controller(
    pytorch: Make, tmp_path: Path, never_run: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator = pytorch()
    keys = {"aws_access_key_id": "one", "aws_secret_access_key": "two", "aws_session_token": "three"}
    monkeypatch.setattr(estimator.sagemaker_session, "boto_session", boto3.Session(region_name="us-east-1", **keys))
    fit(estimator, INPUTS, deadline="08:00", folder=tmp_path)
    environment = never_run[0][2]
    given = [environment[f"AWS_{key}"] for key in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]
    assert given == ["one", "two", "three"]
    (tmp_path / "config").write_text(
        "[profile team]\nregion = us-east-1\naws_access_key_id = a\naws_secret_access_key = b\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setattr(estimator.sagemaker_session, "boto_session", boto3.Session(profile_name="team"))
    fit(estimator, INPUTS, deadline="08:00", folder=tmp_path)
    assert never_run[1][2]["AWS_PROFILE"] == "team"
    assert "AWS_ACCESS_KEY_ID" not in never_run[1][2]


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"pools": ["ml.g5.xlarge"]}, "'ml.g5.xlarge' is no pool: write"),
        ({"pools": "spot:ml.g5.xlarge"}, "expected a list of pools"),
        ({"pools": ["spott:ml.g5.xlarge"]}, "'spott:ml.g5.xlarge' is no pool"),
    ],
)
def test_a_pool_that_is_none_is_refused_before_anything_is_written(
    pytorch: Make, tmp_path: Path, wishes: dict[str, Any], said: str, never_run: list[tuple[Any, ...]]
) -> None:
    with pytest.raises(EstimatorError, match=said):
        fit(pytorch(), INPUTS, deadline="08:00", folder=tmp_path / "night", **wishes)
    assert not (tmp_path / "night").exists()
    assert never_run == []


def test_the_sdks_own_limit_of_a_day_is_nobodys_work(pytorch: Make, tmp_path: Path) -> None:
    with pytest.raises(EstimatorError, match='add work="4h"'):
        fit(pytorch(max_run=86400, max_wait=90000), INPUTS, deadline="08:00", folder=tmp_path)


def test_a_job_file_that_is_wrong_is_told_with_its_key(pytorch: Make, tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match=r"limits\.cost = -1"):
        fit(pytorch(), INPUTS, deadline="08:00", folder=tmp_path, settings={"limits.cost": -1})
    with pytest.raises(JobFileError, match=r"request\.json: StoppingCondition\.MaxRuntimeInSeconds = 3600"):
        fit(pytorch(), INPUTS, deadline="08:00", folder=tmp_path, work="2h")


def test_a_night_that_cannot_be_run_ends_with_the_commands_own_sentence_and_code(
    pytorch: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTSPOT_HOME", str(tmp_path / "home"))
    pools = [{"market": "on-demand", "instance_type": "ml.g5.xlarge", "price": 2.0}]
    with pytest.raises(NightNotRunError, match="a night wholly on ml-g5-xlarge-on-demand costs") as caught:
        fit(
            pytorch(),
            INPUTS,
            deadline="08:00",
            folder=tmp_path,
            pools=pools,
            settings={"limits.cost": 0.01},
            say=lambda _line: None,
        )
    assert caught.value.exit_code is ExitCode.BAD_JOB_FILE
    assert not str(caught.value).startswith("nightspot:")


@pytest.fixture
def emulated(no_aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An emulator, the bucket in it, and a home of our own."""
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed: training needs its own /opt/ml")
    monkeypatch.setenv("NIGHTSPOT_HOME", str(tmp_path / "home"))
    with emulator(tmp_path / "state", "--market", "always") as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="bkt")
        s3.put_object(Bucket="bkt", Key="data/part-0", Body=b"data")
        yield url


@pytest.mark.slow
def test_a_night_that_was_left_with_ctrl_c_goes_on_and_ends_with_a_model(
    pytorch: Make, emulated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulated)
    estimator = pytorch(hyperparameters={"epochs": 12})
    (Path(estimator.source_dir) / "train.py").write_text(TRAIN)
    lines: list[str] = []

    def interrupt(line: str) -> None:
        lines.append(line)
        if " trains, from " in line:
            raise KeyboardInterrupt

    wishes: dict[str, Any] = {
        "deadline": datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=2),
        "work": {"units": 12, "unit": "epoch", "each": "10s"},
        "pools": [
            {"market": "spot", "instance_type": "ml.g5.xlarge", "price": 0.5},
            {"market": "on-demand", "instance_type": "ml.g5.xlarge", "price": 1.5},
        ],
        "folder": tmp_path / "night",
        "settings": {"checkpoint.pattern": "ckpt-*.json"},
    }
    with pytest.raises(StoppedError, match="To go on") as caught:
        fit(estimator, INPUTS, say=interrupt, **wishes)
    assert "goes on by itself" in str(caught.value)
    assert f"nightspot run {tmp_path / 'night' / 'nightspot.toml'}" in str(caught.value)
    night = fit(estimator, INPUTS, say=lines.append, **wishes)
    assert (night.completed, night.late, night.exit_code) == (True, False, 0)
    assert night.run_id in str(caught.value)
    assert [a["market"] for a in night.facts["attempts"]] == ["spot"], "one attempt, which nobody stopped"
    assert night.facts["units_done"] == 12
    assert night.model_sha256
    assert 0 < night.cost_usd < night.facts["on_demand_cost_usd"]
    assert any("goes on" in line for line in lines)
    jobs = boto3.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    assert [job["TrainingJobStatus"] for job in jobs] == ["Completed"]
    lines.clear()
    told = fit(pytorch(hyperparameters={"epochs": 13}), INPUTS, say=lines.append, **wishes)
    assert told.run_id == night.run_id
    assert f"{night.run_id} is over; fit(..., fresh=True) plays the night again" in lines
    assert any("the job has changed since it was played" in line for line in lines)
