"""The finished model: that this Run wrote it, what its digest is, and putting it under its final name in one step."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from nightspot.process.files import sync_folder, write_whole

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Artifact:
    """One whole file."""

    path: Path
    sha256: str
    size_bytes: int


class NotPublishedError(Exception):
    """The model is whole where it was written, and could not be put where it belongs."""


def stamp(path: Path) -> str | None:
    """Changes when the file is written or replaced; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"


def fault(path: Path, before: str | None) -> str | None:
    """Why that is not a file this Run wrote; None where it is. `before`: its stamp before the Run."""
    try:
        status = path.stat()
    except OSError as error:
        return f"it ended well, but there is no {path} ({error.strerror})"
    if not stat.S_ISREG(status.st_mode):
        return f"it ended well, but {path} is no plain file"
    if stamp(path) == before:
        return f"it ended well, but {path} is from before this run: it was not written"
    return None


def examine(path: Path) -> Artifact:
    """Read all of it. OSError where that fails."""
    digest, size_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            size_bytes += len(block)
    return Artifact(path, digest.hexdigest(), size_bytes)


def publish(made: Artifact, final: Path) -> Artifact:
    """A copy under its final name: whoever looks sees the old model or the new one, whole. NotPublishedError where that fails."""
    temporary = final.with_name(f".{final.name}.{secrets.token_hex(4)}.tmp")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _copy(made, temporary)
        temporary.replace(final)
        sync_folder(final.parent)
    except OSError as error:
        with contextlib.suppress(OSError):  # not even its folder may be there
            temporary.unlink()
        raise NotPublishedError(f"the model is at {made.path}, but could not be put at {final}: {error}") from error
    return Artifact(final, made.sha256, made.size_bytes)


def _copy(made: Artifact, target: Path) -> None:
    """On the disk. OSError where that fails, or it is no longer what was examined."""
    digest = hashlib.sha256()
    with made.path.open("rb") as old, target.open("xb") as new:
        while block := old.read(BLOCK_BYTES):
            digest.update(block)
            new.write(block)
        new.flush()
        os.fsync(new.fileno())
    if digest.hexdigest() != made.sha256:
        raise OSError(f"{made.path} changed while it was copied")


def lineage_path(artifact: Path) -> Path:
    """The sidecar's name: the model's own bytes stay as they are, so that digests compare."""
    return artifact.with_name(f"{artifact.name}.lineage.json")


def write_lineage(artifact: Artifact, known: Mapping[str, Any]) -> None:
    """Beside the model. NotPublishedError where that fails."""
    document = {**known, "artifact": artifact.path.name, "sha256": artifact.sha256, "size_bytes": artifact.size_bytes}
    try:
        write_whole(lineage_path(artifact.path), document, mode=0o644)
    except OSError as error:
        raise NotPublishedError(f"the model is at {artifact.path}, but not its lineage: {error}") from error
