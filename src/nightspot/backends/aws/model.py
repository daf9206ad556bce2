"""The model that a job left in its bucket: is it there, what is its digest, and its copy under the final name."""

from __future__ import annotations

import hashlib
import json
import tarfile
import time
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any, Iterator, Mapping, cast

from nightspot.backends.aws.calls import Rejected, Trouble
from nightspot.backends.aws.store import Store
from nightspot.errors import Unsure

ARCHIVE = ".tar.gz"
BLOCK_BYTES = 1 << 20
# Larger ones are not fetched by the controller: their ETag is the digest. So is that of one that takes too long (real seconds).
FETCH_BYTES_MAX, CONTENT_BYTES_MAX, FETCH_S = 256 << 20, 2 << 30, 30.0


@dataclass(frozen=True, slots=True)
class Digest:
    """`value` is hex SHA-256 of what `what` says, or an ETag behind `etag:`."""

    value: str
    what: str


class TooMuchError(Exception):
    """More than a controller should read."""


def digest(store: Store, uri: str, artifact: str | None) -> Digest | None:
    """The digest of the model at that URI, a tarball or a folder. None where it, or the member that `artifact` names, is not there.

    Raises Unsure, and Rejected where it may not be read.
    """
    there = store.head(uri) if not uri.endswith("/") else None
    if there is None:
        return _of_folder(store, uri)
    by_etag = Digest(f"etag:{there.etag}", f"ETag of {uri}")
    if not uri.endswith(ARCHIVE) or there.size_bytes > FETCH_BYTES_MAX:
        return by_etag
    try:
        members = dict(_members(store, uri))
    except TooMuchError:
        return by_etag
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        raise Rejected(Trouble.INVALID, "", f"{uri} is no whole archive: {error}") from error
    return _chosen(members, uri, artifact)


def _chosen(members: Mapping[str, str], uri: str, artifact: str | None) -> Digest | None:
    """One file's own digest; of several, that of the list of them: equal contents have equal digests, whenever they were packed."""
    if artifact is not None and artifact != PurePosixPath(uri).name:
        name = str(PurePosixPath(artifact))
        return Digest(members[name], f"SHA-256 of {name}") if name in members else None
    if len(members) == 1:
        ((name, value),) = members.items()
        return Digest(value, f"SHA-256 of {name}")
    return Digest(_sha256(sorted(members.items())), f"SHA-256 over names and SHA-256 of {len(members)} files")


def _members(store: Store, uri: str) -> Iterator[tuple[str, str]]:
    """(name, SHA-256) of every file in the archive, as it streams by."""
    body = store.stream(uri)
    until_s, left_bytes = time.monotonic() + FETCH_S, CONTENT_BYTES_MAX
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", _Answer(body)), mode="r|gz") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None:
                    left_bytes -= member.size
                    yield str(PurePosixPath(member.name)), _hashed(file, left_bytes, until_s)
    finally:
        body.close()


class _Answer:
    """What tarfile reads from. A connection that breaks says nothing of the archive."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size_bytes: int) -> bytes:
        try:
            return bytes(self._body.read(size_bytes))
        except Exception as error:
            raise Unsure(f"the model could not be read to its end: {error}") from error


def _hashed(file: IO[bytes], left_bytes: int, until_s: float) -> str:
    hashed = hashlib.sha256()
    while block := file.read(BLOCK_BYTES):
        if left_bytes < 0 or time.monotonic() > until_s:
            raise TooMuchError
        hashed.update(block)
    return hashed.hexdigest()


def _of_folder(store: Store, uri: str) -> Digest | None:
    """An uncompressed model: the ETags of all that is in it."""
    found = store.listing(uri)
    if not found:
        return None
    return Digest(
        _sha256([[name, one.size_bytes, one.etag] for name, one in sorted(found.items())]),
        f"SHA-256 over names, sizes and ETags of {len(found)} objects",
    )


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()


def publish(store: Store, source: str, target: str, lineage: Mapping[str, Any]) -> str:
    """Copy the tarball to its final name, inside S3, and say beside it where it comes from. Where it is then.

    Raises Unsure, and Rejected where that may not be. ValueError for a target that is no s3:// URI.
    """
    whole = target + PurePosixPath(source).name if target.endswith("/") else target
    store.copy(source, whole)
    store.write_json(f"{whole}.lineage.json", lineage)
    return whole
