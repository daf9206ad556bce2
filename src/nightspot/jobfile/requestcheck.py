"""Our own rules for a request: what would make a Spot night dear, late or lost. The service itself takes all of this."""

from __future__ import annotations

import json
import math
from typing import Any, Callable, Iterator, Mapping

from nightspot.jobfile.buckets import S3_URI
from nightspot.jobfile.document import Document
from nightspot.jobfile.durations import about, format_duration
from nightspot.jobfile.findings import Request, Wrong, at
from nightspot.jobfile.sagemakertable import SageMakerTable

# Folders of the container that are packed, sent or replaced by the service itself.
NOT_FOR_CHECKPOINTS = ("/opt/ml/model", "/opt/ml/output", "/opt/ml/input")
OBJECTS = (
    "AlgorithmSpecification",
    "ResourceConfig",
    "StoppingCondition",
    "OutputDataConfig",
    "CheckpointConfig",
    "HyperParameters",
    "Environment",
)
NUMBERS: Mapping[tuple[str, ...], str] = {
    ("StoppingCondition", "MaxRuntimeInSeconds"): "seconds",
    ("StoppingCondition", "MaxWaitTimeInSeconds"): "seconds",
    ("ResourceConfig", "InstanceCount"): "instances",
}
LARGEST = 10**8
PER_ATTEMPT = {
    "InstancePreferences": "Leave it out; give an on-demand pool instance_types = [...] instead.",
    "InstanceGroups": "Use one instance type for all instances: nightspot sets it for each attempt.",
    "TrainingPlanArn": "Leave it out: a training plan is paid for, and is no Spot capacity.",
}


def by_our_rules(request: Request, document: Document) -> Iterator[Wrong]:
    """Each breach. Fields of a wrong kind are told alone: nothing can be read from them."""
    kinds = list(_kinds(request))
    if kinds:
        yield from kinds
        return
    for rule in RULES:
        yield from rule(request, document)


def _kinds(request: Request) -> Iterator[Wrong]:
    for key in OBJECTS:
        if key in request and not isinstance(request[key], dict):
            yield Wrong((key,), request[key], "expected an object", "CreateTrainingJob says what belongs there.")
    for path, what in NUMBERS.items():
        value = at(request, *path)
        if value is not None and (type(value) is not int or not 0 < value <= LARGEST):
            yield Wrong(path, value, f"expected a whole number of {what}", "Correct it.")


def _table(document: Document) -> SageMakerTable:
    assert document.sagemaker is not None  # noqa: S101 - for the type checker: there is a request
    return document.sagemaker


def _complete(request: Request, document: Document) -> Iterator[Wrong]:
    table = _table(document)
    if not request.get("RoleArn"):
        remedy = 'Add it, or role = "arn:aws:iam::123456789012:role/training" to [sagemaker].'
        yield Wrong(("RoleArn",), None, "the training needs a role", remedy)
    algorithm = request.get("AlgorithmSpecification") or {}
    if not algorithm.get("TrainingImage") and not algorithm.get("AlgorithmName"):
        path = ("AlgorithmSpecification", "TrainingImage")
        yield Wrong(path, None, "what trains is not said", "Add the address of the training image.")
    if table.output is None and not at(request, "OutputDataConfig", "S3OutputPath"):
        remedy = 'Add it, or output = "s3://bucket/models" to [sagemaker].'
        yield Wrong(("OutputDataConfig", "S3OutputPath"), None, "where the model goes is not said", remedy)


def _checkpoints(request: Request, document: Document) -> Iterator[Wrong]:
    uri = at(request, "CheckpointConfig", "S3Uri")
    if _table(document).checkpoints is None:
        remedy = 'Add checkpoints = "s3://bucket/checkpoints" to [sagemaker]; each run gets a folder of its own in it.'
        if uri is None:
            expected = "without checkpoints in a bucket, whatever Spot takes back is lost"
            yield Wrong(("CheckpointConfig", "S3Uri"), None, expected, remedy)
        elif not isinstance(uri, str) or S3_URI.fullmatch(uri) is None:
            yield Wrong(("CheckpointConfig", "S3Uri"), uri, "expected a folder in a bucket", remedy)
    path = at(request, "CheckpointConfig", "LocalPath")
    if isinstance(path, str) and _is_taken(path):
        expected = (
            "SageMaker packs, sends or replaces this folder itself: checkpoints there are lost, or end in the model"
        )
        remedy = 'Let the script save to "/opt/ml/checkpoints", and leave LocalPath out.'
        yield Wrong(("CheckpointConfig", "LocalPath"), path, expected, remedy)


def _is_taken(path: str) -> bool:
    clean = path.rstrip("/")
    return any(clean == taken or clean.startswith(f"{taken}/") for taken in NOT_FOR_CHECKPOINTS) or clean == "/opt/ml"


