"""The only module here that touches torch, and only once the training itself has imported it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import torch

Tagged = dict[str, Any]


def in_use() -> bool:
    """The training has imported torch."""
    return "torch" in sys.modules


def is_tensor(value: object) -> bool:
    """A tensor or a parameter."""
    return in_use() and isinstance(value, sys.modules["torch"].Tensor)


def encode_small(value: object) -> Tagged | None:
    """A dtype, device or size as JSON; None for anything else."""
    if not in_use():
        return None
    import torch

    if isinstance(value, torch.Size):
        return {"!": "torch.Size", "items": list(value)}
    if isinstance(value, torch.dtype):
        return {"!": "torch.dtype", "name": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"!": "torch.device", "name": str(value)}
    return None


def decode_small(tagged: Tagged) -> object:
    """What `encode_small` wrote."""
    import torch

    if tagged["!"] == "torch.Size":
        return torch.Size(tagged["items"])
    if tagged["!"] == "torch.device":
        return torch.device(tagged["name"])
    named = getattr(torch, str(tagged["name"]), None)
    if not isinstance(named, torch.dtype):
        raise TypeError(f"{tagged['name']!r} is not a dtype of torch {torch.__version__}")
    return named


def save(tensors: list[object], file: IO[bytes]) -> None:
    """Write tensors; storages they share stay shared."""
    import torch

    torch.save(tensors, file)


def load(path: Path) -> list[Any]:
    """Read what `save` wrote, into CPU memory. Loads weights only: no code can hide in it."""
    import torch

    return cast("list[Any]", torch.load(path, map_location="cpu", weights_only=True))


def places_itself(value: object) -> bool:
    """Loading copies into what lives on its device already: modules and optimizers do."""
    if not in_use():
        return False
    import torch

    return isinstance(value, (torch.nn.Module, torch.optim.Optimizer))


def mismatch(live: object, saved: object) -> str | None:
    """Why `saved` cannot be the state of the live module or optimizer; None if nothing speaks against it."""
    if not (places_itself(live) and isinstance(saved, Mapping)):
        return None
    import torch

    if isinstance(live, torch.nn.Module):
        return _other_entries(live.state_dict(), saved)
    groups = [len(group["params"]) for group in cast("torch.optim.Optimizer", live).param_groups]
    before = [len(group["params"]) for group in saved["param_groups"]]
    return None if groups == before else f"parameters in its groups: {before} saved, {groups} here"


def _other_entries(live: Mapping[str, object], saved: Mapping[str, object]) -> str | None:
    if missing := sorted(live.keys() - saved.keys()):
        return f"not in the checkpoint: {', '.join(missing)}"
    if extra := sorted(saved.keys() - live.keys()):
        return f"only in the checkpoint: {', '.join(extra)}"
    for name, value in live.items():
        here, before = _shape(value), _shape(saved[name])
        if here is not None and before is not None and here != before:
            return f"{name} has the shape {before} in the checkpoint, {here} here"
    return None


def _shape(value: object) -> tuple[int, ...] | None:
    import torch

    if not isinstance(value, torch.Tensor) or torch.nn.parameter.is_lazy(value):
        return None
    return tuple(value.shape)


def generator_access(value: object) -> tuple[Callable[[], object], Callable[[Any], None]] | None:
    """How to read and write the state of a torch Generator; None for anything else."""
    if not in_use():
        return None
    import torch

    if not isinstance(value, torch.Generator):
        return None
    return lambda: _bytes(value.get_state()), lambda saved: _discard(value.set_state(_tensor(saved)))


def random_states() -> dict[str, object] | None:
    """Global states: of the CPU, and of every CUDA device once CUDA is in use. None without torch."""
    if not in_use():
        return None
    import torch

    # Asking an untouched CUDA for its states would take memory on every device.
    cuda = torch.cuda.get_rng_state_all() if _cuda_in_use() else []
    return {"cpu": _bytes(torch.get_rng_state()), "cuda": [_bytes(state) for state in cuda]}


def set_random_states(saved: Mapping[str, Any]) -> str | None:
    """Put the global states back; returns a warning where this machine has fewer CUDA devices."""
    import torch

    torch.set_rng_state(_tensor(saved["cpu"]))
    here = torch.cuda.device_count() if saved["cuda"] else 0
    for device, state in enumerate(saved["cuda"][:here]):
        torch.cuda.set_rng_state(_tensor(state), device)
    if here >= len(saved["cuda"]):
        return None
    return f"random states of {len(saved['cuda'])} CUDA devices were saved, {here} are here: not bit-exact"


def permutation(size: int, seed: int) -> torch.Tensor:
    """Int64 [size], a pure function of both; leaves the global random state alone."""
    import torch

    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


def versions() -> dict[str, str]:
    """What exactness hangs on: torch, its threads and, once CUDA is in use, CUDA and its device."""
    if not in_use():
        return {}
    import torch

    found = {"torch": torch.__version__, "torch threads": str(torch.get_num_threads())}
    if _cuda_in_use():
        found |= {"cuda": str(torch.version.cuda), "cuda device": torch.cuda.get_device_name()}
    return found


def _cuda_in_use() -> bool:
    import torch

    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def _bytes(state: torch.Tensor) -> bytes:
    return bytes(state.cpu().tolist())


def _tensor(state: bytes) -> torch.Tensor:
    import torch

    return torch.tensor(list(state), dtype=torch.uint8)


def _discard(_: object) -> None:
    """torch's setters return the generator; ours return nothing."""
