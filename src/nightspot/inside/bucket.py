"""The only module here that touches boto3, and only where the image has it."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

CONNECT_S, READ_S = 5, 15
CONTENT_TYPE = "application/json"


class Trouble(Exception):  # noqa: N818 - a state of the network, mostly
    """The bucket did not do what it was asked."""


@dataclass(frozen=True, slots=True)
class Found:
    """An object below the prefix. `version` changes with each write; `modified_utc` in seconds since the epoch."""

    name: str
    version: str
    size_bytes: int
    modified_utc: float


class Bucket:
    """The objects below one prefix."""

    def __init__(self, uri: str) -> None:
        """uri: s3://BUCKET/PREFIX/. Raises Trouble where the image has no boto3, or it cannot be set up."""
        self._bucket, _, self._prefix = uri.removeprefix("s3://").partition("/")
        try:
            self._s3: Any = _client()
        except Exception as error:  # ImportError, and whatever a strange configuration makes of it
            raise Trouble(f"no control channel: {error!r}") from error

    def found(self) -> Iterator[Found]:
        """All that is there. Raises Trouble."""
        try:
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield self._found(entry)
        except Exception as error:
            raise Trouble(repr(error)) from error

    def put(self, name: str, content: bytes) -> None:
        """Write an object. Raises Trouble."""
        try:
            self._s3.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content, ContentType=CONTENT_TYPE)
        except Exception as error:
            raise Trouble(repr(error)) from error

    def fetch(self, name: str, path: Path) -> None:
        """Copy an object to a file. Raises Trouble."""
        try:
            self._s3.download_file(self._bucket, self._prefix + name, str(path))
        except Exception as error:
            raise Trouble(repr(error)) from error

    def _found(self, entry: Any) -> Found:
        modified = entry["LastModified"]
        version = f"{entry['ETag']} {modified.isoformat()}"
        return Found(entry["Key"][len(self._prefix) :], version, entry["Size"], modified.timestamp())


def _client() -> Any:
    """Its retries are ours: a hanging bucket must not hold up a word to the training."""
    boto3, config = importlib.import_module("boto3"), importlib.import_module("botocore.config")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("SAGEMAKER_REGION")
    # Older boto3 does not read the variable itself.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
    settings = config.Config(connect_timeout=CONNECT_S, read_timeout=READ_S, retries={"max_attempts": 1})
    return boto3.client("s3", region_name=region, endpoint_url=endpoint, config=settings)
