"""A request that would make a Spot night dear, late or lost is refused with file, field, value and remedy, before anything is paid."""

from __future__ import annotations

import builtins
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from nightspot.errors import ExitCode, JobFileError
from nightspot.jobfile import plan_night, requestmodel
from tests.jobfile.files import EVENING_UTC
from tests.jobfile.requests import NIGHT, REQUEST, changed, night_in

# setting | key of the job file | part of what is said
WRONG = """
command=python train.py                   | command | HyperParameters.sagemaker_program, or its ContainerEntrypoint, says what runs
directory=.                               | directory | nothing runs on this machine
environment={A="1"}                       | environment | It stands in the request: set it there, or in [sagemaker] overrides (Environment).
checkpoint.store=s3://bucket/ck           | checkpoint.store     | Write [sagemaker] checkpoints =
checkpoint.directory=c/{run_id}           | checkpoint.directory | Write [sagemaker] checkpoints =
training.hyperparameters={a=1}            | training.hyperparameters | overrides (HyperParameters)
training.channels={a="b"}                 | training.channels | overrides (InputDataConfig)
training.code=["*.py"]                    | training.code | the request names its source
training.sagemaker=true                   | training.sagemaker | SageMaker sets all this up itself
name=a-name-that-has-thirty-three-chars   | name | at most 32 characters
artifact=/opt/ml/model/model.pt           | artifact | the name of a file inside model.tar.gz
artifact={path="../x"}                    | artifact.path | the name of a file inside model.tar.gz
artifact={run_folder}.pt                  | artifact | there is no placeholder '{run_folder}' here
pools.0.backend=local                     | pools[0].backend | other pools of this job are on SageMaker
pools.0.options={a=1}                     | pools[0].options | Move them there.
pools.0.place=eu-central-1a               | pools[0].place | on SageMaker the place is an AWS region
pools.0.instance_type=                    | pools[0].instance_type | which machine it is, is not said
pools.0.instance_type=g5.xlarge           | pools[0].instance_type | SageMaker's begin with ml.
pools.0.instance_types=["ml.g5.xlarge"]   | pools[0].instance_types | Give each type a Spot pool of its own
pools.1.instance_types=["ml.g5.xlarge"]   | pools[1].instance_types | say the same thing twice
pools.1.instance_types=["a","b","c","d","e","f"] | pools[1].instance_types | at most 5 are allowed
pools.1.capacity=always                   | pools[1].capacity | only a local pool has this
pools.1.full_price=-1                     | pools[1].full_price | must be at least 0
sagemaker={}                              | sagemaker.template | it is required
sagemaker.template=                       | sagemaker.template | expected a text that is not empty
sagemaker.template=none.json              | sagemaker.template | there is no such file. `nightspot init --from-training-job NAME` writes one
sagemaker.template=.                      | sagemaker.template | this is not a file
sagemaker.template=~nobody-here/x         | sagemaker.template | there is no such home folder
sagemaker.template=s3://bucket/r.json     | sagemaker.template | there is no such file
sagemaker.region=Frankfurt                | sagemaker.region | Write it like "eu-central-1".
sagemaker.role=training                   | sagemaker.role | expected the ARN of a role
sagemaker.checkpoints=bucket/prefix       | sagemaker.checkpoints | Write it like "s3://bucket/prefix".
sagemaker.checkpoints=s3://b/{artifact}   | sagemaker.checkpoints | expected the address of a folder
sagemaker.checkpoints=s3://bkt/{artifact} | sagemaker.checkpoints | there is no placeholder '{artifact}' here
sagemaker.output=s3://BUCKET              | sagemaker.output | expected the address of a folder
sagemaker.progress=guess                  | sagemaker.progress | expected 'manifests', 'files', 'metric' or 'none'
sagemaker.progress=files                  | sagemaker.progress | which files are checkpoints is not said
sagemaker.progress=metric                 | sagemaker.progress | which metric it is, is not said
sagemaker.wrapper=no                      | sagemaker.wrapper | expected true or false
sagemaker.tags={"aws:x"="y"}              | sagemaker.tags."aws:x" | does not begin with aws:
sagemaker.tags={x=1}                      | sagemaker.tags.x | expected a text in quotes
sagemaker.bucket=x                        | sagemaker.bucket | there is no such key here
sagemaker.overrides={HyperParameters={epochs=3}} | sagemaker.overrides.HyperParameters.epochs | Write it in quotes: "3".
sagemaker.overrides.Environment.A={moon}  | sagemaker.overrides.Environment.A | there is no placeholder '{moon}' here
sagemaker.overrides.Environment={A="{"}   | sagemaker.overrides.Environment.A | a lone '{'
sagemaker.overrides.StoppingCondition.MaxWaitTimeInSeconds=60 | sagemaker.overrides.StoppingCondition | Raise it to 21600
"""
TABLE = [tuple(part.strip() for part in line.split(" | ")) for line in WRONG.strip().splitlines()]

