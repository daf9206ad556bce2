"""What exists in a checkpoint folder, and whether it is what was written. Standard library only.

A checkpoint is a folder `step-000000012` with a MANIFEST.json that names every file with size and hash.
The number counts checkpoints of this folder, upwards; it is never used twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from nightspot.checkpoint import _hashing
from nightspot.checkpoint.errors import ConfigError, DamagedError

FORMAT = 2
MANIFEST = "MANIFEST.json"
STATE = "state.json"  # trees that are equal on every rank
INDEX = "index.json"  # where the tensors lie
MANIFEST_LIMIT_BYTES = 16 << 20
BLOCK_BYTES = 1 << 20
LAST_UTC = 253402300799  # the end of the year 9999, where calendars end

_COMMITTED = re.compile(r"step-(\d{9,18})")
_NUMBERED = re.compile(r"step-(\d{9,18})(\.tmp-.+)?")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True)
class File:
    """One file of a checkpoint; `hash` in hex digits of the manifest's algorithm."""

    name: str
    size_bytes: int
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """What a checkpoint says about itself, besides its files. fingerprint: None if the training has none.

    saved_utc: when its save began, in seconds since the epoch by the clock of the machine; None where nobody told.
    """

    units_done: float
    attempt: int
    world_size: int
    fingerprint: str | None
    versions: Mapping[str, str]
    saved_utc: float | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole MANIFEST.json."""

    name: str
    head: Head
    algorithm: str
    files: tuple[File, ...]

    @property
    def digest(self) -> str:
        """Hex SHA-256 over names, sizes and hashes of the files: equal states have equal digests."""
        return _sha256([asdict(file) for file in sorted(self.files, key=lambda file: file.name)])

    @property
    def size_bytes(self) -> int:
        """Of all files, without the manifest."""
        return sum(file.size_bytes for file in self.files)

    def to_bytes(self) -> bytes:
        """The content of MANIFEST.json."""
        body = {"format": FORMAT, **asdict(self.head), "algorithm": self.algorithm, "name": self.name}
        body |= {"files": [asdict(file) for file in self.files], "digest": self.digest}
        return _canonical(body | {"sha256": _sha256(body)})


def rank_file(rank: int) -> str:
    """Name of the file with the trees of one rank."""
    return f"rank-{rank}.json"


def names(folder: Path) -> list[str]:
    """Names of committed checkpoints, newest first; they may still be damaged. A missing folder has none."""
    found = [name for name in _folders(folder) if _COMMITTED.fullmatch(name)]
    return sorted(found, key=number, reverse=True)


def unfinished(folder: Path) -> list[str]:
    """Names of folders that some process began to write, or to drop, and did not finish."""
    return [name for name in _folders(folder) if _NUMBERED.fullmatch(name) and not _COMMITTED.fullmatch(name)]


def next_name(folder: Path) -> str:
    """A name above every one that is there, unfinished ones included."""
    highest = max((number(name) for name in _folders(folder) if _NUMBERED.fullmatch(name)), default=0)
    return f"step-{highest + 1:09d}"


def number(name: str) -> int:
    """The number in a checkpoint's name."""
    match = _NUMBERED.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r}: expected a name like step-000000012")
    return int(match[1])


def read(checkpoint: Path) -> Manifest:
    """The manifest, checked against itself, not yet against the files.

    Raises DamagedError; ConfigError if a newer version wrote it; OSError if it cannot be read at all.
    """
    try:
        raw = _read_whole(checkpoint / MANIFEST)
    except FileNotFoundError as error:
        raise DamagedError(f"{checkpoint.name}: it has no manifest") from error
    return parse(raw, checkpoint.name)


