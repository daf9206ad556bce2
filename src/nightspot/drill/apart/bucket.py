"""A bucket that takes part in a drill: each training has a prefix of its own in it, and at the end they are emptied."""

from __future__ import annotations

import contextlib

from nightspot.checkpoint.bucket import Remote, place
from nightspot.checkpoint.errors import CheckpointError
from nightspot.drill.apart.mounts import IsolationError

NONE = "none"


def names(store: str, suffix: str) -> tuple[str, ...]:
    """Of the checkpoints that are whole there, newest first, as far as can be seen without reading them.

    IsolationError where it cannot be asked.
    """
    try:
        there = place(f"{store.rstrip('/')}/{suffix}")
        found = []
        for name in there.names():
            with contextlib.suppress(CheckpointError, OSError):
                if not there.faults(there.manifest(name)):
                    found.append(name)
    except (CheckpointError, OSError) as error:
        raise IsolationError(f"{store} does not answer: {error}") from error
    return tuple(found)


def empty(store: str, prefix: str) -> None:
    """Remove all that a drill has put below its prefix. CheckpointError or OSError where that fails."""
    remote = place(f"{store.rstrip('/')}/{prefix}")
    if isinstance(remote, Remote):
        for one in list(remote.bucket.objects()):
            remote.bucket.delete(one.key)
        for key, upload in remote.bucket.uploads():
            remote.bucket.abort(key, upload)
