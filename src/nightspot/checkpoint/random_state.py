"""The random states a training draws from without naming them: python's, numpy's, torch's, CUDA's."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from nightspot.checkpoint import _numpy, _torch


def capture() -> dict[str, object]:
    """All global random states that are in use, as primitives."""
    return {"python": random.getstate(), "numpy": _numpy.random_state(), "torch": _torch.random_states()}


def restore(saved: Mapping[str, Any]) -> list[str]:
    """Put them back; returns warnings about what this machine cannot put back exactly."""
    random.setstate(saved["python"])
    if saved["numpy"] is not None:
        _numpy.set_random_state(saved["numpy"])
    warning = None if saved["torch"] is None else _torch.set_random_states(saved["torch"])
    return [] if warning is None else [warning]
