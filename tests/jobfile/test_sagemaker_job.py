"""A job on SageMaker is a request and a night: what stands in the file reaches the pools, and what differs per attempt is not identity."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nightspot.cli.choose import check_same_job
from nightspot.errors import JobFileError
from nightspot.jobfile import JobFile, PlannedNight, changed_field, check_fits, plan_night
from nightspot.model.capacity import Bounds, Market, Pool
from nightspot.model.events import RunOpened
from nightspot.model.state import RunState
from nightspot.night.codec import decode, encode
from tests.jobfile.files import EVENING_UTC
from tests.jobfile.requests import NIGHT, REQUEST, changed, night_in

RUN_ID = "recommender-20261125T0700Z"
# All that the backend reads, and nothing else: a restarted controller has only the Journal.
OPTIONS = {
    "region",
    "request",
    "checkpoints",
    "output",
    "progress",
    "progress_metric",
    "wrapper",
    "instance_types",
    "full_price_usd_per_hour",
    "tags",
    "price_known",
}


def planned(job_file: JobFile) -> PlannedNight:
    return plan_night(job_file, EVENING_UTC, folder_of=lambda run_id: Path("/runs") / run_id)


def pool_of(folder: Path, *settings: str, pool: str = "spot", request: Any = None) -> Pool:
    return planned(night_in(folder, *settings, request=request)).job.pool(pool)


def test_a_night_on_sagemaker_can_be_run_and_names_no_command(tmp_path: Path) -> None:
    night = planned(night_in(tmp_path))
    check_fits(night.job, "night.toml", night.start_utc, night.deadline_utc)
    assert night.run_id == RUN_ID
    assert night.job.training.command == ()
    assert night.job.checkpoint.directory == "", "nothing is kept on this machine"
    assert [(pool.backend, pool.market) for pool in night.job.pools] == [
        ("sagemaker", Market.SPOT),
        ("sagemaker", Market.ON_DEMAND),
    ]


def test_all_that_the_backend_needs_is_in_the_options_and_survives_the_journal(tmp_path: Path) -> None:
    night = planned(night_in(tmp_path, "sagemaker.tags={team='search'}", "sagemaker.output=s3://bkt/models/{night}/"))
    opened = RunOpened(
        at_utc=0.0,
        run_id=night.run_id,
        nonce="abcdef01",
        job=night.job,
        start_utc=night.start_utc,
        deadline_utc=night.deadline_utc,
        anchor_real_utc=0.0,
        bounds={},
        version="0",
    )
    assert decode("RunOpened", encode(opened)) == opened
    pool = night.job.pool("spot")
    assert set(pool.options) == OPTIONS
    assert pool.options["request"] == REQUEST
    assert {key: value for key, value in pool.options.items() if key != "request"} == {
        "region": "us-east-1",
        "checkpoints": "s3://bkt/ck/run1",
        "output": "s3://bkt/models/2026-11-25",
        "progress": "manifests",
        "progress_metric": "",
        "wrapper": True,
        "instance_types": [],
        "full_price_usd_per_hour": 1.41,
        "tags": {"team": "search"},
        "price_known": True,
    }


def test_overrides_are_laid_over_the_request_and_a_list_replaces_the_list(tmp_path: Path) -> None:
    settings = (
        'sagemaker.overrides.HyperParameters={epochs="7",tag="{name}-{night}",set="{{1,2}}"}',
        'sagemaker.overrides.InputDataConfig=[{ChannelName="all",DataSource={S3DataSource={S3DataType="S3Prefix",S3Uri="s3://b/{run_id}"}}}]',
        "sagemaker.role=arn:aws:iam::123456789012:role/other",
    )
    request = pool_of(tmp_path, *settings).options["request"]
    wanted = {"epochs": "7", "tag": "recommender-2026-11-25", "set": "{1,2}"}
    assert request["HyperParameters"] == {**REQUEST["HyperParameters"], **wanted}
    assert [channel["ChannelName"] for channel in request["InputDataConfig"]] == ["all"]
    assert request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] == f"s3://b/{RUN_ID}"
    assert request["RoleArn"].endswith("role/other")
    assert request["AlgorithmSpecification"] == REQUEST["AlgorithmSpecification"]


def test_braces_of_the_template_itself_are_left_alone(tmp_path: Path) -> None:
    regex = "loss=([0-9]{1,3}) {night}"
    request = changed("AlgorithmSpecification.MetricDefinitions", [{"Name": "loss", "Regex": regex}])
    found = pool_of(tmp_path, request=request).options["request"]
    assert found["AlgorithmSpecification"]["MetricDefinitions"][0]["Regex"] == regex


@pytest.mark.parametrize(
    ("settings", "progress"),
    [
        ((), "manifests"),
        (("checkpoint.pattern=ckpt-*.pt",), "files"),
        (("sagemaker.progress_metric=loss",), "metric"),
        (("sagemaker.progress=none",), "none"),
        (("sagemaker.progress=none", "checkpoint.pattern=ckpt-*.pt"), "none"),
    ],
)
def test_what_tells_progress_follows_from_what_is_given(
    tmp_path: Path, settings: tuple[str, ...], progress: str
) -> None:
    assert pool_of(tmp_path, *settings).options["progress"] == progress


def test_bounds_are_the_services_own_until_given_or_measured(tmp_path: Path) -> None:
    assert pool_of(tmp_path).bounds == Bounds(600, 300, 900, 120)
    assert pool_of(tmp_path, "pools.spot.bounds={lead='4min',refusal='1h'}").bounds == Bounds(240, 300, 3600, 120)


def test_a_price_may_be_left_to_be_found_and_a_private_rate_is_kept(tmp_path: Path) -> None:
    text = NIGHT.replace("price = 0.42\n", "").replace("price = 1.41\n", "")
    job = planned(night_in(tmp_path, text=text)).job
    assert [(p.price_usd_per_hour, p.options["price_known"]) for p in job.pools] == [(0.0, False), (0.0, False)]
    assert [p.options["full_price_usd_per_hour"] for p in job.pools] == [None, None]
    assert pool_of(tmp_path, "pools.spot.full_price=0.99").options["full_price_usd_per_hour"] == 0.99
    other = pool_of(tmp_path, "pools.spot.instance_type=ml.g6.xlarge")
    assert other.options["full_price_usd_per_hour"] is None


def test_on_demand_may_name_several_types_the_best_first(tmp_path: Path) -> None:
    types = 'instance_types = ["ml.g5.xlarge", "ml.g6.xlarge"]'
    cut = NIGHT.rindex('instance_type = "ml.g5.xlarge"')
    text = NIGHT[:cut] + NIGHT[cut:].replace('instance_type = "ml.g5.xlarge"', types)
    backup = planned(night_in(tmp_path, text=text)).job.pool("backup")
    assert backup.options["instance_types"] == ["ml.g5.xlarge", "ml.g6.xlarge"]
    assert backup.instance_type == "ml.g5.xlarge"
    assert backup.options["full_price_usd_per_hour"] is None


def test_the_region_is_the_place_unless_a_pool_has_its_own(tmp_path: Path) -> None:
    pool = pool_of(tmp_path)
    assert (pool.place, pool.options["region"]) == ("us-east-1", "us-east-1")
    pool = pool_of(tmp_path, "pools.spot.place=eu-west-1")
    assert (pool.place, pool.options["region"]) == ("eu-west-1", "eu-west-1")


def test_as_many_instances_as_the_request_says_train_together(tmp_path: Path) -> None:
    request = changed("ResourceConfig.InstanceCount", 4)
    assert pool_of(tmp_path, request=request).world_size == 4
    assert pool_of(tmp_path, "pools.spot.world_size=32", request=request).world_size == 32


def test_checkpoints_go_where_the_file_says_else_where_the_request_does(tmp_path: Path) -> None:
    uri = "sagemaker.checkpoints=s3://other/{name}/"
    assert (
        pool_of(tmp_path, uri, request=changed("CheckpointConfig")).options["checkpoints"] == "s3://other/recommender"
    )
    assert (
        pool_of(tmp_path, request=changed("CheckpointConfig.S3Uri", "s3://bkt/a/")).options["checkpoints"]
        == "s3://bkt/a"
    )


def test_the_artifact_is_a_member_of_the_models_archive_and_goes_to_a_bucket_or_a_path(tmp_path: Path) -> None:
    settings = ('artifact={path="out/{name}.pt",publish="s3://bkt/{night}/model.pt"}',)
    training = planned(night_in(tmp_path, *settings)).job.training
    assert (training.artifact, training.publish) == ("out/recommender.pt", "s3://bkt/2026-11-25/model.pt")


def test_compressed_time_is_left_to_the_emulator(tmp_path: Path) -> None:
    night = planned(night_in(tmp_path, "time_scale=240"))
    assert (night.job.time_scale, night.market_now_utc) == (240.0, night.start_utc)


# What changes a run's identity, and what does not.
SAME = {
    "TrainingJobName": "another",
    "EnableManagedSpotTraining": False,
    "ResourceConfig.InstanceType": "ml.p5.48xlarge",
    "CheckpointConfig.S3Uri": "s3://other/place",
    "StoppingCondition.MaxRuntimeInSeconds": 30000,
    "Tags": [{"Key": "a", "Value": "b"}],
    "RoleArn": "arn:aws:iam::123456789012:role/other",
    "OutputDataConfig.S3OutputPath": "s3://other/out",
    "HyperParameters.sagemaker_job_name": '"spotjob-2026-11-24"',
    "RetryStrategy.MaximumRetryAttempts": 9,
}
OTHER = {
    "AlgorithmSpecification.TrainingImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:2",
    "HyperParameters.lr": "0.2",
    "HyperParameters.sagemaker_submit_directory": '"s3://bkt/code/new/sourcedir.tar.gz"',
    "InputDataConfig.0.DataSource.S3DataSource.S3Uri": "s3://bkt/other",
    "Environment.FOO": "2",
    "ResourceConfig.InstanceCount": 2,
}


def fingerprint(folder: Path, *settings: str, request: Any = None) -> str:
    return planned(night_in(folder, *settings, request=request)).job.training.fingerprint


@pytest.mark.parametrize("field", SAME)
def test_what_differs_from_attempt_to_attempt_is_no_part_of_a_runs_identity(tmp_path: Path, field: str) -> None:
    assert fingerprint(tmp_path, request=changed(field, SAME[field])) == fingerprint(tmp_path)


@pytest.mark.parametrize("field", OTHER)
def test_what_the_result_depends_on_is_a_runs_identity(tmp_path: Path, field: str) -> None:
    assert fingerprint(tmp_path, request=changed(field, OTHER[field])) != fingerprint(tmp_path)
    override = json.dumps(OTHER[field])
    if ".0." not in field:
        assert fingerprint(tmp_path, f"sagemaker.overrides.{field}={override}") != fingerprint(tmp_path)


@pytest.mark.parametrize("field", OTHER)
def test_the_field_that_makes_it_another_run_is_named_with_both_values(tmp_path: Path, field: str) -> None:
    found = changed_field(REQUEST, changed(field, OTHER[field]))
    assert found is not None
    assert found[0] == ("InputDataConfig" if ".0." in field else field.removeprefix("ResourceConfig."))
    assert found[2] == OTHER[field] or ".0." in field
    assert all(changed_field(REQUEST, changed(same, SAME[same])) is None for same in SAME)


def test_a_night_that_began_with_another_request_is_not_continued(tmp_path: Path) -> None:
    began = planned(night_in(tmp_path)).job
    now = planned(night_in(tmp_path, request=changed("HyperParameters.lr", "0.2"))).job
    state = cast("RunState", SimpleNamespace(job=began, run_id=RUN_ID))
    check_same_job(state, began, "night.toml")
    with pytest.raises(JobFileError, match=r"the request's HyperParameters\.lr = '0\.2': run .* began with '0\.1'"):
        check_same_job(state, now, "night.toml")


def test_a_placeholder_does_not_make_each_night_another_job(tmp_path: Path) -> None:
    job_file = night_in(tmp_path, 'sagemaker.overrides.HyperParameters={start="{night}"}')
    tonight, tomorrow = planned(job_file), plan_night(job_file, EVENING_UTC + 86400)
    assert tonight.job.training.fingerprint == tomorrow.job.training.fingerprint
    assert tonight.job.pools[0].options["request"] != tomorrow.job.pools[0].options["request"]


def test_planning_twice_gives_equal_jobs_that_share_nothing_with_the_file(tmp_path: Path) -> None:
    job_file = night_in(tmp_path)
    before = json.dumps(job_file.template.request if job_file.template else None)
    first = planned(job_file)
    assert dataclasses.replace(first) == planned(job_file)
    assert json.dumps(job_file.template.request if job_file.template else None) == before
