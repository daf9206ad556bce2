"""What CreateTrainingJob refuses beyond the shapes of its parts: AWS's rules between fields, and what this emulator cannot do."""

from __future__ import annotations

from typing import Any, Mapping

from nightspot.emulator.errors import invalid
from nightspot.model.capacity import Market

Request = Mapping[str, Any]
DAY_S = 86400
LONGEST_RUN_S = 28 * DAY_S
ONLY_ONE = "nightspot's emulator trains on one instance: InstanceCount must be 1"
UNSUPPORTED = ("ServerlessJobConfig", "ModelPackageConfig")


def market_of(request: Request) -> Market:
    """How its capacity is bought."""
    return Market.SPOT if request.get("EnableManagedSpotTraining") else Market.ON_DEMAND


def instance_types(request: Request) -> tuple[str, ...]:
    """The types it may run on, in order of preference."""
    resources = request["ResourceConfig"]
    preferences = resources.get("InstancePreferences")
    return tuple(one["InstanceType"] for one in preferences) if preferences else (resources["InstanceType"],)


def max_run_s(request: Request) -> float:
    """The limit of all its running."""
    return float(request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DAY_S))


def max_wait_s(request: Request) -> float | None:
    """The limit of its waiting and running together; only Spot has one."""
    found = request.get("StoppingCondition", {}).get("MaxWaitTimeInSeconds")
    return None if found is None else float(found)


def max_pending_s(request: Request) -> float | None:
    """The limit of waiting for capacity; it counts for accelerated types only."""
    found = request.get("StoppingCondition", {}).get("MaxPendingTimeInSeconds")
    accelerated = any(name.removeprefix("ml.").startswith(("p", "g", "trn")) for name in instance_types(request))
    return float(found) if found is not None and accelerated else None


def refuse_bad(request: Request) -> None:
    """ApiError (ValidationException) for a request that AWS would refuse, or that this emulator cannot carry out."""
    _unsupported(request)
    _algorithm(request)
    _resources(request)
    _stopping(request)
    _tags(request.get("Tags", ()))


def _unsupported(request: Request) -> None:
    for name in UNSUPPORTED:
        if name in request:
            raise invalid(f"nightspot's emulator does not know {name}")
    modes = [channel.get("InputMode") for channel in request.get("InputDataConfig", ())]
    if "Pipe" in (request.get("AlgorithmSpecification", {}).get("TrainingInputMode"), *modes):
        raise invalid("nightspot's emulator has no Pipe mode: use File or FastFile")


def _algorithm(request: Request) -> None:
    algorithm = request.get("AlgorithmSpecification")
    if algorithm is None:
        raise invalid("AlgorithmSpecification is required for a training job that is not serverless")
    if ("TrainingImage" in algorithm) == ("AlgorithmName" in algorithm):
        raise invalid("Specify exactly one of TrainingImage and AlgorithmName in AlgorithmSpecification")
    if "AlgorithmName" in algorithm:
        raise invalid("nightspot's emulator runs no algorithm resources: give a TrainingImage")
    names = [channel["ChannelName"] for channel in request.get("InputDataConfig", ())]
    if len(set(names)) < len(names):
        raise invalid(f"Channel names must be unique, not {', '.join(names)}")


def _resources(request: Request) -> None:
    resources = request.get("ResourceConfig")
    if resources is None:
        raise invalid("ResourceConfig is required for a training job that is not serverless")
    if "SelectedInstanceType" in resources or "SelectedInstanceCount" in resources:
        raise invalid("SelectedInstanceType and SelectedInstanceCount are read-only")
    if resources.get("InstanceGroups"):
        raise invalid("nightspot's emulator trains on one instance: InstanceGroups is not supported")
    if "InstancePreferences" in resources:
        _preferences(request, resources)
    elif "InstanceType" not in resources:
        raise invalid("ResourceConfig needs an InstanceType, or InstancePreferences")
    elif resources.get("InstanceCount") != 1:
        raise invalid(ONLY_ONE)
    if resources.get("KeepAlivePeriodInSeconds") and request.get("EnableManagedSpotTraining"):
        raise invalid("KeepAlivePeriodInSeconds is not supported with EnableManagedSpotTraining")


def _preferences(request: Request, resources: Request) -> None:
    preferences = resources["InstancePreferences"]
    for other in ("InstanceType", "InstanceGroups", "InstancePlacementConfig"):
        if other in resources:
            raise invalid(f"InstancePreferences and {other} are mutually exclusive")
    if request.get("EnableManagedSpotTraining"):
        raise invalid("InstancePreferences and EnableManagedSpotTraining are mutually exclusive")
    names = [one.get("InstanceType") for one in preferences]
    if None in names or len(set(names)) < len(names):
        raise invalid("Each of InstancePreferences needs an InstanceType, and each type may appear only once")
    counts = [one.get("InstanceCount") for one in preferences]
    shared = resources.get("InstanceCount")
    if any(count is not None for count in counts) == (shared is not None) or (shared is None and None in counts):
        raise invalid("Give InstanceCount either in ResourceConfig or in every one of InstancePreferences")
    if any(count != 1 for count in ([shared] if shared is not None else counts)):
        raise invalid(ONLY_ONE)


def _stopping(request: Request) -> None:
    run_s, wait_s = max_run_s(request), max_wait_s(request)
    if run_s > LONGEST_RUN_S:
        raise invalid(f"MaxRuntimeInSeconds must be at most {LONGEST_RUN_S} (28 days)")
    if market_of(request) is Market.ON_DEMAND:
        if wait_s is not None:
            raise invalid(
                "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true"
            )
    elif wait_s is None or wait_s < run_s:
        raise invalid(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        )


def _tags(tags: Any) -> None:
    keys = [tag["Key"] for tag in tags]
    if len(set(keys)) < len(keys):
        raise invalid("Duplicate tag keys found. Tag keys must be unique")
    if any(key.lower().startswith("aws:") for key in keys):
        raise invalid("Tag keys that begin with aws: are reserved")


refuse_bad_tags = _tags
