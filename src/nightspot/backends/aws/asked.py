"""What the SageMaker Pools of a Job ask for, read from their options and the CreateTrainingJob template in them."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Iterator, Mapping
from urllib.parse import urlsplit

from nightspot.model.capacity import Market, Pool
from nightspot.model.job import Job

BACKEND = "sagemaker"
CHECKPOINT_PATH = "/opt/ml/checkpoints"


@dataclass(frozen=True, slots=True)
class Place:
    """Something in a bucket. `key` is a prefix or a whole key, without a slash in front."""

    bucket: str
    key: str

    @classmethod
    def of(cls, uri: str) -> Place | None:
        """None for what is no s3:// URI."""
        parts = urlsplit(uri)
        return cls(parts.netloc, parts.path.lstrip("/")) if parts.scheme == "s3" and parts.netloc else None

    @property
    def folder(self) -> str:
        """The key with one slash at its end; "" for the whole bucket."""
        return f"{self.key.rstrip('/')}/" if self.key.strip("/") else ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Channel:
    """One input of the training. `place` is None where it does not lie in a bucket. `whole_key`: a manifest, not a prefix."""

    name: str
    place: Place | None
    whole_key: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What one Pool asks for. All its properties come from the template as it is: nothing has been checked."""

    pool: Pool

    @property
    def region(self) -> str:
        """ "" is the region that boto3 finds."""
        return str(self.pool.options.get("region") or "")

    @property
    def request(self) -> Mapping[str, Any]:
        """The CreateTrainingJob template."""
        return _table(self.pool.options.get("request"))

    @property
    def instance_types(self) -> tuple[str, ...]:
        """Any of these will do: several only on on-demand."""
        several = tuple(str(name) for name in self.pool.options.get("instance_types") or ())
        one = self.pool.instance_type or str(self.resources.get("InstanceType") or "")
        return several or ((one,) if one else ())

    @property
    def instances(self) -> int:
        """How many of them at once."""
        groups = self.resources.get("InstanceGroups") or ()
        count = sum(int(group.get("InstanceCount", 1)) for group in groups) if groups else 0
        return count or int(self.resources.get("InstanceCount") or 1)

    @property
    def resources(self) -> Mapping[str, Any]:
        """ResourceConfig."""
        return _table(self.request.get("ResourceConfig"))

    @property
    def spot(self) -> bool:
        """Whether it is a Spot Pool."""
        return self.pool.market is Market.SPOT

    @property
    def role(self) -> str:
        """The ARN of the role that the training runs as."""
        return str(self.request.get("RoleArn") or "")

    @property
    def image(self) -> str:
        """The training image, or "" where an algorithm is named instead."""
        return str(_table(self.request.get("AlgorithmSpecification")).get("TrainingImage") or "")

    @property
    def checkpoints(self) -> Place | None:
        """Under which the Runs have their prefixes."""
        return Place.of(str(self.pool.options.get("checkpoints") or ""))

    @property
    def output(self) -> Place | None:
        """Where the model goes."""
        template = _table(self.request.get("OutputDataConfig")).get("S3OutputPath")
        return Place.of(str(self.pool.options.get("output") or template or ""))

    @property
    def wrapper(self) -> bool:
        """Whether our wheel travels with the source."""
        return bool(self.pool.options.get("wrapper"))

    @property
    def source(self) -> Place | None:
        """The user's sourcedir.tar.gz. The SDK writes hyperparameters as JSON: a text stands in quotes of its own."""
        return Place.of(_unquoted(self.hyperparameters.get("sagemaker_submit_directory")))

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """As the template has them."""
        return _table(self.request.get("HyperParameters"))

    @property
    def checkpoint_path(self) -> str:
        """Where checkpoints lie in the container."""
        return str(_table(self.request.get("CheckpointConfig")).get("LocalPath") or CHECKPOINT_PATH)

    @property
    def channels(self) -> Iterator[Channel]:
        """The inputs."""
        for channel in self.request.get("InputDataConfig") or ():
            source = _table(_table(channel.get("DataSource")).get("S3DataSource"))
            kind = source.get("S3DataType", "S3Prefix")
            place = Place.of(str(source.get("S3Uri") or ""))
            yield Channel(str(channel.get("ChannelName")), place, kind != "S3Prefix")

    @property
    def keys(self) -> Iterator[str]:
        """The KMS keys that the template names."""
        for table in ("ResourceConfig", "OutputDataConfig"):
            for name in ("VolumeKmsKeyId", "KmsKeyId"):
                if key := _table(self.request.get(table)).get(name):
                    yield str(key)


def asked_of(job: Job) -> tuple[Asked, ...]:
    """Of each SageMaker Pool, in file order."""
    return tuple([Asked(pool) for pool in job.pools if pool.backend == BACKEND])


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _unquoted(value: Any) -> str:
    text = str(value or "")
    with suppress(ValueError):
        plain = json.loads(text)
        return plain if isinstance(plain, str) else text
    return text
