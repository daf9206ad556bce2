"""What a request expects to find in AWS, put into an emulator: buckets, the role, the program's source, the channels' data.

What is there already stays: a night that goes on finds its checkpoints.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping

from nightspot.emulator.clients import client
from nightspot.emulator.errors import EmulatorError

NOT_SOURCE = ("__pycache__", ".git", ".venv", "venv", "node_modules")
ARCHIVES = (".tar.gz", ".tgz")
SUBMIT, PROGRAM = "sagemaker_submit_directory", "sagemaker_program"


def furnish(
    endpoint_url: str,
    region: str,
    request: Mapping[str, Any],
    buckets: Iterable[str],
    source: Path | None,
    data: Mapping[str, Path],
) -> None:
    """Make all of it. EmulatorError, in words for the user, for a source or a channel that cannot be had. `buckets`: more S3 addresses."""
    s3 = client("s3", endpoint_url, region)
    there = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for name in sorted({bucket_of(uri) for uri in [*addresses(request), *buckets]} - there):
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=name, **place)
    _role(client("iam", endpoint_url, region), str(request.get("RoleArn", "")))
    _source(s3, request, source)
    for name, path in data.items():
        _channel(s3, request, name, path)


def addresses(value: Any) -> Iterator[str]:
    """All S3 addresses in it; a hyperparameter may hold one as JSON."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from addresses(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from addresses(inner)
    elif isinstance(value, str) and value.strip('"').startswith("s3://"):
        yield value.strip('"')


def bucket_of(uri: str) -> str:
    """Of s3://bucket/key."""
    return uri.removeprefix("s3://").partition("/")[0]


def _key_of(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[2]


def _role(iam: Any, arn: str) -> None:
    """The doctor asks whether SageMaker may assume it."""
    name = arn.rpartition("/")[2]
    known = {role["RoleName"] for role in iam.list_roles()["Roles"]}
    if name and name not in known:
        trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        path = arn.partition(":role")[2].rpartition("/")[0] + "/"
        iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=document)


def _source(s3: Any, request: Mapping[str, Any], source: Path | None) -> None:
    given = request.get("HyperParameters", {}).get(SUBMIT)
    if given is None:
        return
    uri = str(given).strip('"')
    if source is not None:
        s3.put_object(Bucket=bucket_of(uri), Key=_key_of(uri), Body=packed(source, request))
    elif not s3.list_objects_v2(Bucket=bucket_of(uri), Prefix=_key_of(uri), MaxKeys=1).get("KeyCount"):
        raise EmulatorError(
            f"the emulator has no program: the request expects it at {uri}. "
            'Say where it lies on this machine: [emulator] source = "."'
        )


def packed(source: Path, request: Mapping[str, Any]) -> bytes:
    """The archive that the toolkit unpacks. EmulatorError where the program is not in it."""
    if source.is_file() and source.name.endswith(ARCHIVES):
        return source.read_bytes()
    if not source.exists():
        raise EmulatorError(f"[emulator] source: there is no {source}")
    base = source if source.is_dir() else source.parent
    files = sorted(_files(source)) if source.is_dir() else [source]
    program = str(request.get("HyperParameters", {}).get(PROGRAM, "")).strip('"')
    if program and not (base / program).is_file():
        raise EmulatorError(f"[emulator] source: the request's program {program} is not in {source}")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in files:
            archive.add(path, path.relative_to(base).as_posix(), recursive=False)
    return buffer.getvalue()


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in NOT_SOURCE or path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file():
            yield path


def _channel(s3: Any, request: Mapping[str, Any], name: str, path: Path) -> None:
    channels = {one["ChannelName"]: one for one in request.get("InputDataConfig", [])}
    if name not in channels:
        known = ", ".join(sorted(channels)) or "none"
        raise EmulatorError(f"[emulator] data: the request has no channel {name!r}; it has: {known}")
    uri = channels[name].get("DataSource", {}).get("S3DataSource", {}).get("S3Uri", "")
    if not path.exists():
        raise EmulatorError(f"[emulator] data: channel {name!r}: there is no {path}")
    bucket, prefix = bucket_of(uri), _key_of(uri).rstrip("/")
    for file in [path] if path.is_file() else sorted(_files(path)):
        inside = file.name if path.is_file() else file.relative_to(path).as_posix()
        s3.upload_file(str(file), bucket, f"{prefix}/{inside}" if prefix else inside)
