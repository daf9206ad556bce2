"""Addresses of folders in buckets, as the job file has them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from nightspot.jobfile.fields import wrong

S3_URI = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\x00-\x1f]*)?")


def s3_prefix(value: str) -> str:
    """The address without a slash at its end; PydanticCustomError, in our words, where it is none."""
    if S3_URI.fullmatch(value) is None:
        raise wrong("expected the address of a folder in a bucket", 'Write it like "s3://bucket/prefix".')
    return value.rstrip("/")


def _store(value: str) -> str:
    """A store's address, by the rules of `nightspot.checkpoint`."""
    found = s3_prefix(value)
    if any(step in ("", ".", "..") for step in found.removeprefix("s3://").split("/")):
        raise wrong("expected the address of a folder in a bucket, step by step", 'Write it like "s3://bucket/prefix".')
    return found


_SCHEMA = WithJsonSchema({"type": "string", "pattern": "^s3://"})
S3Prefix = Annotated[str, AfterValidator(s3_prefix), _SCHEMA]
StoreUri = Annotated[str, AfterValidator(_store), _SCHEMA]
