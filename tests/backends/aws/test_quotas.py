"""The dearest surprise: a quota of 0 is found before the night, and what is in use now, too."""

from __future__ import annotations

from typing import Any, Mapping

import pytest

from nightspot.backends.aws.doctor import findings
from nightspot.backends.aws.quotas import JOBS_MAX, PAGES_MAX, quotas
from nightspot.model.capacity import Market
from nightspot.night.ports import Finding, Kind
from tests.backends.aws.answers import Answers, job, pool, quotas_of, request

LOOK = (("the quotas", quotas),)
TWO = request(ResourceConfig={"InstanceType": "ml.g5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 30})


def found(clients: Answers, *pools: Any) -> list[Finding]:
    return findings(job(*pools), clients, looks=LOOK)


def running(*trainings: Mapping[str, Any]) -> dict[str, Any]:
    """Answers for a region where these trainings are in progress."""
    named = {f"job-{number}": training for number, training in enumerate(trainings)}

    def listed(asked: Mapping[str, Any]) -> dict[str, Any]:
        names = named if asked["StatusEquals"] == "InProgress" else ()
        return {"TrainingJobSummaries": [summary(name) for name in names]}

    return {"ListTrainingJobs": listed, "DescribeTrainingJob": lambda asked: named[asked["TrainingJobName"]]}


def summary(name: str) -> dict[str, Any]:
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}"
    return {"TrainingJobName": name, "TrainingJobArn": arn, "CreationTime": 0, "TrainingJobStatus": "InProgress"}


def training(spot: bool, count: int = 1, name: str = "ml.g5.xlarge") -> dict[str, Any]:
    return {
        **{key: value for key, value in summary("x").items() if key != "TrainingJobStatus"},
        "ModelArtifacts": {"S3ModelArtifacts": "s3://b/m"},
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Training",
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {"InstanceType": name, "InstanceCount": count, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 1},
        "EnableManagedSpotTraining": spot,
    }


def test_a_spot_quota_of_0_is_fatal_and_the_remedy_says_that_it_takes_days(far: Answers) -> None:
    far.by_operation["ListServiceQuotas"] = quotas_of(spot=0, od=4)
    spot, on_demand = found(far)
    assert (spot.fatal, on_demand.kind) == (True, Kind.FINE)
    assert "'ml.g5.xlarge for spot training job usage' in us-east-1 is 0" in spot.what
    assert "Request an increase to at least 1" in spot.remedy
    assert "days" in spot.remedy


def test_the_two_quotas_are_told_apart(far: Answers) -> None:
    far.by_operation["ListServiceQuotas"] = quotas_of(spot=4, od=0)
    spot, on_demand = found(far)
    assert (spot.kind, on_demand.fatal) == (Kind.FINE, True)


def test_more_instances_than_the_quota_can_never_start(far: Answers) -> None:
    (only,) = found(far, pool(template=TWO))
    assert only.fatal
    assert "is 1, and pool spot asks for 2" in only.what


def test_what_is_in_use_is_counted_by_type_and_market_and_only_warned_of(far: Answers) -> None:
    """It may be free by the evening."""
    far.by_operation["ListServiceQuotas"] = quotas_of(spot=3, od=3)
    far.by_operation |= running(
        training(spot=True, count=2), training(spot=False), training(spot=True, count=9, name="ml.p4d.24xlarge")
    )
    spot, on_demand = found(far, pool(template=TWO), pool(Market.ON_DEMAND, TWO))
    assert (spot.kind, spot.fatal) == (Kind.WRONG, False)
    assert "is 3, and 2 are in use: too few for the 2" in spot.what
    assert on_demand.kind is Kind.FINE
    assert "is 3, and 1 are in use" in on_demand.what


def test_trainings_that_may_not_be_looked_at_are_said_not_forgotten(far: Answers) -> None:
    far.by_operation |= running(training(spot=True), training(spot=True))
    far.by_operation["DescribeTrainingJob"] = "AccessDeniedException"
    last = found(far)[-1]
    assert last.kind is Kind.UNCHECKED
    assert "2 trainings in us-east-1 may not be looked at" in last.what


def test_of_very_many_trainings_some_are_looked_at_and_the_rest_said(far: Answers) -> None:
    far.by_operation["ListServiceQuotas"] = quotas_of(spot=1000, od=1000)
    far.by_operation |= running(*[training(spot=True)] * (JOBS_MAX + 5))
    spot, _, last = found(far)
    assert f"{JOBS_MAX} are in use" in spot.what
    assert "5 trainings" in last.what
    assert far.names().count("DescribeTrainingJob") == JOBS_MAX


def test_a_use_that_may_not_be_listed_leaves_the_quota_itself_said(far: Answers) -> None:
    far.by_operation["ListTrainingJobs"] = "AccessDeniedException"
    spot, _ = found(far)
    assert spot.kind is Kind.UNCHECKED
    assert "is 1; how much of it is in use cannot be seen: these credentials may not call ListTrainingJobs" in spot.what


def test_quotas_are_looked_for_page_by_page_and_not_without_end(far: Answers) -> None:
    pages = {"": ({"Quotas": [], "NextToken": "2"}), "2": quotas_of(spot=1, od=1)}
    far.by_operation["ListServiceQuotas"] = lambda asked: pages[asked.get("NextToken", "")]
    assert [one.kind for one in found(far)] == [Kind.FINE, Kind.FINE]
    assert far.names().count("ListServiceQuotas") == 2
    far.by_operation["ListServiceQuotas"] = {"Quotas": [], "NextToken": "again"}
    found(far)
    assert far.names().count("ListServiceQuotas") == 2 + PAGES_MAX


def test_aws_s_defaults_count_where_the_account_s_list_leaves_a_quota_out(far: Answers) -> None:
    far.by_operation["ListServiceQuotas"] = quotas_of(od=1)
    far.by_operation["ListAWSDefaultServiceQuotas"] = quotas_of(spot=0, od=7)
    spot, on_demand = found(far)
    assert spot.fatal
    assert "is 1," in on_demand.what


def test_a_type_that_has_no_quota_is_said_to_be_unknown_not_fine(far: Answers) -> None:
    far.by_operation |= {"ListServiceQuotas": {"Quotas": []}, "ListAWSDefaultServiceQuotas": {"Quotas": []}}
    assert [one.kind for one in found(far)] == [Kind.UNCHECKED, Kind.UNCHECKED]


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException", "InternalFailure"])
def test_quotas_that_cannot_be_seen_are_said_with_the_reason_and_where_to_look(far: Answers, code: str) -> None:
    far.by_operation["ListServiceQuotas"] = code
    (only,) = found(far)
    assert only.kind is Kind.UNCHECKED
    assert "ml.g5.xlarge for spot training job usage" in only.what
    assert "Service Quotas" in only.remedy


def test_of_several_types_one_without_quota_is_a_warning_and_all_of_them_are_fatal(far: Answers) -> None:
    several = pool(Market.ON_DEMAND, instance_types=["ml.g5.xlarge", "ml.g6.xlarge"])
    other = {"QuotaName": "ml.g6.xlarge for training job usage", "Value": 0.0}
    far.by_operation["ListServiceQuotas"] = {"Quotas": [*quotas_of(od=1)["Quotas"], other]}
    assert [(one.kind, one.fatal) for one in found(far, several)] == [(Kind.FINE, False), (Kind.WRONG, False)]
    far.by_operation["ListServiceQuotas"] = {"Quotas": [*quotas_of(od=0)["Quotas"], other]}
    assert [one.fatal for one in found(far, several)] == [True, True]


def test_instance_groups_and_chosen_types_are_counted_too(far: Answers) -> None:
    groups = {**training(spot=False), "ResourceConfig": {"VolumeSizeInGB": 1, "InstanceGroups": [
        {"InstanceType": "ml.g5.xlarge", "InstanceCount": 3, "InstanceGroupName": "a"},
        {"InstanceType": "ml.m5.large", "InstanceCount": 1, "InstanceGroupName": "b"},
    ]}}  # fmt: skip
    far.by_operation["ListServiceQuotas"] = quotas_of(od=10)
    far.by_operation |= running(groups)
    (only,) = found(far, pool(Market.ON_DEMAND))
    assert "3 are in use" in only.what
