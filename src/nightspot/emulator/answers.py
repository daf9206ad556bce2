"""A record as the API tells it: DescribeTrainingJob's answer and the lines of ListTrainingJobs."""

from __future__ import annotations

from typing import Any

from nightspot.emulator.record import JobRecord, Transition
from nightspot.emulator.rules import DAY_S, market_of
from nightspot.emulator.settings import Settings
from nightspot.model.capacity import Market

FLAGS = ("EnableManagedSpotTraining", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption")

CHANNEL = {"CompressionType": "None", "RecordWrapperType": "None"}


def summary(record: JobRecord) -> dict[str, Any]:
    """Its line in a list."""
    return {
        "TrainingJobName": record.name,
        "TrainingJobArn": record.arn,
        "CreationTime": record.created_utc,
        "TrainingEndTime": record.training_end_utc if record.ended else None,
        "LastModifiedTime": record.modified_utc,
        "TrainingJobStatus": record.status,
        "SecondaryStatus": record.secondary,
    }


def description(record: JobRecord, settings: Settings) -> dict[str, Any]:
    """All of it. What the response shape has no place for (tags) is dropped later."""
    return {
        **record.request,
        **{flag: bool(record.request.get(flag)) for flag in FLAGS},
        **summary(record),
        **_completed_request(record),
        **_times(record, settings),
        "TrainingStartTime": record.training_start_utc,
        "TrainingEndTime": None if record.training_start_utc is None else record.training_end_utc,
        "FailureReason": record.failure_reason,
        "ModelArtifacts": None if record.model_uri is None else {"S3ModelArtifacts": record.model_uri},
        "SecondaryStatusTransitions": [_transition(one) for one in record.transitions],
        "FinalMetricDataList": record.metrics or None,
    }


def _completed_request(record: JobRecord) -> dict[str, Any]:
    """What AWS adds to the parts of the request."""
    resources = dict(record.request["ResourceConfig"])
    if "InstancePreferences" in resources and record.selected_type is not None:
        resources |= {"SelectedInstanceType": record.selected_type, "SelectedInstanceCount": 1}
    stopping = {"MaxRuntimeInSeconds": DAY_S, **record.request.get("StoppingCondition", {})}
    checkpoint = record.request.get("CheckpointConfig")
    channels = record.request.get("InputDataConfig")
    profiler = record.request.get("ProfilerConfig", {"DisableProfiler": True})
    return {
        "InputDataConfig": channels and [{**CHANNEL, **channel} for channel in channels],
        "OutputDataConfig": {"KmsKeyId": "", **record.request["OutputDataConfig"]},  # the SDK counts on its being there
        "ResourceConfig": resources,
        "StoppingCondition": stopping,
        "CheckpointConfig": checkpoint and {"LocalPath": "/opt/ml/checkpoints", **checkpoint},
        "ProfilingStatus": "Disabled" if profiler.get("DisableProfiler") else "Enabled",
    }


def _times(record: JobRecord, settings: Settings) -> dict[str, Any]:
    """Only of a job that is over and has held an instance: before that nobody has promised them."""
    if not record.ended or record.training_start_utc is None:
        return {}
    training_s = round(record.held_s)
    return {
        "TrainingTimeInSeconds": training_s,
        "BillableTimeInSeconds": round(record.held_s * share(record, settings)),
    }


def share(record: JobRecord, settings: Settings) -> float:
    """What a second of it costs, as a share of an on-demand second."""
    if market_of(record.request) is Market.ON_DEMAND:
        return 1.0
    return settings.factor(record.selected_type or "")


def _transition(one: Transition) -> dict[str, Any]:
    return {
        "Status": one.status,
        "StartTime": one.start_utc,
        "EndTime": one.end_utc,
        "StatusMessage": one.message,
    }
