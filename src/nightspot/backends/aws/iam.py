"""The least IAM policy that the controller of a Job needs, worked out from the job file alone: AWS is not asked.

Trainings can be created, seen and stopped only under the Job's own name: `NAME-*`, which is how every Run's trainings are called. It
follows that no Job should have a name that begins with another's and a dash.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Iterable, Iterator, Mapping

from nightspot.backends.aws.asked import Asked, Place, asked_of
from nightspot.backends.aws.names import SERVICE, Image, Role
from nightspot.errors import JobFileError
from nightspot.model.job import Job

Statement = Mapping[str, Any]
VERSION = "2012-10-17"
SEES = ("sagemaker:DescribeTrainingJob", "sagemaker:ListTags")
ACTS = ("sagemaker:CreateTrainingJob", "sagemaker:StopTrainingJob", "sagemaker:AddTags")


def policy(job: Job, file: str, *, read_only: bool = False) -> dict[str, Any]:
    """A policy document. `read_only`: what status, report and doctor need, and nothing that launches, stops or writes.

    JobFileError where the Job has no SageMaker Pools, or names no role.
    """
    asked = asked_of(job)
    if not asked:
        backends = sorted({pool.backend for pool in job.pools})
        raise JobFileError(
            file,
            "pools",
            backends,
            "no pool is on SageMaker: there is nothing to allow",
            "Name SageMaker pools, or do without.",
        )
    scope = _scope(job, asked, file)
    statements = [*_trainings(scope, read_only=read_only), *_buckets(scope, read_only=read_only), *_looks(scope)]
    return {"Version": VERSION, "Statement": statements}


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the policy is about. `account` and `partition` are the roles'."""

    job: Job
    asked: tuple[Asked, ...]
    roles: tuple[Role, ...]
    regions: tuple[str, ...]

    @property
    def partition(self) -> str:
        return self.roles[0].partition

    @property
    def account(self) -> str:
        return self.roles[0].account

    def arns(self, service: str, resource: str) -> list[str]:
        """In each region."""
        return [f"arn:{self.partition}:{service}:{region}:{self.account}:{resource}" for region in self.regions]

    def places(self, places: Iterable[Place | None]) -> list[Place]:
        """Each once."""
        return list(dict.fromkeys([place for place in places if place is not None]))


def _scope(job: Job, asked: tuple[Asked, ...], file: str) -> _Scope:
    roles = []
    for one in asked:
        role = Role.of(one.role)
        if role is None:
            expected = "the ARN of the role that the training runs as is needed"
            raise JobFileError(file, "sagemaker", one.role or None, expected, "Give RoleArn in the template.")
        roles.append(role)
    regions = [one.region or _default_region() for one in asked]
    return _Scope(job, asked, tuple(dict.fromkeys(roles)), tuple(dict.fromkeys(regions)))