# field of the request | what stands in it (null: nothing) | part of what is said
REFUSED = """
RoleArn                                | null                  | the training needs a role. Add it, or role =
CheckpointConfig                       | null                  | whatever Spot takes back is lost. Add checkpoints = "s3://
CheckpointConfig.S3Uri                 | "https://bkt/x"       | expected a folder in a bucket
CheckpointConfig.LocalPath             | "/opt/ml/model"       | checkpoints there are lost, or end in the model
CheckpointConfig.LocalPath             | "/opt/ml/model/ck/"   | Let the script save to "/opt/ml/checkpoints"
CheckpointConfig.LocalPath             | "/opt/ml"             | SageMaker packs, sends or replaces this folder itself
StoppingCondition.MaxWaitTimeInSeconds | 21599                 | it cannot be less than MaxRuntimeInSeconds (21600)
StoppingCondition.MaxRuntimeInSeconds  | 14399                 | 3h59min59s end before the work of 4h could be done at once
AlgorithmSpecification.TrainingInputMode | "Pipe"              | cannot go on in the middle of a pipe. Write "File"
AlgorithmSpecification.TrainingInputMode | "Files"             | Did you mean 'File'?
AlgorithmSpecification.TrainingImage   | null                  | what trains is not said
InputDataConfig.0.InputMode            | "Pipe"                | cannot go on in the middle of a pipe
ResourceConfig.KeepAlivePeriodInSeconds | 600                  | SageMaker keeps no warm pool of Spot capacity
ResourceConfig.InstancePreferences     | [{"InstanceType": "ml.g5.xlarge"}] | give an on-demand pool instance_types
ResourceConfig.InstanceGroups          | [{"InstanceType": "ml.a.b", "InstanceCount": 1, "InstanceGroupName": "a"}] | Use one instance type
OutputDataConfig                       | null                  | where the model goes is not said
HyperParameters.sagemaker_submit_directory | null              | Set wrapper = false in [sagemaker]
HyperParameters.sagemaker_submit_directory | "\\"/opt/ml/code\\"" | this request has none
HyperParameters.epochs                 | 3                     | expected a text. Write it in quotes: "3".
HyperParameters                        | []                    | expected an object
Environment.DEEP                       | {}                    | expected a text
RoleArn                                | "arn:aws:iam::1:role/x" | expected a text that matches arn:aws
ResourceConfig.InstanceCount           | "2"                   | expected a whole number
ResourceConfig.InstanceCount           | 0                     | expected a whole number of instances
ResourceConfig.InstanceCount           | true                  | expected a whole number
RetryStrategy.MaximumRetryAttempts     | 31                    | at most 30 are allowed
EnableManagedSpotTraining              | "yes"                 | expected true or false
ChekpointConfig                        | {}                    | Did you mean 'CheckpointConfig'?
TrainingJobStatus                      | "Completed"           | This is what DescribeTrainingJob says
InputDataConfig.0.ChannelName          | null                  | CreateTrainingJob needs it
"""
ROWS = [tuple(part.strip() for part in line.split(" | ")) for line in REFUSED.strip().splitlines()]


