"""Which checkpoints a bucket has. A listing only says what to ask for: what exists is said by the manifests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from nightspot.checkpoint import _hashing, manifest
from nightspot.checkpoint.bucket_objects import Bucket
from nightspot.checkpoint.errors import DamagedError
from nightspot.checkpoint.manifest import MANIFEST, MANIFEST_LIMIT_BYTES, File, Manifest
from nightspot.checkpoint.store_errors import AbsentError, BusyError, StoreError
from nightspot.checkpoint.store_patience import Patience

NAME = re.compile(r"step-(\d{9,18})")
FOLDER_DIGITS = 32
HASH = "nightspot-hash"  # metadata of each object: algorithm:hex, as in the manifest
THREADS = 8


def names(bucket: Bucket, ask: Patience) -> list[str]:
    """Names below the prefix that a checkpoint can have, newest first: begun, perhaps not finished, perhaps damaged."""
    found = [name for name in ask(lambda: list(bucket.folders())) if NAME.fullmatch(name)]
    return sorted(found, key=manifest.number, reverse=True)


def read(bucket: Bucket, name: str, ask: Patience) -> Manifest:
    """The manifest. Raises AbsentError: there is none, so no such checkpoint. DamagedError, ConfigError, StoreError."""
    return manifest.parse(raw(bucket, name, ask), name)


def raw(bucket: Bucket, name: str, ask: Patience) -> bytes:
    """The manifest's bytes. Raises what `read` raises."""
    found = ask(lambda: bucket.read(f"{name}/{MANIFEST}", MANIFEST_LIMIT_BYTES))
    if len(found) > MANIFEST_LIMIT_BYTES:
        raise DamagedError(f"{name}: its manifest is larger than {MANIFEST_LIMIT_BYTES} bytes")
    return found


def own_folder(found: Manifest) -> str:
    """Where an upload puts a checkpoint's files: named by their hashes, so that under one key there is ever only one content.

    Whoever is late, an earlier attempt on another machine, cannot change what a stored checkpoint consists of.
    """
    return f"{found.name}/{found.digest[:FOLDER_DIGITS]}"


def folder(bucket: Bucket, found: Manifest, ask: Patience) -> str:
    """Where its files are: as they were uploaded, or beside the manifest, where somebody copied a whole folder."""
    places = (own_folder(found), found.name)
    every = ((place, file) for file in found.files for place in places)
    return next((place for place, file in every if _is_there(bucket, f"{place}/{file.name}", ask)), places[0])


def _is_there(bucket: Bucket, key: str, ask: Patience) -> bool:
    try:
        ask(lambda: bucket.head(key))
    except AbsentError:
        return False
    return True


def faults(bucket: Bucket, found: Manifest, ask: Patience) -> list[str]:
    """What is wrong with its files as far as can be seen without reading them: missing, of another size, of another hash."""
    where = folder(bucket, found, ask)

    def look(file: File) -> str | None:
        try:
            there = ask(lambda: bucket.head(f"{where}/{file.name}"))
        except AbsentError:
            return f"{file.name} is missing"
        if there.size_bytes != file.size_bytes:
            return f"{file.name} has {there.size_bytes} bytes, not {file.size_bytes}"
        marked = there.metadata.get(HASH)
        return f"{file.name} is another file" if marked and not marked.endswith(f":{file.hash}") else None

    with ThreadPoolExecutor(THREADS) as pool:
        return [fault for fault in pool.map(look, found.files) if fault is not None]


def hash_faults(bucket: Bucket, found: Manifest, ask: Patience) -> list[str]:
    """The same from every byte."""
    where = folder(bucket, found, ask)

    def look(file: File) -> str | None:
        digest = _hashing.new(found.algorithm)
        for block in blocks(bucket, f"{where}/{file.name}", file.size_bytes, ask):
            digest.update(block)
        return altered(file) if digest.hexdigest() != file.hash else None

    seen = faults(bucket, found, ask)
    wrong = {fault.split()[0] for fault in seen}
    with ThreadPoolExecutor(THREADS) as pool:
        read = pool.map(look, [file for file in found.files if file.name not in wrong])
        return seen + [fault for fault in read if fault is not None]


def altered(file: File) -> str:
    """One hash covers a file: which of its bytes it is cannot be told."""
    return f"{file.name} (bytes 0 to {file.size_bytes - 1}) does not have the hash it was written with"


def blocks(
    bucket: Bucket, key: str, size_bytes: int, ask: Patience, start: int = 0, count: int | None = None
) -> Iterator[bytes]:
    """`count` bytes from `start` on of an object that has `size_bytes` in all; goes on where a connection broke.

    Raises DamagedError where it has another size, AbsentError, StoreError.
    """
    left = size_bytes - start if count is None else count
    stream: Iterator[bytes] | None = None

    def more() -> bytes:
        nonlocal stream
        try:
            stream = stream or bucket.blocks(key, start, left, size_bytes)
            block = next(stream, b"")
        except StoreError:
            stream = None
            raise
        if not block:
            stream = None
            raise BusyError(f"{key}: the answer ended early")
        return block

    while left > 0:
        block = ask(more)
        start, left = start + len(block), left - len(block)
        yield block
