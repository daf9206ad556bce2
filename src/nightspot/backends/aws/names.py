"""What AWS's long names say: ARNs of roles, addresses of images. Needs no boto3."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The service that takes on the role and trains.
SERVICE = "sagemaker.amazonaws.com"
ROLE = re.compile(r"arn:(?P<partition>aws[a-z-]*):iam::(?P<account>\d{12}):role/(?P<path>.+)", re.ASCII)
ECR = re.compile(
    r"(?P<registry>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/"
    r"(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Role:
    """A role by its ARN."""

    arn: str
    partition: str
    account: str
    name: str

    @classmethod
    def of(cls, arn: str) -> Role | None:
        """None for what is no role's ARN. A path before the name is no part of the name."""
        found = ROLE.fullmatch(arn)
        return cls(arn, found["partition"], found["account"], found["path"].rpartition("/")[2]) if found else None


@dataclass(frozen=True, slots=True)
class Image:
    """An image in ECR, by its address."""

    address: str
    registry: str
    region: str
    repository: str
    tag: str
    digest: str

    @classmethod
    def of(cls, address: str) -> Image | None:
        """None for an image that lies elsewhere."""
        found = ECR.fullmatch(address)
        if found is None:
            return None
        tag = found["tag"] or ("" if found["digest"] else "latest")
        return cls(address, found["registry"], found["region"], found["repository"], tag, found["digest"] or "")

    @property
    def id(self) -> dict[str, str]:
        """As ECR wants it. A digest says more than a tag."""
        return {"imageDigest": self.digest} if self.digest else {"imageTag": self.tag}
