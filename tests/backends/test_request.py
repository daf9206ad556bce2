"""From template and Pool to the request: what changes is what must, and the dead-man's stop is in it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from nightspot.backends.aws.request import LONGEST_S, STOPPING_S, TAGS_MAX, checkpoint_uri, control_uri, training_job
from nightspot.model.capacity import Market
from tests.backends.specs import HOUR_S, NOW_UTC, RUN_ID, TOKEN, pool, spec

# What the SageMaker SDK v2 sent for a Spot estimator.
RECORDED = json.loads((Path(__file__).parent.parent / "sagemaker" / "recorded.json").read_text())
NAMED = {
    "TrainingJobName",
    "EnableManagedSpotTraining",
    "ResourceConfig",
    "CheckpointConfig",
    "StoppingCondition",
    "Tags",
    "HyperParameters",
}


def made(market: Market = Market.SPOT, template: Any = RECORDED, **changes: Any) -> dict[str, Any]:
    not_after_utc = changes.pop("not_after_utc", NOW_UTC + 8 * HOUR_S)
    return training_job(spec(pool(template, market, **changes), not_after_utc=not_after_utc), NOW_UTC)


def valid(request: dict[str, Any]) -> bool:
    model = botocore.session.get_session().get_service_model("sagemaker").operation_model("CreateTrainingJob")
    return not ParamValidator().validate(request, model.input_shape).has_errors()


@pytest.mark.parametrize("market", Market)
def test_the_request_differs_from_the_sdks_own_only_in_the_fields_named(market: Market) -> None:
    request = made(market)
    assert {key for key in {*request, *RECORDED} if request.get(key) != RECORDED.get(key)} <= NAMED
    assert request["ResourceConfig"] == RECORDED["ResourceConfig"] | {"InstanceType": "ml.g5.xlarge"}
    assert request["CheckpointConfig"] == RECORDED["CheckpointConfig"] | {"S3Uri": f"s3://bkt/ck/{RUN_ID}/"}
    assert request["TrainingJobName"] == TOKEN
    assert request["HyperParameters"] == RECORDED["HyperParameters"] | {"sagemaker_job_name": f'"{TOKEN}"'}
    assert valid(request)


@pytest.mark.parametrize("given", [{"epochs": "3"}, None])
def test_the_jobs_name_is_told_to_a_toolkit_only_where_the_template_does(given: Any) -> None:
    template = {key: value for key, value in RECORDED.items() if key != "HyperParameters"}
    template |= {} if given is None else {"HyperParameters": given}
    assert made(template=template).get("HyperParameters") == given


def test_the_template_is_left_as_it_was() -> None:
    before = copy.deepcopy(RECORDED)
    made(options={"tags": {"team": "search"}, "output": "s3://bkt/models"})
    assert before == RECORDED


def test_an_output_prefix_of_the_job_file_replaces_the_templates() -> None:
    assert made(options={"output": "s3://bkt/models"})["OutputDataConfig"] == {"S3OutputPath": "s3://bkt/models"}


def test_checkpoints_are_shared_by_a_runs_attempts_and_fresh_for_each_run() -> None:
    asked = pool(RECORDED)
    assert checkpoint_uri(asked, "a") != checkpoint_uri(asked, "b")
    second = training_job(spec(asked, token=f"{RUN_ID}-abcdef01-002", number=2), NOW_UTC)
    assert second["CheckpointConfig"] == made()["CheckpointConfig"]


def test_no_prefix_of_one_run_covers_what_is_anothers_or_the_words_to_its_attempts() -> None:
    asked = pool(RECORDED)
    mine, again = checkpoint_uri(asked, RUN_ID), checkpoint_uri(asked, f"{RUN_ID}-2")
    words = control_uri(asked, RUN_ID, TOKEN)
    assert mine is not None
    assert again is not None
    assert words is not None
    assert not again.startswith(mine)
    assert not words.startswith(mine)


def test_without_a_prefix_of_the_job_files_runs_lie_below_the_templates() -> None:
    asked = pool(RECORDED, options={"checkpoints": ""})
    assert training_job(spec(asked), NOW_UTC)["CheckpointConfig"]["S3Uri"] == f"s3://bkt/ck/run1/{RUN_ID}/"


def test_a_template_without_checkpoints_gets_none() -> None:
    template = {key: value for key, value in RECORDED.items() if key != "CheckpointConfig"}
    assert "CheckpointConfig" not in made(template=template, options={"checkpoints": ""})


LIMITS = st.one_of(st.none(), st.integers(1, 200_000))


@given(runtime_s=LIMITS, wait_s=LIMITS, left_s=st.floats(-1e5, 1e9), market=st.sampled_from(Market))
def test_limits_end_it_in_time_and_the_users_own_only_shorten_them(
    runtime_s: int | None, wait_s: int | None, left_s: float, market: Market
) -> None:
    given_s = {"MaxRuntimeInSeconds": runtime_s, "MaxWaitTimeInSeconds": wait_s, "MaxPendingTimeInSeconds": 7200}
    template = {**RECORDED, "StoppingCondition": {k: v for k, v in given_s.items() if v is not None}}
    condition = made(market, template, not_after_utc=NOW_UTC + left_s)["StoppingCondition"]
    longest_s = max(1.0, min(LONGEST_S, left_s - STOPPING_S))
    assert condition["MaxPendingTimeInSeconds"] == 7200
    assert 1 <= condition["MaxRuntimeInSeconds"] <= min(longest_s, runtime_s or longest_s)
    if market is Market.ON_DEMAND:  # AWS refuses it there
        assert "MaxWaitTimeInSeconds" not in condition
    else:
        assert (
            condition["MaxRuntimeInSeconds"] <= condition["MaxWaitTimeInSeconds"] <= min(longest_s, wait_s or longest_s)
        )


def test_on_demand_may_name_several_types_by_priority() -> None:
    several = ["ml.p4d.24xlarge", "ml.p5.48xlarge"]
    request = made(Market.ON_DEMAND, options={"instance_types": several})
    assert request["ResourceConfig"]["InstancePreferences"] == [{"InstanceType": name} for name in several]
    assert "InstanceType" not in request["ResourceConfig"]
    assert "EnableManagedSpotTraining" not in request
    assert valid(request)


def test_spot_takes_its_own_type_and_no_preferences_of_the_templates() -> None:
    template = copy.deepcopy(RECORDED)
    template["ResourceConfig"]["InstancePreferences"] = [{"InstanceType": "ml.p5.48xlarge"}]
    resources = made(template=template)["ResourceConfig"]
    assert (resources["InstanceType"], "InstancePreferences" in resources) == ("ml.g5.xlarge", False)


def test_a_warm_pool_is_left_out_for_it_bills_after_the_end() -> None:
    template = copy.deepcopy(RECORDED)
    template["ResourceConfig"]["KeepAlivePeriodInSeconds"] = 3600
    assert all("KeepAlivePeriodInSeconds" not in made(market, template)["ResourceConfig"] for market in Market)


def test_tags_say_whose_it_is_and_nobody_can_overwrite_ours() -> None:
    template = {**RECORDED, "Tags": [{"Key": "team", "Value": "old"}, {"Key": "cost", "Value": "7"}]}
    tags = {"team": "search", "nightspot:run": "somebody's"}
    found = {tag["Key"]: tag["Value"] for tag in made(template=template, options={"tags": tags})["Tags"]}
    ours = {"nightspot:run": RUN_ID, "nightspot:job": "night", "nightspot:attempt": "1"}
    assert found == {"team": "search", "cost": "7", **ours}


def test_what_cannot_be_asked_for_is_said_before_it_is() -> None:
    with pytest.raises(ValueError, match="more than the 50"):
        made(options={"tags": {f"t{n}": "" for n in range(TAGS_MAX)}})
    with pytest.raises(ValueError, match="InstanceGroups"):
        made(template={**RECORDED, "ResourceConfig": {"InstanceGroups": [{}]}})
    with pytest.raises(ValueError, match="no name of a training job"):
        training_job(spec(pool(RECORDED), token="a" * 64), NOW_UTC)
    with pytest.raises(ValueError, match="no CreateTrainingJob template"):
        training_job(spec(pool(options={"request": None})), NOW_UTC)
