"""What there is to say of checkpoints in a folder or a bucket. The keys are those of `--json`, documented in docs/reference/cli.md."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Mapping

from nightspot.checkpoint.bucket import AbsentError, Place
from nightspot.checkpoint.errors import ConfigError, DamagedError
from nightspot.checkpoint.manifest import INDEX, File, Manifest

INDEX_LIMIT_BYTES = STATE_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of `ls`. whole: manifest and sizes are right; the bytes were not read. fault: "" where whole."""

    name: str
    units_done: float | None
    when_utc: float | None
    size_bytes: int | None
    attempt: int | None
    world_size: int | None
    whole: bool
    fault: str


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a checkpoint, by its key."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """All of a manifest, and what the index says of the tensors."""

    uri: str
    name: str
    units_done: float
    when_utc: float | None
    size_bytes: int
    attempt: int
    world_size: int
    fingerprint: str | None
    versions: Mapping[str, str]
    algorithm: str
    digest: str
    files: tuple[File, ...]
    states: tuple[str, ...]
    tensors: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether every byte of a checkpoint is what was written, and what is not."""

    name: str
    whole: bool
    size_bytes: int
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `prune` dropped, or would drop."""

    uri: str
    dropped: tuple[str, ...]
    kept: tuple[str, ...]
    freed_bytes: int
    dry_run: bool


def listed(place: Place, name: str) -> Listed:
    """One row. Raises StoreError, OSError."""
    when_utc = place.when_utc(name)
    try:
        found = place.manifest(name)
    except AbsentError:
        return Listed(name, None, when_utc, None, None, None, whole=False, fault="unfinished: it has no manifest")
    except (DamagedError, ConfigError) as error:
        return Listed(name, None, when_utc, None, None, None, whole=False, fault=str(error))
    head, faults = found.head, place.faults(found)
    told = (head.units_done, when_utc, found.size_bytes, head.attempt, head.world_size)
    return Listed(name, *told, whole=not faults, fault="; ".join(faults[:3]))


def shown(place: Place, name: str) -> Shown:
    """Raises AbsentError, DamagedError, ConfigError, StoreError, OSError."""
    found = place.manifest(name)
    head, tensors = found.head, _tensors(place, found)
    return Shown(
        uri=place.uri,
        name=name,
        units_done=head.units_done,
        when_utc=place.when_utc(name),
        size_bytes=found.size_bytes,
        attempt=head.attempt,
        world_size=head.world_size,
        fingerprint=head.fingerprint,
        versions=dict(sorted(head.versions.items())),
        algorithm=found.algorithm,
        digest=found.digest,
        files=found.files,
        states=_states(place, found),
        tensors=tensors,
    )


def verified(place: Place, name: str) -> Verified:
    """Reads every byte. Raises AbsentError, StoreError, OSError."""
    try:
        found = place.manifest(name)
        faults = place.hash_faults(found)
    except (DamagedError, ConfigError) as error:
        return Verified(name, whole=False, size_bytes=0, faults=(str(error),))
    return Verified(name, not faults, found.size_bytes, tuple(_with_tensors(place, found, fault) for fault in faults))


def _with_tensors(place: Place, found: Manifest, fault: str) -> str:
    """What a user would miss of a file."""
    file = fault.split()[0]
    if file == INDEX:
        return fault
    keys = [one.key for one in _tensors(place, found) if file in one.files]
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"{fault}: it holds {', '.join(keys[:3])}{more}" if keys else fault


def _states(place: Place, found: Manifest) -> tuple[str, ...]:
    """Names of the states: the trees of state.json and of the ranks."""
    trees = [file.name for file in found.files if file.name.endswith(".json") and file.name != INDEX]
    names: set[str] = set()
    for tree in trees:
        names |= set(_json(place, found, tree, STATE_LIMIT_BYTES))
    return tuple(sorted(names - {"random"}))


def _tensors(place: Place, found: Manifest) -> tuple[Tensor, ...]:
    """From the index, where there is one that can be read: it may be the damaged file."""
    if INDEX not in [file.name for file in found.files]:
        return ()
    entries = _json(place, found, INDEX, INDEX_LIMIT_BYTES).get("tensors", {})
    try:
        return tuple(_tensor(key, entry) for key, entry in entries.items())
    except (KeyError, TypeError, AttributeError, ValueError):
        return ()


def _tensor(key: str, entry: Mapping[str, Any]) -> Tensor:
    files = tuple(sorted({str(piece["file"]) for piece in entry["pieces"]}))
    return Tensor(key, str(entry["dtype"]), tuple(int(size) for size in entry["shape"]), files)


def _json(place: Place, found: Manifest, file: str, limit_bytes: int) -> Mapping[str, Any]:
    try:
        value = json.loads(place.read(found, file, limit_bytes))
    except (AbsentError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
