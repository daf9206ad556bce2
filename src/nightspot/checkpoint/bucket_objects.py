"""The objects below one prefix of a bucket: one request each, without a retry. Every method raises StoreError and its kinds."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from nightspot.checkpoint import _boto3
from nightspot.checkpoint.errors import ConfigError, DamagedError
from nightspot.checkpoint.store_errors import BusyError, StoreError

CONNECTIONS = 16
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Object:
    """An object: `key` below the prefix, `changed_utc` by the bucket's clock, metadata only where it was asked for."""

    key: str
    size_bytes: int
    etag: str
    changed_utc: float
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart upload, from 1. `crc32` in base64; "": the bucket did not keep it."""

    number: int
    size_bytes: int
    etag: str
    crc32: str = ""


def split(uri: str) -> tuple[str, str]:
    """Bucket and prefix (empty, or ending in a slash) of s3://bucket/prefix. Raises ConfigError."""
    scheme, _, rest = uri.partition("://")
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    if scheme != "s3" or not bucket or "//" in prefix or any(step in (".", "..") for step in prefix.split("/")):
        raise ConfigError(f"store {uri!r}: expected s3://bucket/prefix")
    return bucket, f"{prefix}/" if prefix else ""


def crc32(body: bytes) -> str:
    """As S3 writes it: base64 of four bytes, the highest first."""
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def checks(body: bytes, checksum: str) -> dict[str, str]:
    """The header by which the bucket can tell that the body arrived whole. checksum: crc32, md5, or none."""
    if checksum == "crc32":
        return {"ChecksumCRC32": crc32(body)}
    if checksum == "md5":
        return {"ContentMD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}
    return {}


class Bucket:
    """uri: s3://bucket/prefix. timeouts_s: see _boto3. Raises ConfigError for another one, or where boto3 is missing."""

    def __init__(self, uri: str, connections: int = CONNECTIONS, timeouts_s: tuple[float, float] | None = None) -> None:
        self.name, self.prefix = split(uri)
        self.uri = f"s3://{self.name}/{self.prefix}".rstrip("/")
        self._s3 = _boto3.client(connections) if timeouts_s is None else _boto3.client(connections, timeouts_s)

    def folders(self, below: str = "") -> Iterator[str]:
        """First steps of the keys below: names without the slash."""
        start = len(self.prefix) + len(below)
        for page in self._pages("list_objects_v2", Prefix=self.prefix + below, Delimiter="/"):
            yield from (one["Prefix"][start:].rstrip("/") for one in page.get("CommonPrefixes", ()))

    def objects(self, below: str = "") -> Iterator[Object]:
        """All objects below. What is not listed may be there all the same: ask for it by name."""
        for page in self._pages("list_objects_v2", Prefix=self.prefix + below):
            for one in page.get("Contents", ()):
                key, changed = str(one["Key"])[len(self.prefix) :], one["LastModified"].timestamp()
                yield Object(key, int(one["Size"]), _bare(one.get("ETag")), changed, {})

    def head(self, key: str) -> Object:
        """What there is of one object, without its bytes."""
        told = self._call("head_object", key)
        metadata = {str(name).lower(): str(value) for name, value in told.get("Metadata", {}).items()}
        changed = told["LastModified"].timestamp()
        return Object(key, int(told["ContentLength"]), _bare(told.get("ETag")), changed, metadata)

    def read(self, key: str, limit_bytes: int) -> bytes:
        """A small object; one byte more than the limit says that it is larger."""
        told = self._call("get_object", key)
        with closing(told["Body"]) as body:
            try:
                found = bytes(body.read(limit_bytes + 1))
            except Exception as error:
                raise _boto3.trouble(error, key) from error
        if len(found) < min(
            int(told["ContentLength"]), limit_bytes + 1
        ):  # asked for so many, botocore says nothing of it
            raise BusyError(f"{key}: the answer ended early")
        return found

    def blocks(self, key: str, start: int, count: int, size_bytes: int) -> Iterator[bytes]:
        """So many bytes from `start` on of an object that has `size_bytes` in all, in blocks; the connection may break.

        Raises DamagedError where the object has another size, AbsentError.
        """
        try:
            told = self._call("get_object", key, Range=f"bytes={start}-{start + count - 1}")
        except StoreError as error:
            if "InvalidRange" not in str(error):
                raise
            raise DamagedError(f"{key} is shorter than {size_bytes} bytes") from error
        found = str(told.get("ContentRange", "")).rpartition("/")[2] or told["ContentLength"]
        with closing(told["Body"]) as body:
            if str(found) != str(size_bytes):
                raise DamagedError(f"{key} has {found} bytes, not {size_bytes}")
            try:
                while block := body.read(BLOCK_BYTES):
                    yield block
            except Exception as error:
                raise _boto3.trouble(error, key) from error

    def put(self, key: str, body: bytes, checksum: str, metadata: Mapping[str, str] | None = None) -> str:
        """Write a whole object; its ETag."""
        return self.put_with(key, body, {"Metadata": dict(metadata or {}), **checks(body, checksum)})

    def put_with(self, key: str, body: bytes, given: Mapping[str, Any]) -> str:
        """The same with these headers, as boto3 names them, and no other."""
        return _bare(self._call("put_object", key, Body=body, **given).get("ETag"))

    def put_new(self, key: str, body: bytes, checksum: str) -> str:
        """The same, unless there is one already: TakenError. Raises StoreError where the bucket cannot promise that."""
        return self.put_with(key, body, {"IfNoneMatch": "*", **checks(body, checksum)})

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        self._call("delete_object", key)

    def begin(self, key: str, checksum: str, metadata: Mapping[str, str]) -> str:
        """Begin a multipart upload; its id."""
        chosen = {"ChecksumAlgorithm": "CRC32"} if checksum == "crc32" else {}
        return str(self._call("create_multipart_upload", key, Metadata=dict(metadata), **chosen)["UploadId"])

    def put_part(self, key: str, upload: str, number: int, body: bytes, checksum: str) -> Part:
        """Send one part."""
        checked = checks(body, checksum)
        told = self._call("upload_part", key, UploadId=upload, PartNumber=number, Body=body, **checked)
        return Part(number, len(body), _bare(told.get("ETag")), checked.get("ChecksumCRC32", ""))

    def parts(self, key: str, upload: str) -> list[Part]:
        """The parts that are there."""
        pages = self._pages("list_parts", Key=self.prefix + key, UploadId=upload)
        return [
            Part(int(one["PartNumber"]), int(one["Size"]), _bare(one.get("ETag")), str(one.get("ChecksumCRC32", "")))
            for page in pages
            for one in page.get("Parts", ())
        ]

    def complete(self, key: str, upload: str, parts: list[Part]) -> None:
        """Make an object of the parts."""
        told = [
            {"PartNumber": one.number, "ETag": one.etag} | ({"ChecksumCRC32": one.crc32} if one.crc32 else {})
            for one in sorted(parts, key=lambda one: one.number)
        ]
        self._call("complete_multipart_upload", key, UploadId=upload, MultipartUpload={"Parts": told})

    def abort(self, key: str, upload: str) -> None:
        """Give up a multipart upload, and its parts."""
        self._call("abort_multipart_upload", key, UploadId=upload)

    def uploads(self, below: str = "") -> list[tuple[str, str]]:
        """(key, id) of multipart uploads that were begun below, and are neither complete nor aborted."""
        pages = self._pages("list_multipart_uploads", Prefix=self.prefix + below)
        found = [one for page in pages for one in page.get("Uploads", ())]
        return [(str(one["Key"])[len(self.prefix) :], str(one["UploadId"])) for one in found]

    def _call(self, operation: str, key: str, **given: Any) -> Any:
        try:
            return getattr(self._s3, operation)(Bucket=self.name, Key=self.prefix + key, **given)
        except Exception as error:
            raise _boto3.trouble(error, f"s3://{self.name}/{self.prefix}{key}") from error

    def _pages(self, operation: str, **given: Any) -> Iterator[Any]:
        try:
            yield from self._s3.get_paginator(operation).paginate(Bucket=self.name, **given)
        except Exception as error:
            raise _boto3.trouble(error, self.uri) from error


def _bare(etag: object) -> str:
    return str(etag or "").strip('"')
