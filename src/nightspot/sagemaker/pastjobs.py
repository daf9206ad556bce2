"""A past training job and its siblings, as AWS tells of them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Iterator, Mapping
from urllib.parse import urlsplit

from nightspot.backends.aws.calls import Aws, Rejected, Trouble, require_boto3
from nightspot.errors import BackendError, NightspotError, Unsure
from nightspot.sagemaker.errors import PastJobError
from nightspot.sagemaker.measures import base_name

# The latest of its siblings that are looked at.
SIBLINGS, LISTED = 20, 100
KEYS = 1000
NO_REGION = "no region is set. Name the training job's with --region, for example --region eu-central-1"


@dataclass(frozen=True, slots=True)
class Heard:
    """What AWS says: the job, its siblings (itself among them) in DescribeTrainingJob's words, and the names in its checkpoint folder."""

    region: str
    job: Mapping[str, Any]
    siblings: tuple[Mapping[str, Any], ...]
    checkpoint_files: tuple[str, ...]
    price_usd_per_hour: float | None = None
    price_source: str = ""


def hear(name: str, region: str, aws: Aws | None = None) -> Heard:
    """Ask for the job, those with the same base name, and its checkpoints. PastJobError, in one sentence, where it cannot be had."""
    require_boto3()
    aws = aws if aws is not None else Aws()
    job = _described(aws, name, region)
    siblings = [job, *_siblings(aws, name, region)]
    arn_region = str(job["TrainingJobArn"]).split(":")[3]
    return Heard(arn_region, job, tuple(siblings), tuple(_checkpoint_files(aws, job, arn_region)))


def _described(aws: Aws, name: str, region: str) -> Mapping[str, Any]:
    where = f"in {region}" if region else "in your default region"
    try:
        return dict(aws.call("sagemaker", region, "describe_training_job", TrainingJobName=name))
    except Rejected as error:
        if error.trouble is Trouble.NOT_FOUND or error.code == "ValidationException":
            said = f"there is no training job {name!r} {where}. Name its region: --region eu-central-1"
            raise PastJobError(said) from error
        raise _unread(name, error) from error
    except Unsure as error:
        raise _unread(name, error) from error


def _unread(name: str, error: NightspotError) -> BackendError:
    """With what to do, where something can be done about it."""
    said, faults = f"the training job {name!r} cannot be read", importlib.import_module("botocore.exceptions")
    if isinstance(error.__cause__, faults.NoRegionError):
        return BackendError(f"{said}: {NO_REGION}")
    return BackendError(f"{said}: {error}" + (f". {_log_in()}" if _wants_login(error.__cause__) else ""))


def _wants_login(cause: BaseException | None) -> bool:
    trouble = importlib.import_module(
        "nightspot.backends.aws.trouble"
    )  # it needs boto3, which may be missing until here
    return isinstance(cause, (*trouble.NO_CREDENTIALS, *trouble.NO_LOGIN)) or (
        cause is not None and trouble.code_of(cause) in trouble.EXPIRED | trouble.INVALID
    )


def _log_in() -> str:
    """As the doctor says it."""
    return str(importlib.import_module("nightspot.backends.aws.identity").LOG_IN)


def _siblings(aws: Aws, name: str, region: str) -> Iterator[Mapping[str, Any]]:
    """The latest with the same base name. Where these credentials may not list, the job alone has to do."""
    base = base_name(name)
    asked: dict[str, Any] = {
        "NameContains": base,
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
        "MaxResults": LISTED,
    }
    try:
        listed = aws.call("sagemaker", region, "list_training_jobs", **asked)["TrainingJobSummaries"]
    except BackendError:
        return
    names = [summary["TrainingJobName"] for summary in listed]
    for other in [n for n in names if n != name and base_name(n) == base][:SIBLINGS]:
        try:
            yield aws.call("sagemaker", region, "describe_training_job", TrainingJobName=other)
        except BackendError:
            continue


def _checkpoint_files(aws: Aws, job: Mapping[str, Any], region: str) -> Iterator[str]:
    """The names below its checkpoints' address, without folders. None where there is none, or it may not be read."""
    place = urlsplit(str((job.get("CheckpointConfig") or {}).get("S3Uri") or ""))
    if place.scheme != "s3":
        return
    prefix = place.path.strip("/")
    asked = {"Bucket": place.netloc, "Prefix": f"{prefix}/" if prefix else "", "MaxKeys": KEYS}
    try:
        answer = aws.call("s3", region, "list_objects_v2", **asked)
    except BackendError:
        return
    for item in answer.get("Contents", ()):
        yield str(item["Key"]).rpartition("/")[2]
