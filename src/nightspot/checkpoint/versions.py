"""What exactness hangs on beside the job itself: libraries, threads, devices, flags, a loader's workers."""

from __future__ import annotations

import platform
from collections.abc import Mapping

from nightspot.checkpoint import _numpy, _torch


def here(states: Mapping[str, object]) -> dict[str, str]:
    """As they are now. A checkpoint keeps them; where one differs on restoring, that is a warning."""
    numpy = _numpy.version()
    found = {"python": platform.python_version()} | ({} if numpy is None else {"numpy": numpy})
    return found | _torch.versions() | _workers(states)


def _workers(states: Mapping[str, object]) -> dict[str, str]:
    """Of states that are loaders: each worker has a random state of its own, and takes its share of the batches."""
    counts = {name: getattr(state, "num_workers", None) for name, state in states.items()}
    return {f"workers of '{name}'": str(count) for name, count in counts.items() if type(count) is int}
