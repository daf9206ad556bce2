"""A CreateTrainingJob request out of what DescribeTrainingJob says: only the fields that it takes, by the service's own model."""

from __future__ import annotations

from typing import Any, Mapping

from nightspot.backends.aws.bundle import unbundled
from nightspot.jobfile.requestmodel import create_training_job
from nightspot.sagemaker.errors import PastJobError

# Set for each attempt, or by the deadline; and what SageMaker chose that time.
NOT_KEPT = ("TrainingJobName", "StoppingCondition", "EnableManagedSpotTraining", "Tags")
NOT_KEPT_OF_RESOURCES = (
    "KeepAlivePeriodInSeconds",
    "InstancePreferences",
    "SelectedInstanceType",
    "SelectedInstanceCount",
)


def request_of(described: Mapping[str, Any]) -> dict[str, Any]:
    """The template of a night: how that job was asked for, but for its name, limits and market."""
    shape = create_training_job()
    if shape is None:
        raise PastJobError("botocore is missing: pip install 'nightspot[aws]'")
    request: dict[str, Any] = unbundled(_kept(described, shape))
    for key in NOT_KEPT:
        request.pop(key, None)
    resources = request.get("ResourceConfig", {})
    if "InstanceType" not in resources and resources.get("SelectedInstanceType"):
        resources["InstanceType"] = resources["SelectedInstanceType"]
    for key in NOT_KEPT_OF_RESOURCES:
        resources.pop(key, None)
    return request


def _kept(value: Any, shape: Any) -> Any:
    """What the shape knows of the value; empty lists, maps and texts say nothing, and some of them are refused when sent back."""
    if shape.type_name == "structure":
        known = {key: _kept(value[key], member) for key, member in shape.members.items() if key in value}
        return {key: item for key, item in known.items() if item not in (None, "", [], {})}
    if shape.type_name == "list":
        return [_kept(item, shape.member) for item in value]
    return dict(value) if shape.type_name == "map" else value
