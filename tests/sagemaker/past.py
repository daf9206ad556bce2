"""Past training jobs in DescribeTrainingJob's words: the fields that a real one has, with times that a test chooses."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone
from typing import Any

from nightspot.sagemaker.pastjobs import Heard
from tests.jobfile.requests import RECORDED

BEGUN = datetime(2026, 11, 23, 20, 0, tzinfo=timezone.utc)
NAME = "recommender-2026-11-23-20-00-00-123"
SPANS = (("Starting", 60), ("Pending", 120), ("Downloading", 60), ("Training", 7200), ("Uploading", 90))


def described(name: str = NAME, *spans: tuple[str, float], **changes: Any) -> dict[str, Any]:
    """A completed on-demand job that went through those spans (status, seconds); `changes` replace whole fields, None takes one out."""
    at, transitions = BEGUN, []
    for status, seconds in spans or SPANS:
        end = at + timedelta(seconds=seconds)
        transitions.append({"Status": status, "StartTime": at, "EndTime": end, "StatusMessage": "..."})
        at = end
    transitions.append({"Status": "Completed", "StartTime": at, "EndTime": at, "StatusMessage": "..."})
    kept = {k: v for k, v in RECORDED.items() if k not in ("CheckpointConfig", "EnableManagedSpotTraining")}
    whole = {
        **copy.deepcopy(kept),
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:eu-central-1:123456789012:training-job/{name}",
        "TrainingJobStatus": "Completed",
        "SecondaryStatus": "Completed",
        "CreationTime": BEGUN,
        "TrainingEndTime": at,
        "SecondaryStatusTransitions": transitions,
        "ModelArtifacts": {"S3ModelArtifacts": "s3://bkt/out/model.tar.gz"},
        "EnableNetworkIsolation": False,
        "EnableManagedSpotTraining": False,
        "TrainingTimeInSeconds": 7350,
        "BillableTimeInSeconds": 7350,
        "ResponseMetadata": {"HTTPStatusCode": 200},
        **changes,
    }
    return {key: value for key, value in whole.items() if value is not None}


def spot(name: str, *spans: tuple[str, float], share: float = 0.3, **changes: Any) -> dict[str, Any]:
    """The same on Spot, at that share of the price, with checkpoints."""
    settings: dict[str, Any] = {
        "EnableManagedSpotTraining": True,
        "BillableTimeInSeconds": int(7350 * share),
        "CheckpointConfig": {"S3Uri": "s3://bkt/ck", "LocalPath": "/opt/ml/checkpoints"},
    }
    return described(name, *spans, **{**settings, **changes})


def heard(
    job: dict[str, Any], *others: dict[str, Any], files: tuple[str, ...] = (), price: float | None = None
) -> Heard:
    """What AWS would tell of that job and its siblings."""
    return Heard("eu-central-1", job, (job, *others), files, price, "a price list, 2026-11-24" if price else "")
