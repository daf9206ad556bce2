"""What the SDK would send is caught as it is, and nothing is sent."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any, Callable

import pytest

from nightspot.errors import ExitCode
from nightspot.sagemaker import EstimatorError, record
from nightspot.sagemaker.sourcename import source_name

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded.json").read_text("utf-8"))
INPUTS = {"train": "s3://bkt/data"}
Make = Callable[..., Any]


def without_times(request: Any, name: str) -> Any:
    """The request with the job's own name left out, wherever it stands."""
    return json.loads(json.dumps(request).replace(name, "NAME"))


def test_a_spot_estimators_request_is_what_the_sdk_is_known_to_send(pytorch: Make) -> None:
    request = record(pytorch(), INPUTS)
    assert request["TrainingJobName"].startswith("spotjob-20")
    assert without_times(request, request["TrainingJobName"]) == without_times(RECORDED, RECORDED["TrainingJobName"])


def test_spot_limits_and_checkpoints_are_as_the_estimator_has_them(pytorch: Make) -> None:
    estimator = pytorch(max_run=14400, max_wait=28800, checkpoint_s3_uri="s3://bkt/other", checkpoint_local_path=None)
    request = record(estimator, INPUTS)
    assert request["EnableManagedSpotTraining"] is True
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 14400, "MaxWaitTimeInSeconds": 28800}
    assert request["CheckpointConfig"] == {"S3Uri": "s3://bkt/other"}
    plain = record(pytorch(use_spot_instances=False, max_wait=None, checkpoint_s3_uri=None, checkpoint_local_path=None))
    assert "EnableManagedSpotTraining" not in plain
    assert "CheckpointConfig" not in plain
    assert "InputDataConfig" not in plain


def test_the_source_is_uploaded_and_nothing_is_started(pytorch: Make, aws: str) -> None:
    estimator = pytorch()
    request = record(estimator, INPUTS, job_name="by-this-name")
    uri = json.loads(request["HyperParameters"]["sagemaker_submit_directory"])
    assert uri == "s3://bkt/code/by-this-name/source/sourcedir.tar.gz"
    client = estimator.sagemaker_session.boto_session.client
    body = client("s3").get_object(Bucket="bkt", Key=uri.removeprefix("s3://bkt/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert archive.getnames() == ["train.py"]
    started = client("sagemaker").list_training_jobs(NameContains="by-this-name")["TrainingJobSummaries"]
    assert started == []
    assert estimator.latest_training_job is None


def test_the_sessions_next_request_is_sent_as_ever(pytorch: Make) -> None:
    estimator = pytorch()
    request = record(estimator, INPUTS)
    client = estimator.sagemaker_session.sagemaker_client
    assert client.create_training_job(**request)["TrainingJobArn"].endswith(request["TrainingJobName"])


def test_another_threads_request_of_the_same_session_is_not_ours(
    pytorch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator = pytorch()
    heard: list[str] = []
    plain_fit = estimator.fit

    def other() -> None:
        theirs = {**RECORDED, "TrainingJobName": "theirs"}
        heard.append(estimator.sagemaker_session.sagemaker_client.create_training_job(**theirs)["TrainingJobArn"])

    def fit(*words: Any, **named: Any) -> None:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        plain_fit(*words, **named)

    monkeypatch.setattr(estimator, "fit", fit)
    assert record(estimator, INPUTS)["TrainingJobName"].startswith("spotjob-")
    assert heard[0].endswith("/theirs")


def test_the_request_is_written_as_a_template_where_a_path_is_given(pytorch: Make, tmp_path: Path) -> None:
    request = record(pytorch(), INPUTS, path=tmp_path / "request.json")
    assert json.loads((tmp_path / "request.json").read_text()) == request


def test_a_mistake_in_the_estimator_is_told_by_the_sdk_itself(pytorch: Make) -> None:
    estimator = pytorch(entry_point="missing.py")
    with pytest.raises(ValueError, match=r"missing\.py"):
        record(estimator, INPUTS)
    (Path(estimator.source_dir) / "missing.py").write_text("")
    assert record(estimator, INPUTS)["HyperParameters"]["sagemaker_program"] == '"missing.py"'


def test_what_sends_no_request_is_refused_in_one_sentence(pytorch: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = pytorch()
    monkeypatch.setattr(estimator, "fit", lambda *_words, **_named: None)
    with pytest.raises(EstimatorError, match="sends no CreateTrainingJob request") as caught:
        record(estimator, INPUTS)
    assert caught.value.exit_code is ExitCode.USAGE
    for wrong in (object(), "train.py"):
        with pytest.raises(EstimatorError, match="is no estimator of the SageMaker SDK v2"):
            record(wrong, INPUTS)


def test_a_pipelines_session_sends_no_request_either(pytorch: Make) -> None:
    context = importlib.import_module("sagemaker.workflow.pipeline_context")
    session = pytorch().sagemaker_session
    pipeline = context.PipelineSession(boto_session=session.boto_session, default_bucket="bkt")
    pipeline.sagemaker_config = session.sagemaker_config
    with pytest.warns(UserWarning, match="PipelineSession"), pytest.raises(EstimatorError, match="of a pipeline"):
        record(pytorch(sagemaker_session=pipeline), INPUTS)


def test_a_source_has_one_name_as_long_as_its_content_is_the_same(pytorch: Make) -> None:
    estimator = pytorch()
    folder = Path(estimator.source_dir)
    name = source_name(estimator, "spotjob")
    assert name == source_name(pytorch(), "spotjob")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert source_name(estimator, "spotjob") == name
    (folder / "net.py").write_text("x = 1\n")
    with_net = source_name(estimator, "spotjob")
    (folder / "net.py").write_text("x = 2\n")
    assert len({name, with_net, source_name(estimator, "spotjob")}) == 3
    assert source_name(pytorch(entry_point="net.py"), "spotjob") != with_net
    far = source_name(pytorch(source_dir="s3://bkt/source.tar.gz"), "spotjob")
    assert far != source_name(pytorch(source_dir="s3://bkt/other.tar.gz"), "spotjob")
    assert name.startswith("spotjob-")
    assert len(name) == len("spotjob-") + 16


def test_a_script_alone_and_its_dependencies_make_the_name(pytorch: Make, tmp_path: Path) -> None:
    script, helper = tmp_path / "alone.py", tmp_path / "helper.py"
    script.write_text("1")
    helper.write_text("1")
    alone = pytorch(entry_point=str(script), source_dir=None, dependencies=[str(helper)])
    before = source_name(alone, "x")
    helper.write_text("2")
    between = source_name(alone, "x")
    script.write_text("2")
    assert len({before, between, source_name(alone, "x")}) == 3


def test_importing_our_room_imports_neither_the_sdk_nor_boto3() -> None:
    heavy = "[m for m in sys.modules if m.split('.')[0] in ('sagemaker', 'boto3', 'botocore')]"
    program = f"import sys, nightspot.sagemaker, nightspot.cli.start; print({heavy})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
