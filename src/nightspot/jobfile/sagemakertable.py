"""`[sagemaker]` of the job file: every key with its check, default, meaning and an example."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Optional

from pydantic import AfterValidator, Field, model_validator

from nightspot.jobfile.buckets import S3Prefix
from nightspot.jobfile.fields import PlainTable, Text, wrong
from nightspot.jobfile.settings import Table

SAGEMAKER = "sagemaker"
REGION = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+-[0-9]+")
ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+", re.ASCII)
TAG_LENGTH, VALUE_LENGTH = 128, 256
# A request carries 50; the rest is ours, and the template's.
MOST_TAGS = 40


def _region(value: str) -> str:
    if value and REGION.fullmatch(value) is None:
        raise wrong("expected the name of an AWS region", 'Write it like "eu-central-1".')
    return value


def _role(value: str) -> str:
    if ROLE.fullmatch(value) is None:
        example = "arn:aws:iam::123456789012:role/training"
        raise wrong("expected the ARN of a role", f'Write it like "{example}".')
    return value


def _tags(value: dict[str, str]) -> dict[str, str]:
    if len(value) > MOST_TAGS:
        raise wrong(f"at most {MOST_TAGS} are allowed", "Leave some out.")
    for key, text in value.items():
        if not key or len(key) > TAG_LENGTH or key.lower().startswith("aws:"):
            raise wrong(
                f"a tag's name is 1 to {TAG_LENGTH} characters, and does not begin with aws:", "Rename it.", key
            )
        if len(text) > VALUE_LENGTH:
            raise wrong(f"a tag holds at most {VALUE_LENGTH} characters", "Shorten it.", key)
    return value


Region = Annotated[str, AfterValidator(_region)]
Role = Annotated[str, AfterValidator(_role)]
Tags = Annotated[dict[str, str], AfterValidator(_tags)]
Progress = Literal["manifests", "files", "metric", "none"]


class SageMakerTable(Table):
    """Training jobs on Amazon SageMaker: the request, and what goes into it each night."""

    template: Text = Field(
        description="A CreateTrainingJob request, as JSON: its path, from the job file's folder.",
        examples=["request.json"],
    )
    overrides: PlainTable = Field(
        default_factory=dict,
        description="Merged into the request, table by table; a list replaces the list.",
        examples=[{"HyperParameters": {"epochs": "20"}}],
    )
    region: Region = Field(
        default="", description="The AWS region. Without it: as your AWS settings say.", examples=["eu-central-1"]
    )
    role: Optional[Role] = Field(
        default=None,
        description="The role that the training runs with. Without it: the request's.",
        examples=["arn:aws:iam::123456789012:role/training"],
    )
    checkpoints: Optional[S3Prefix] = Field(
        default=None,
        description="Where checkpoints are kept; each run has a folder of its own in it. Without it: in the request's S3Uri.",
        examples=["s3://bucket/checkpoints"],
    )
    output: Optional[S3Prefix] = Field(
        default=None,
        description="Where models are kept. Without it: the request's S3OutputPath.",
        examples=["s3://bucket/models"],
    )
    progress: Optional[Progress] = Field(
        default=None,
        description="What tells how far it is. Default: files with `checkpoint.pattern`, metric with `progress_metric`, else manifests.",
        examples=["manifests"],
    )
    progress_metric: Optional[Text] = Field(
        default=None,
        description="The metric that counts the units done: one of the request's MetricDefinitions.",
        examples=["epoch"],
    )
    wrapper: bool = Field(
        default=True,
        description="Our wrapper travels with the source: notices, words to the training process, failures in words.",
        examples=[True],
    )
    tags: Tags = Field(
        default_factory=dict,
        description="More tags for the training jobs, for cost allocation.",
        examples=[{"team": "search"}],
    )

    @model_validator(mode="after")
    def _one_source(self) -> SageMakerTable:
        if self.progress == "metric" and self.progress_metric is None:
            raise wrong(
                "which metric it is, is not said", 'Add it, for example: progress_metric = "epoch".', "progress"
            )
        if self.progress not in (None, "metric") and self.progress_metric is not None:
            raise wrong('this belongs to progress = "metric"', "Leave one of them out.", "progress_metric")
        return self