def _default_region() -> str:
    """Where boto3 alone knows the region (a profile has it), the policy holds in any."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "*"


def _trainings(scope: _Scope, *, read_only: bool) -> Iterator[Statement]:
    own = scope.arns("sagemaker", f"training-job/{scope.job.name}-*")
    if read_only:
        # The doctor counts what uses the quota: that may be anybody's training.
        yield _allow("SeeTrainings", SEES, scope.arns("sagemaker", "training-job/*"))
    else:
        yield _allow("TrainUnderThisName", (*ACTS, *SEES), own)
        passed = {"StringEquals": {"iam:PassedToService": SERVICE}}
        yield _allow("PassTheRole", ("iam:PassRole",), [role.arn for role in scope.roles], passed)
    yield _allow("ListTrainings", ("sagemaker:ListTrainingJobs",), ["*"])
    logs = scope.arns("logs", "log-group:/aws/sagemaker/TrainingJobs")
    log_streams = [f"{arn}:log-stream:{'' if read_only else scope.job.name + '-'}*" for arn in logs]
    yield _allow(
        "ListLogs", ("logs:DescribeLogStreams", "logs:FilterLogEvents"), [*logs, *[f"{arn}:*" for arn in logs]]
    )
    yield _allow("ReadLogs", ("logs:GetLogEvents",), log_streams)


def _buckets(scope: _Scope, *, read_only: bool) -> Iterator[Statement]:
    checkpoints = scope.places(one.checkpoints for one in scope.asked)
    outputs = scope.places(one.output for one in scope.asked)
    channels = [channel for one in scope.asked for channel in one.channels]
    whole = scope.places([one.source for one in scope.asked] + [c.place for c in channels if c.whole_key])
    data = scope.places(c.place for c in channels if not c.whole_key)
    published = scope.places([Place.of(scope.job.training.publish or "")])
    if not read_only:
        written = _objects(scope, checkpoints) + _keys(scope, published)
        yield _allow("Write", ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"), written)
    yield _allow(
        "Read", ("s3:GetObject",), _objects(scope, [*checkpoints, *outputs]) + _keys(scope, [*whole, *published])
    )
    read = [*checkpoints, *outputs, *whole, *published]
    yield from _listings(scope, [*read, *data], {place.bucket for place in read})
    names = [place.bucket for place in [*checkpoints, *outputs]]
    looked_at = ("s3:GetBucketLocation", "s3:GetLifecycleConfiguration", "s3:GetEncryptionConfiguration")
    yield _allow("LookAtBuckets", looked_at, [f"arn:{scope.partition}:s3:::{name}" for name in dict.fromkeys(names)])
    keys = list(dict.fromkeys([key for one in scope.asked for key in one.keys if key.startswith("arn:")]))
    if keys:
        yield _allow("UseTheKeys", ("kms:Decrypt", *(() if read_only else ("kms:GenerateDataKey",))), keys)


def _listings(scope: _Scope, places: list[Place], read: set[str]) -> Iterator[Statement]:
    """One for each bucket: a listing is allowed by its prefix.

    In `read` buckets the condition must let pass what has no prefix: S3 says "there is no such object", and not "forbidden", only to
    those who may list the bucket, and asks for that without one.
    """
    for number, bucket in enumerate(dict.fromkeys(place.bucket for place in places), 1):
        prefixes = [f"{place.key.rstrip('/')}*" for place in places if place.bucket == bucket]
        operator = "StringLikeIfExists" if bucket in read else "StringLike"
        condition = {operator: {"s3:prefix": list(dict.fromkeys(prefixes))}}
        yield _allow(f"List{number}", ("s3:ListBucket",), [f"arn:{scope.partition}:s3:::{bucket}"], condition)


def _objects(scope: _Scope, places: Iterable[Place]) -> list[str]:
    return [f"arn:{scope.partition}:s3:::{place.bucket}/{place.folder}*" for place in places]


def _keys(scope: _Scope, places: Iterable[Place]) -> list[str]:
    return [f"arn:{scope.partition}:s3:::{place.bucket}/{place.key}" for place in places]


def _looks(scope: _Scope) -> Iterator[Statement]:
    """What the doctor asks besides: nothing of it changes anything."""
    everywhere = (
        "servicequotas:ListServiceQuotas",
        "servicequotas:ListAWSDefaultServiceQuotas",
        "pricing:GetProducts",
        "sts:GetCallerIdentity",
    )
    yield _allow("LookAtQuotasAndPrices", everywhere, ["*"])
    roles = [role.arn for role in scope.roles]
    myself = f"arn:{scope.partition}:iam::{scope.account}:user/${{aws:username}}"
    yield _allow("LookAtTheRole", ("iam:GetRole",), roles)
    yield _allow("AskWhatIsAllowed", ("iam:SimulatePrincipalPolicy",), [*roles, myself])
    images = [arn for one in scope.asked for arn in _image_arns(scope, one)]
    if images:
        looked_at = ("ecr:BatchGetImage", "ecr:DescribeImages")
        yield _allow("LookAtTheImage", looked_at, list(dict.fromkeys(images)))


def _image_arns(scope: _Scope, asked: Asked) -> Iterator[str]:
    image = Image.of(asked.image)
    if image is not None:
        yield f"arn:{scope.partition}:ecr:{image.region}:{image.registry}:repository/{image.repository}"


def _allow(
    sid: str, actions: Iterable[str], resources: Iterable[str], condition: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": list(dict.fromkeys(resources)),
    }
    return {**statement, "Condition": dict(condition)} if condition else statement