def _times(request: Request, document: Document) -> Iterator[Wrong]:
    runtime_s = at(request, "StoppingCondition", "MaxRuntimeInSeconds")
    wait_s = at(request, "StoppingCondition", "MaxWaitTimeInSeconds")
    if wait_s is not None and runtime_s is not None and wait_s < runtime_s:
        expected = f"it counts waiting and training, so it cannot be less than MaxRuntimeInSeconds ({runtime_s})"
        remedy = f"Raise it to {runtime_s} at least, or leave it out: nightspot bounds the wait by the deadline."
        yield Wrong(("StoppingCondition", "MaxWaitTimeInSeconds"), wait_s, expected, remedy)
    speeds = [pool.speed for pool in document.pools if pool.market == "on-demand"]
    need_s = _total_s(document) / min(speeds, default=1.0)
    if runtime_s is not None and runtime_s < need_s:
        work = about(_total_s(document))
        expected = f"{format_duration(runtime_s)} end before the work of {work} could be done at once"
        remedy = f"Raise it to {math.ceil(need_s)} at least, or leave it out: nightspot sets it by the deadline; or correct `work`."
        yield Wrong(("StoppingCondition", "MaxRuntimeInSeconds"), runtime_s, expected, remedy)


def _total_s(document: Document) -> float:
    work = document.work
    return float(work.total if work.total is not None else (work.units or 0.0) * (work.each or 0.0))


def _data(request: Request, _document: Document) -> Iterator[Wrong]:
    """A pipe is read once and from its beginning: what resumes cannot go back to where it was."""
    expected, remedy = "a training that resumes cannot go on in the middle of a pipe", 'Write "File" or "FastFile".'
    if at(request, "AlgorithmSpecification", "TrainingInputMode") == "Pipe":
        yield Wrong(("AlgorithmSpecification", "TrainingInputMode"), "Pipe", expected, remedy)
    channels = request.get("InputDataConfig")
    for index, channel in enumerate(channels if isinstance(channels, list) else ()):
        if at(channel, "InputMode") == "Pipe":
            yield Wrong(("InputDataConfig", index, "InputMode"), "Pipe", expected, remedy)


def _resources(request: Request, document: Document) -> Iterator[Wrong]:
    spot = any(pool.market == "spot" for pool in document.pools)
    kept_s = at(request, "ResourceConfig", "KeepAlivePeriodInSeconds")
    if spot and kept_s:
        remedy = "Leave it out, or leave the Spot pools out."
        expected = "SageMaker keeps no warm pool of Spot capacity, and refuses the request"
        yield Wrong(("ResourceConfig", "KeepAlivePeriodInSeconds"), kept_s, expected, remedy)
    for key, remedy in PER_ATTEMPT.items():
        value = at(request, "ResourceConfig", key)
        if value and (spot or key == "InstanceGroups"):
            yield Wrong(
                ("ResourceConfig", key), value, "this does not go with Spot, nor with types tried in turn", remedy
            )


def _wrapper(request: Request, document: Document) -> Iterator[Wrong]:
    """The wrapper stands before the user's script in sourcedir.tar.gz: there must be one, where we can repack it."""
    if not _table(document).wrapper:
        return
    source = plain(at(request, "HyperParameters", "sagemaker_submit_directory"))
    if not isinstance(source, str) or not source.startswith("s3://"):
        path = ("HyperParameters", "sagemaker_submit_directory")
        expected = "our wrapper travels with the script's source in a bucket, and this request has none"
        remedy = "Set wrapper = false in [sagemaker]: it trains all the same, without notices and words while it runs."
        yield Wrong(path, source, expected, remedy)


def plain(value: Any) -> Any:
    """A hyperparameter without its JSON: the SDK writes the text x as "x"."""
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


def _metric(request: Request, document: Document) -> Iterator[Wrong]:
    wanted = _table(document).progress_metric
    if wanted is None:
        return
    defined = at(request, "AlgorithmSpecification", "MetricDefinitions")
    names = [str(at(metric, "Name")) for metric in (defined if isinstance(defined, list) else ())]
    if wanted not in names:
        known = ", ".join(names) or "none"
        path = ("AlgorithmSpecification", "MetricDefinitions")
        expected = f"progress_metric = {wanted!r} is not among them ({known})"
        remedy = 'Add it, for example: {"Name": "epoch", "Regex": "epoch=([0-9]+)"}.'
        yield Wrong(path, names or None, expected, remedy)


RULES: tuple[Callable[[Request, Document], Iterator[Wrong]], ...] = (
    _complete,
    _checkpoints,
    _times,
    _data,
    _resources,
    _wrapper,
    _metric,
)
