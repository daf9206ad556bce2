"""boto3 clients that answer as a test says, or ask a server. What is asked and answered is checked by botocore's own models."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Union

import boto3
from botocore.config import Config
from botocore.validate import validate_parameters

from nightspot.model.capacity import Market, Pool
from nightspot.model.job import Checkpointing, Job, PolicyChoice, Training, Work

REGION = "us-east-1"
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/trainer"
BUCKET = "nights"
ME = {"UserId": "AIDA", "Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/ada"}
DENIED = "AccessDeniedException"
Answer = Union[str, BaseException, Mapping[str, Any], Callable[[Mapping[str, Any]], Mapping[str, Any]]]


@dataclass
class Answers:
    """Clients. What a test has an answer for is answered by it: a code is an error. All else goes to `endpoint`, or is denied."""

    endpoint: str | None = None
    by_operation: dict[str, Answer] = field(default_factory=dict)
    date: str | None = None
    calls: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)

    def __call__(self, service: str, region: str, /) -> Any:
        session = boto3.Session(
            aws_access_key_id="AKIADUMMY", aws_secret_access_key="dummy", region_name=region or REGION
        )
        config = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1})
        client = session.client(service, endpoint_url=self.endpoint, config=config)
        client.meta.events.register("before-parameter-build", self._note)
        client.meta.events.register("before-call", self._answer)
        return client

    def names(self) -> list[str]:
        return [name for _, name, _ in self.calls]

    def _note(self, params: Mapping[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        context["asked"] = params
        with self.lock:
            self.calls.append((model.service_model.service_name, model.name, dict(params)))

    def _answer(self, model: Any, context: Mapping[str, Any], **_: Any) -> Any:
        answer = self.by_operation.get(model.name)
        if answer is None and self.endpoint is not None:
            return None
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            answer = answer(context["asked"])
        if answer is None or isinstance(answer, str):
            return _Http(400), {**self._metadata(400), "Error": {"Code": answer or DENIED, "Message": "no"}}
        if model.output_shape is not None:
            validate_parameters(dict(answer), model.output_shape)
        return _Http(200), {**answer, **self._metadata(200)}

    def _metadata(self, status: int) -> dict[str, Any]:
        headers = {"date": self.date} if self.date else {}
        return {"ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers}}


@dataclass(frozen=True)
class _Http:
    status_code: int
    raw: None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def request(**changes: Any) -> dict[str, Any]:
    """A template as the SDK records it, with some of its keys changed."""
    template = {
        "AlgorithmSpecification": {
            "TrainingImage": f"763104351884.dkr.ecr.{REGION}.amazonaws.com/pytorch-training:2.3.0-gpu-py311",
            "TrainingInputMode": "File",
        },
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models"},
        "ResourceConfig": {"VolumeSizeInGB": 30, "InstanceCount": 1, "InstanceType": "ml.g5.xlarge"},
        "RoleArn": ROLE,
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/data"}},
            }
        ],
        "HyperParameters": {
            "sagemaker_submit_directory": f'"s3://{BUCKET}/code/sourcedir.tar.gz"',
            "sagemaker_program": '"train.py"',
        },
        "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/ck", "LocalPath": "/opt/ml/checkpoints"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 14400, "MaxWaitTimeInSeconds": 28800},
    }
    return {**template, **changes}


def pool(market: Market = Market.SPOT, template: Mapping[str, Any] | None = None, **options: Any) -> Pool:
    """A SageMaker Pool, as the job file makes it."""
    given = {
        "region": REGION,
        "request": dict(template or request()),
        "checkpoints": f"s3://{BUCKET}/nightspot",
        "output": "",
        "wrapper": True,
        "instance_types": [],
        "full_price_usd_per_hour": None,
        "price_known": False,
        **options,
    }
    name = "spot" if market is Market.SPOT else "od"
    return Pool(name, "sagemaker", market, 0.0, instance_type="ml.g5.xlarge", options=given)


def job(*pools: Pool, hours: float = 2.0) -> Job:
    """Four units of work, together so many hours."""
    return Job(
        name="rec",
        training=Training(("train.py",)),
        work=Work(4.0, "epoch", hours * 900.0),
        pools=pools or (pool(), pool(Market.ON_DEMAND)),
        policy=PolicyChoice("greedy"),
        checkpoint=Checkpointing(),
    )


def quotas_of(**values: float) -> dict[str, Any]:
    """An answer of ListServiceQuotas for ml.g5.xlarge: spot=, od=."""
    names = {"spot": "ml.g5.xlarge for spot training job usage", "od": "ml.g5.xlarge for training job usage"}
    return {"Quotas": [{"QuotaName": names[key], "Value": value} for key, value in values.items()]}
