"""Between a machine's folder and S3: the emulator's own clients, addresses, and paths that no key leads out of."""

from __future__ import annotations

import functools
import os
import shutil
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Iterator, Mapping

import botocore.session
from boto3.s3.transfer import TransferConfig
from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import ClientError

from nightspot.emulator.clients import ACCESS_KEY, SECRET_KEY
from nightspot.emulator.instance import DataError

UPLOADING = ".sagemaker-uploading"
ONE_THREAD = TransferConfig(use_threads=False)
CONNECT_S, READ_S, TRIES = 5, 30, 3
GZIP_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Clients:
    """boto3's, for one region of the emulator. Any thread may use them."""

    s3: Any
    logs: Any


@functools.lru_cache(maxsize=64)
def clients(endpoint_url: str, region: str) -> Clients:
    """Clients that know nothing of the environment's profiles, files, proxies and endpoints: all they say goes to that address."""
    nothing = (None, None, None, None)
    files = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    core = botocore.session.Session(session_vars={"profile": nothing, "ca_bundle": nothing, **files})
    core.set_credentials(ACCESS_KEY, SECRET_KEY)
    session = Session(botocore_session=core, region_name=region)
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"mode": "standard", "total_max_attempts": TRIES},
        proxies={},
        s3={"addressing_style": "path"},
    )
    made = {name: session.client(name, endpoint_url=endpoint_url, config=config) for name in ("s3", "logs")}
    return Clients(made["s3"], made["logs"])


@dataclass(frozen=True, slots=True)
class Place:
    """`s3://bucket/key`; a key may be a prefix, or empty."""

    bucket: str
    key: str

    @property
    def uri(self) -> str:
        """As it is written."""
        return f"s3://{self.bucket}/{self.key}"

    def under(self, name: str) -> Place:
        """A name below this one."""
        return Place(self.bucket, f"{self.key.rstrip('/')}/{name}".lstrip("/"))


def place(uri: str, what: str) -> Place:
    """DataError where that is no address in S3. `what`: the field it stood in."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise DataError(f"{what} is {uri!r}: expected s3://BUCKET/KEY")
    return Place(bucket, key)


def path_of(folder: Path, name: str, what: str) -> Path:
    """Where an object's name leads within a folder. DataError where it would lead out of it, or nowhere."""
    parts = [part for part in name.split("/") if part]
    if not parts or name.startswith("/") or "\0" in name or {".", ".."} & set(parts):
        raise DataError(f"{what}: the object name {name!r} leads out of its folder. Give the object another key")
    return folder.joinpath(*parts)


def names_under(s3: Any, prefix: Place) -> Iterator[tuple[str, str]]:
    """(key, name in the folder) of every object that begins with the prefix. A prefix of half a name counts, as in S3."""
    folder = prefix.key if prefix.key.endswith("/") else prefix.key.rpartition("/")[0]
    for key in _keys(s3, prefix):
        if prefix.key and key.startswith(f"{prefix.key.rstrip('/')}/"):
            yield key, key[len(prefix.key.rstrip("/")) + 1 :]
        else:
            yield key, key[len(folder) :].removeprefix("/" if folder else "")


def _keys(s3: Any, prefix: Place) -> Iterator[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=prefix.bucket, Prefix=prefix.key)
    try:
        for page in pages:
            yield from (found["Key"] for found in page.get("Contents", ()))
    except ClientError as error:
        raise DataError(f"{prefix.uri} cannot be listed: {_code(error)}") from None


def fetch_prefix(s3: Any, prefix: Place, folder: Path, what: str) -> int:
    """Every object under the prefix; uploads in progress are none. How many they were. DataError as for `fetch`."""
    count = 0
    for key, name in names_under(s3, prefix):
        if key.endswith(UPLOADING) or not name:
            continue
        fetch(s3, Place(prefix.bucket, key), folder, name, what)
        count += 1
    return count


def fetch(s3: Any, source: Place, folder: Path, name: str, what: str) -> None:
    """One object into a file of that name. DataError where it is missing, or its name does not fit beside the others."""
    target = path_of(folder, name, what)
    try:
        if name.endswith("/"):  # what consoles make for an empty folder
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(source.bucket, source.key, str(target), Config=ONE_THREAD)
    except ClientError as error:
        raise DataError(f"{what}: {source.uri} cannot be read: {_code(error)}") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise DataError(f"{what}: {source.uri} is a folder and a file at once, which a disk cannot hold") from None


def read(s3: Any, source: Place, limit_bytes: int, what: str) -> bytes:
    """A small object, whole. DataError where it is missing or too long."""
    try:
        body = s3.get_object(Bucket=source.bucket, Key=source.key)["Body"]
        content = bytes(body.read(limit_bytes + 1))
    except ClientError as error:
        raise DataError(f"{what}: {source.uri} cannot be read: {_code(error)}") from None
    if len(content) > limit_bytes:
        raise DataError(f"{what}: {source.uri} is longer than {limit_bytes} bytes")
    return content


def send(s3: Any, file: Path, target: Place) -> None:
    """One file. DataError where the bucket does not take it."""
    try:
        s3.upload_file(str(file), target.bucket, target.key, Config=ONE_THREAD)
    except ClientError as error:
        raise DataError(f"{target.uri} cannot be written: {_code(error)}") from None
    except Exception as error:
        if isinstance(error.__context__, ClientError):  # boto3 wraps it, and keeps the code there
            raise DataError(f"{target.uri} cannot be written: {_code(error.__context__)}") from None
        raise


def _code(error: Exception) -> str:
    response: Mapping[str, Any] = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", "unknown"))


def pack(folder: Path, archive: Path) -> bool:
    """All of a folder as .tar.gz; links stay links. False where it is empty, or no folder: then the archive is empty."""
    entries = sorted(folder.iterdir()) if is_real_folder(folder) else []
    with tarfile.open(archive, "w:gz", compresslevel=GZIP_LEVEL) as tar:
        for entry in entries:
            tar.add(entry, arcname=entry.name)
    return bool(entries)


def is_real_folder(path: Path) -> bool:
    """A folder, and no link to one: the program may have put a link there, that leads out of the machine."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def real_files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """(name below the folder, stat) of each file, sorted; links and devices are passed over, and what vanishes meanwhile."""
    for path, folders, names in os.walk(folder) if is_real_folder(folder) else ():
        folders.sort()
        for name in sorted(names):
            file = Path(path, name)
            try:
                found = file.lstat()
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode):
                yield str(file.relative_to(folder)), found


def open_real(file: Path) -> BinaryIO | None:
    """A file, if it is one: never through a link, and never waiting for a pipe."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    opened = os.fdopen(descriptor, "rb")
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return opened
    opened.close()
    return None


def remove_tree(folder: Path) -> None:
    """All of it, also what the program made unreadable. OSError where something stays."""

    def again(remove: Any, path: str, _: Any) -> None:
        Path(path).parent.chmod(stat.S_IRWXU)
        if not Path(path).is_symlink():
            Path(path).chmod(stat.S_IRWXU)
        shutil.rmtree(path) if remove in (os.scandir, os.open, os.lstat) else remove(path)

    if folder.exists():
        shutil.rmtree(folder, onerror=again)