def parse(raw: bytes, name: str) -> Manifest:
    """The content of a MANIFEST.json of that name, wherever it was read.

    Raises DamagedError; ConfigError if a newer version wrote it.
    """
    try:
        body = json.loads(raw)
        _check_itself(raw, body)
        manifest = _parse(body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{name}: its manifest is damaged: {error}") from error
    if manifest.name != name:
        raise DamagedError(f"{name}: its manifest belongs to {manifest.name}")
    return manifest


def verify(checkpoint: Path) -> Manifest:
    """Read the manifest and every byte of every file.

    Raises what `read` raises, and UnverifiableError where the package of the hash algorithm is missing.
    """
    if not stat.S_ISDIR(checkpoint.lstat().st_mode):
        raise DamagedError(f"{checkpoint.name}: expected a folder")
    manifest = read(checkpoint)
    for file in manifest.files:
        verify_file(checkpoint, file, manifest.algorithm)
    return manifest


def newest_valid(folder: Path) -> Manifest | None:
    """The newest checkpoint that is whole, all of it read; None if there is none.

    Passes over damaged ones. Raises what `verify` raises, but DamagedError.
    """
    for name in names(folder):
        try:
            return verify(folder / name)
        except (DamagedError, FileNotFoundError):  # or dropped by its owner while we looked
            continue
    return None


def _folders(folder: Path) -> Iterable[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _read_whole(path: Path) -> bytes:
    with open_plain(path) as file:
        raw = file.read(MANIFEST_LIMIT_BYTES + 1)
    if len(raw) > MANIFEST_LIMIT_BYTES:
        raise DamagedError(f"{path.parent.name}: its manifest is larger than {MANIFEST_LIMIT_BYTES} bytes")
    return raw


def _check_itself(raw: bytes, body: Mapping[str, Any]) -> None:
    unsigned = {key: value for key, value in body.items() if key != "sha256"}
    if body["sha256"] != _sha256(unsigned) or raw != _canonical(body):
        raise ValueError("it does not have the hash it names")
    if body["format"] != FORMAT:
        age = "a newer" if body["format"] > FORMAT else "an older"
        raise ConfigError(
            f"{body['name']} has format {body['format']}, this version reads {FORMAT}: {age} nightspot wrote it; "
            "train to the end with that one, or start in an empty folder"
        )


def _parse(body: Mapping[str, Any]) -> Manifest:
    head = Head(**{field: body[field] for field in Head.__slots__ if field in body or field != "saved_utc"})
    if head.saved_utc is not None and not 0 <= head.saved_utc <= LAST_UTC:
        raise ValueError(f"it cannot have been saved at {head.saved_utc!r}")
    files = tuple(File(**file) for file in body["files"])
    for file in files:
        # It becomes part of a path: a name from a tampered bucket must not leave the folder.
        if not _FILE_NAME.fullmatch(file.name) or file.name == MANIFEST:
            raise ValueError(f"file name {file.name!r} is not allowed")
        if type(file.size_bytes) is not int or file.size_bytes < 0:
            raise ValueError(f"{file.name} cannot have {file.size_bytes!r} bytes")
    manifest = Manifest(body["name"], head, body["algorithm"], files)
    if manifest.digest != body["digest"]:
        raise ValueError("its digest is not that of its files")
    return manifest


def verify_file(checkpoint: Path, file: File, algorithm: str) -> None:
    """Read every byte of a file. Raises DamagedError, UnverifiableError, OSError."""
    path, digest = checkpoint / file.name, _hashing.new(algorithm)
    try:
        with open_plain(path) as opened:
            size_bytes = 0
            while block := opened.read(BLOCK_BYTES):
                digest.update(block)
                size_bytes += len(block)
    except FileNotFoundError as error:
        raise DamagedError(f"{checkpoint.name}: {file.name} is missing") from error
    if size_bytes != file.size_bytes:
        raise DamagedError(f"{checkpoint.name}: {file.name} has {size_bytes} bytes, not {file.size_bytes}")
    if digest.hexdigest() != file.hash:
        raise DamagedError(f"{checkpoint.name}: {file.name} does not have the hash it was written with")


def open_plain(path: Path) -> IO[bytes]:
    """Open a regular file. Raises DamagedError for a link or anything else, OSError as usual."""
    try:
        # O_NONBLOCK: a named pipe put there must not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise DamagedError(f"{path.parent.name}: {path.name} is a link") from error
        raise
    file = os.fdopen(descriptor, "rb")
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return file
    file.close()
    raise DamagedError(f"{path.parent.name}: {path.name} is not a plain file")


def _sha256(value: object) -> str:
    return hashlib.sha256(_canonical(value)).hexdigest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":")).encode() + b"\n"