def refusal(folder: Path, *settings: str, request: Any = None, text: str = NIGHT) -> JobFileError:
    with pytest.raises(JobFileError) as caught:
        plan_night(night_in(folder, *settings, request=request, text=text), EVENING_UTC)
    error = caught.value
    assert error.exit_code == ExitCode.BAD_JOB_FILE
    assert error.remedy.rstrip(")").endswith((".", "?")), "a remedy is a sentence"
    assert "\n" not in str(error)
    return error


@pytest.mark.parametrize(("setting", "field", "said"), TABLE, ids=[row[0] for row in TABLE])
def test_a_wrong_setting_names_key_and_remedy(tmp_path: Path, setting: str, field: str, said: str) -> None:
    error = refusal(tmp_path, setting)
    assert error.field.startswith(field)
    assert said in str(error)
    assert "request.json" not in error.file


@pytest.mark.parametrize(("field", "value", "said"), ROWS, ids=[f"{row[0]}={row[1]}" for row in ROWS])
def test_a_wrong_request_names_its_own_file_the_field_and_the_remedy(
    tmp_path: Path, field: str, value: str, said: str
) -> None:
    error = refusal(tmp_path, request=changed(field, json.loads(value)))
    assert error.file == str(tmp_path / "request.json")
    assert error.field.replace("[0]", ".0").startswith(field)
    assert said in str(error)
    assert (error.value is None) == (value == "null")


THE_MODELS = (
    "expected a text",
    "expected a whole",
    "expected true",
    "Did you",
    "at most",
    "This is",
    "CreateTrainingJob needs",
)
OURS = [row for row in ROWS if not row[2].startswith(THE_MODELS)]


@pytest.mark.parametrize(("field", "value", "said"), OURS, ids=[f"{row[0]}={row[1]}" for row in OURS])
def test_our_own_rules_hold_without_boto3(
    tmp_path: Path, field: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requestmodel, "create_training_job", lambda: None)
    assert said in str(refusal(tmp_path, request=changed(field, json.loads(value))))


@pytest.mark.parametrize("field", ["HyperParameters", "StoppingCondition", "ResourceConfig", "CheckpointConfig"])
def test_a_request_of_the_wrong_kind_is_refused_without_boto3_too(
    tmp_path: Path, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requestmodel, "create_training_job", lambda: None)
    error = refusal(tmp_path, request=changed(field, [1]))
    assert (error.field, error.expected) == (field, "expected an object")


def test_boto3_is_loaded_only_for_a_request_and_is_not_needed_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str) -> Any:
        raise ImportError(name)

    requestmodel.create_training_job.cache_clear()
    monkeypatch.setattr(importlib, "import_module", nothing)
    assert requestmodel.create_training_job() is None
    assert night_in(tmp_path).template is not None
    requestmodel.create_training_job.cache_clear()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this is not JSON"),
        ("{\n  'a': 1}", "line 2 = \"'a': 1}\": this is not JSON"),
        ("[1, 2]", "expected a request: a JSON object"),
        ('{"a": NaN}', "NaN is no number"),
        ("[" * 100000, "this is not JSON"),
        (" " * ((1 << 20) + 1), "this is larger than 1 MiB"),
    ],
)
def test_a_template_that_is_no_json_says_where(tmp_path: Path, text: str, said: str) -> None:
    assert said in str(refusal(tmp_path, request=text))


def test_a_template_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe4"}')
    assert "this is not UTF-8" in str(refusal(tmp_path, "sagemaker.template=latin.json"))


def test_without_spot_pools_a_warm_pool_and_preferences_are_the_users_own(tmp_path: Path) -> None:
    text = NIGHT.replace('market = "spot"', 'market = "on-demand"')
    assert night_in(tmp_path, text=text, request=changed("ResourceConfig.KeepAlivePeriodInSeconds", 600)).template


def test_without_the_wrapper_any_container_will_do(tmp_path: Path) -> None:
    request = changed("HyperParameters", {"epochs": "3"})
    assert night_in(tmp_path, "sagemaker.wrapper=false", request=request).template


