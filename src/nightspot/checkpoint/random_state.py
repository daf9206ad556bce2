"""The random states a training draws from without naming them: python's, numpy's, torch's, CUDA's."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from nightspot.checkpoint import _numpy, _torch

NEW_SEED = "new seed"  # in place of states: there are none for this process, all begin anew
SEED_WARNING = "warning"


def capture() -> dict[str, object]:
    """All global random states that are in use, as primitives."""
    return {"python": random.getstate(), "numpy": _numpy.random_state(), "torch": _torch.random_states()}


def restore(saved: Mapping[str, Any]) -> list[str]:
    """Put them back; returns warnings about what this machine cannot put back exactly."""
    if NEW_SEED in saved:
        return _begin_anew(saved)
    random.setstate(saved["python"])
    if saved["numpy"] is not None:
        _numpy.set_random_state(saved["numpy"])
    warning = None if saved["torch"] is None else _torch.set_random_states(saved["torch"])
    return [] if warning is None else [warning]


def _begin_anew(saved: Mapping[str, Any]) -> list[str]:
    random.seed(saved[NEW_SEED])
    _numpy.seed(saved[NEW_SEED])
    _torch.seed(saved[NEW_SEED])
    return [saved[SEED_WARNING]] if SEED_WARNING in saved else []
