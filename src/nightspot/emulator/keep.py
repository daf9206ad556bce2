"""moto keeps S3 in memory: here its buckets and objects are written into the state folder, and put back.

Through S3's own API, so that only what S3 promises is relied on: names, content, metadata, tags of no object, versions of none. What is
in the folder is always whole: content first, under names of our own, then the index, in one rename.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

from botocore.exceptions import BotoCoreError, ClientError

from nightspot.emulator.errors import EmulatorError
from nightspot.process.files import read_json, write_whole

INDEX = "index.json"
HEADERS = ("ContentType", "ContentEncoding", "ContentDisposition", "CacheControl", "Metadata")


@dataclass(frozen=True, slots=True)
class Kept:
    """One object: where it belongs, which file has its content, and by what it is known to be unchanged."""

    bucket: str
    key: str
    file: str
    etag: str
    modified: str
    headers: dict[str, Any]


class Keeper:
    """`client` gives a boto3 S3 client of the emulator itself, of that region. One thread at a time."""

    def __init__(self, client: Callable[[str], Any], folder: Path) -> None:
        self._client_of, self._folder = client, folder
        self._client = client("us-east-1")
        self._known: dict[tuple[str, str], Kept] = {}
        self._restored = False

    def restore(self) -> None:
        """Put everything back into a moto that has nothing. EmulatorError where that cannot be done: then nothing is ever overwritten."""
        try:
            self._restore()
        except (OSError, ValueError, KeyError, TypeError, BotoCoreError, ClientError) as error:
            raise EmulatorError(
                f"S3's objects in {self._folder} cannot be put back ({error!r}). They are left as they are: "
                "choose another --state folder, or remove this one"
            ) from error
        self._restored = True

    def _restore(self) -> None:
        index = read_json(self._folder / INDEX) if (self._folder / INDEX).exists() else {"buckets": [], "objects": []}
        for bucket in index["buckets"]:
            self._make(bucket)
        for document in index["objects"]:
            kept = Kept(**document)
            with (self._folder / kept.file).open("rb") as content:
                self._client.put_object(Bucket=kept.bucket, Key=kept.key, Body=content, **kept.headers)
            head = self._client.head_object(Bucket=kept.bucket, Key=kept.key)
            self._known[kept.bucket, kept.key] = _as_kept(kept.bucket, kept.key, kept.file, head)

    def save(self) -> None:
        """Write what is new, then the index, then remove what nobody names any more. Nothing before all was restored."""
        if not self._restored:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        buckets = [self._bucket(one["Name"]) for one in self._client.list_buckets()["Buckets"]]
        objects = [self._kept(one["name"], line) for one in buckets for line in self._lines(one["name"])]
        document = {"buckets": buckets, "objects": [asdict(one) for one in objects]}
        write_whole(self._folder / INDEX, json.loads(json.dumps(document)))
        self._known = {(one.bucket, one.key): one for one in objects}
        named = {INDEX, *(one.file for one in objects)}
        for path in self._folder.iterdir():
            if path.name not in named:
                path.unlink(missing_ok=True)

    def _bucket(self, name: str) -> dict[str, Any]:
        region = self._client.get_bucket_location(Bucket=name)["LocationConstraint"]
        return {"name": name, "region": region, "rules": self._rules(name)}

    def _rules(self, name: str) -> list[Any]:
        try:
            rules: list[Any] = self._client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
        except ClientError:  # it has none
            return []
        return rules

    def _make(self, bucket: dict[str, Any]) -> None:
        place = (
            {} if bucket["region"] is None else {"CreateBucketConfiguration": {"LocationConstraint": bucket["region"]}}
        )
        self._client_of(bucket["region"] or "us-east-1").create_bucket(Bucket=bucket["name"], **place)
        if bucket["rules"]:
            configuration = {"Rules": bucket["rules"]}
            self._client.put_bucket_lifecycle_configuration(Bucket=bucket["name"], LifecycleConfiguration=configuration)

    def _lines(self, bucket: str) -> Iterator[dict[str, Any]]:
        for found in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            yield from found.get("Contents", ())

    def _kept(self, bucket: str, line: dict[str, Any]) -> Kept:
        """As it was written before, where it is the same; else written now."""
        known = self._known.get((bucket, line["Key"]))
        same = known is not None and (known.etag, known.modified) == (line["ETag"], str(line["LastModified"]))
        if known is not None and same and (self._folder / known.file).exists():
            return known
        answer = self._client.get_object(Bucket=bucket, Key=line["Key"])
        name = uuid.uuid4().hex
        with (self._folder / name).open("wb") as file:
            for chunk in answer["Body"].iter_chunks():
                file.write(chunk)
        return _as_kept(bucket, line["Key"], name, answer)


def _as_kept(bucket: str, key: str, file: str, answer: dict[str, Any]) -> Kept:
    headers = {name: answer[name] for name in HEADERS if answer.get(name)}
    return Kept(bucket, key, file, answer["ETag"], str(answer["LastModified"]), headers)