def test_a_metric_that_the_request_does_not_define_is_refused_with_those_it_does(tmp_path: Path) -> None:
    error = refusal(tmp_path, "sagemaker.progress_metric=epoch")
    assert error.field == "AlgorithmSpecification.MetricDefinitions"
    assert "progress_metric = 'epoch' is not among them (loss)" in str(error)


def test_pools_on_sagemaker_need_its_table_and_the_table_needs_pools(tmp_path: Path) -> None:
    table = NIGHT[NIGHT.index("[sagemaker]") : NIGHT.index("[work]")]
    error = refusal(tmp_path, text=NIGHT.replace(table, ""))
    assert error.field == "sagemaker"
    assert 'Add [sagemaker] with template = "request.json"' in str(error)
    text = NIGHT.replace('backend = "sagemaker"\n', "").replace("[sagemaker]", 'command = "a"\n\n[sagemaker]')
    assert 'Write backend = "sagemaker" in each of [[pools]]' in str(refusal(tmp_path, text=text))


def test_work_that_is_not_said_is_asked_for_with_what_the_request_knows(tmp_path: Path) -> None:
    text = NIGHT.replace(NIGHT[NIGHT.index("[work]") : NIGHT.index("[deadline]")], "")
    error = refusal(tmp_path, text=text)
    assert error.field == "work"
    assert 'MaxRuntimeInSeconds is 21600. If that is what the work takes: work = { total = "6h" }' in str(error)


def test_a_training_jobs_name_holds_the_run_and_the_attempt_even_begun_afresh(tmp_path: Path) -> None:
    name, deadline = "a" * 32, "deadline.at=2026-11-25T08:00:01"
    job_file = night_in(tmp_path, f"name={name}", deadline)
    longest = f"{plan_night(job_file, EVENING_UTC).run_id}-0123abcd-001"
    assert len(longest) <= 63
    with pytest.raises(JobFileError, match=r"longer than 63 characters\. Make it 1 shorter\."):
        plan_night(job_file, EVENING_UTC, "-2")


def fields(value: Any, path: str = "") -> list[str]:
    """Every field of a request, as `changed` names it."""
    here = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return here + [name for key, item in inner for name in fields(item, f"{path}.{key}".strip("."))]


JUNK: list[Any] = [
    None,
    [],
    {},
    "",
    "x",
    "\0",
    0,
    -1,
    10**30,
    1.5,
    True,
    [{}],
    {"a": {}},
    [[1]],
    "s3://",
    "{night",
    3.0e300,
]
MORE = [
    "CheckpointConfig.LocalPath",
    "ResourceConfig.InstanceGroups",
    "InputDataConfig.0.InputMode",
    "Tags",
    "VpcConfig",
]
MORE += [
    "ResourceConfig.KeepAlivePeriodInSeconds",
    "ResourceConfig.InstancePreferences",
    "AlgorithmSpecification.Bogus",
]


@pytest.mark.parametrize("modelled", [True, False], ids=["with boto3", "without"])
def test_no_value_of_any_field_is_worse_than_a_refusal(
    tmp_path: Path, modelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not modelled:
        monkeypatch.setattr(requestmodel, "create_training_job", lambda: None)
    refused = 0
    for field in [name for name in [*fields(REQUEST), *MORE] if not name.endswith(".0")]:
        for value in JUNK:
            try:
                plan_night(night_in(tmp_path, request=changed(field, value)), EVENING_UTC)
            except JobFileError as error:
                refused += 1
                assert error.field
                assert error.remedy
                assert "\n" not in str(error)
    assert refused > 200


def test_the_number_of_further_mistakes_is_told(tmp_path: Path) -> None:
    assert "(1 more to correct after this one.)" in str(refusal(tmp_path, request={**changed("RoleArn"), "Bogus": 1}))


def test_reading_a_job_file_of_local_pools_loads_no_boto3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def guarded(name: str, *rest: Any, **named: Any) -> Any:
        assert not name.startswith(("boto", "sagemaker")), name
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", guarded)
    from tests.jobfile.files import job_in

    assert job_in(tmp_path).template is None
