"""The global random states of numpy and torch, set and put back for a single item: only of what the training has imported."""

from __future__ import annotations

import sys
from typing import Any


def in_worker() -> bool:
    """This process is a worker of torch's DataLoader."""
    data = sys.modules.get("torch.utils.data")
    return data is not None and data.get_worker_info() is not None


def seed(number: int) -> None:
    """number: from 0 to 2**63 - 1."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed([number >> 32, number & 0xFFFFFFFF])
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        torch.default_generator.manual_seed(
            number
        )  # torch.manual_seed notes down each call until CUDA is in use: 1 ms, and memory
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(number)


def states() -> tuple[Any, Any]:
    """Of numpy and of torch, with its CUDA devices once they are in use; None for what is not imported. To be put back at once."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    of_torch = None
    if torch is not None:
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        of_torch = (torch.get_rng_state(), cuda)
    return None if numpy is None else numpy.random.get_state(), of_torch


def set_states(before: tuple[Any, Any]) -> None:
    """What `states` gave."""
    of_numpy, of_torch = before
    if of_numpy is not None:
        sys.modules["numpy"].random.set_state(of_numpy)
    if of_torch is not None:
        sys.modules["torch"].set_rng_state(of_torch[0])
        if of_torch[1]:
            sys.modules["torch"].cuda.set_rng_state_all(of_torch[1])
