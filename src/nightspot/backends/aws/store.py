"""Objects in buckets, by their s3:// URI."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Mapping

from nightspot.backends.aws.calls import CONNECT_S, Aws, Rejected, Trouble, whole
from nightspot.errors import Unsure

UPLOADING = ".sagemaker-uploading"
# 100,000 objects under one Run's prefix are no checkpoints.
LIST_PAGES_MAX = 100
COPY_BUDGET_S, ASIDE_BUDGET_S = 300.0, 60.0
# What S3 says of an object that is another one by now.
CHANGED = ("PreconditionFailed", "412", "InvalidRange", "416")


@dataclass(frozen=True, slots=True)
class Object:
    """One object. `name` is its key without the prefix that was listed. `modified_utc`: by the bucket's clock, in whole seconds."""

    name: str
    size_bytes: int
    etag: str
    modified_utc: float = 0.0


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of an s3:// URI. ValueError where it is none."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ValueError(f"{uri!r} is no address in a bucket: write it like s3://bucket/key")
    return bucket, key


@dataclass(frozen=True, slots=True)
class Store:
    """Every call raises Unsure where there was no answer, and Rejected where it was no."""

    aws: Aws
    region: str

    def listing(self, uri: str) -> dict[str, Object]:
        """All objects below a folder, by name."""
        bucket, key = split(uri)
        prefix = f"{key.rstrip('/')}/" if key.strip("/") else ""
        found: dict[str, Object] = {}
        more: dict[str, Any] = {}
        for _ in range(LIST_PAGES_MAX):
            page = whole(self._call("list_objects_v2", Bucket=bucket, Prefix=prefix, **more), "IsTruncated")
            for one in page.get("Contents", ()):
                name = str(one["Key"])[len(prefix) :]
                found[name] = _object(name, one)
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}
        raise Unsure(f"more than {LIST_PAGES_MAX * 1000} objects under {uri}")

    def read(self, uri: str, most_bytes: int) -> bytes | None:
        """A small object; None where there is none. Rejected where it is larger than that."""
        bucket, key = split(uri)

        def get() -> bytes:
            answer = self.aws.client("s3", self.region).get_object(Bucket=bucket, Key=key)
            with answer["Body"] as body:
                return bytes(body.read(most_bytes + 1))

        try:
            told: bytes = self.aws.within(get, f"get {uri}")
        except Rejected as error:
            if error.trouble is Trouble.NOT_FOUND:
                return None
            raise
        if len(told) > most_bytes:
            raise Rejected(Trouble.INVALID, "", f"{uri} is larger than {most_bytes} bytes")
        return told

    def part(self, uri: str, etag: str, start: int, count: int) -> bytes | None:
        """So many bytes of an object from `start` on; None where it is not that very one any more."""
        bucket, key = split(uri)
        wanted = {"IfMatch": f'"{etag}"', "Range": f"bytes={start}-{start + count - 1}"}

        def get() -> bytes:
            with self.aws.client("s3", self.region).get_object(Bucket=bucket, Key=key, **wanted)["Body"] as body:
                return bytes(body.read())

        try:
            return bytes(self.aws.within(get, f"get a part of {uri}"))
        except Rejected as error:
            if error.trouble is Trouble.NOT_FOUND or error.code in CHANGED:
                return None
            raise

    def head(self, uri: str) -> Object | None:
        """What there is of one object; None where there is nothing."""
        bucket, key = split(uri)
        try:
            told = self._call("head_object", Bucket=bucket, Key=key)
        except Rejected as error:
            if error.trouble is Trouble.NOT_FOUND:
                return None
            raise
        return Object(key, int(told["ContentLength"]), str(told.get("ETag", "")).strip('"'))

    def stream(self, uri: str) -> Any:
        """The body of an object, to be read and closed."""
        bucket, key = split(uri)
        return self._call("get_object", Bucket=bucket, Key=key)["Body"]

    def write_json(self, uri: str, document: Mapping[str, Any]) -> None:
        """Put a small object."""
        bucket, key = split(uri)
        self._call("put_object", Bucket=bucket, Key=key, Body=json.dumps(document).encode())

    def copy(self, source: str, target: str, budget_s: float = COPY_BUDGET_S) -> None:
        """From one place to another, inside S3. It is there whole, or not at all."""
        bucket, key = split(source)
        to_bucket, to_key = split(target)
        there = {"Bucket": bucket, "Key": key}

        def copied() -> None:
            self.aws.client("s3", self.region).copy(there, to_bucket, to_key)

        self.aws.within(copied, f"copy to {target}", budget_s + CONNECT_S)

    def set_aside(self, uri: str, etag: str, target: str) -> bool:
        """Move an object; False where it has changed meanwhile, and stays."""
        self.copy(uri, target, ASIDE_BUDGET_S)
        there = self.head(uri)
        if there is None or there.etag != etag:
            return False
        bucket, key = split(uri)
        self._call("delete_object", Bucket=bucket, Key=key)
        return True

    def _call(self, operation: str, **parameters: Any) -> Any:
        return self.aws.call("s3", self.region, operation, **parameters)


def _object(name: str, listed: Mapping[str, Any]) -> Object:
    modified = listed.get("LastModified")
    modified_utc = float(modified.timestamp()) if modified is not None else 0.0
    return Object(name, int(listed["Size"]), str(listed.get("ETag", "")).strip('"'), modified_utc)
