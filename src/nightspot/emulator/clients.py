"""How to talk to an emulator: dummy credentials, its address, and nothing of the user's own AWS settings."""

from __future__ import annotations

from typing import Any, Mapping

ACCESS_KEY, SECRET_KEY = "EMULATED", "emulated"
REGION = "us-east-1"


def environment(endpoint_url: str, region: str = REGION) -> dict[str, str]:
    """The variables with which every AWS SDK talks to the emulator, and to nobody else."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def without_aws(variables: Mapping[str, str]) -> dict[str, str]:
    """An environment without anybody's AWS settings."""
    return {name: value for name, value in variables.items() if not name.startswith("AWS_")}


def client(service: str, endpoint_url: str, region: str = REGION, access_key: str = ACCESS_KEY) -> Any:
    """A boto3 client of the emulator. It reads no file and no variable of the user's."""
    import boto3
    from botocore.config import Config

    session = boto3.session.Session(access_key, SECRET_KEY, region_name=region)
    config = Config(s3={"addressing_style": "path"}, proxies={}, retries={"max_attempts": 3, "mode": "standard"})
    return session.client(service, endpoint_url=endpoint_url, config=config)
