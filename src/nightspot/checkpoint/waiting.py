"""Waiting for descriptors of any number: `select.select` ends at 1023, and a training may have more files open than that."""

from __future__ import annotations

import select
from collections.abc import Sequence


def readable(descriptors: Sequence[int], patience_s: float) -> set[int]:
    """Those that can be read without waiting, or have come to their end, within `patience_s`; none if none came. 0: look."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(max(0.0, patience_s) * 1000)}
