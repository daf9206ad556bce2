"""The only module here that touches torch, and only once the training itself has imported it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

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


def refusal(tensor: Any) -> str | None:
    """Why a tensor cannot be kept exactly, for a sentence "... is"; None if it can."""
    import torch

    kind = type(tensor)
    if kind not in (torch.Tensor, torch.nn.Parameter, *_lazy_kinds()) and kind.__name__ != "DTensor":
        return f"a {kind.__module__}.{kind.__qualname__}: expected a plain tensor, a parameter or a DTensor"
    if is_lazy(tensor):
        return None
    if tensor.is_quantized:
        return f"quantised ({tensor.dtype}): expected its integers, scale and zero point as states of their own"
    if tensor.is_nested:
        return "a nested tensor: expected its parts as states of their own"
    if tensor.is_meta:
        return "on the device meta: expected one with values"
    if tensor.layout is not torch.strided and tensor.layout not in _sparse_members():
        return f"of the layout {tensor.layout}: expected a dense or a sparse tensor"
    return None


def identity(tensor: Any) -> object:
    """Equal for two tensors that are the same values in the same memory."""
    import torch

    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or not tensor.numel():
        return id(tensor)
    place = (str(tensor.device), tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()))
    return (*place, tensor.dtype, tensor.is_conj(), tensor.is_neg(), tensor.requires_grad, type(tensor))


def traits(tensor: Any) -> Tagged:
    """What to know of a tensor besides its values: device, and what is not as usual."""
    found: Tagged = {"device": str(tensor.device)}
    if is_parameter(tensor):
        found["parameter"] = True
    if tensor.requires_grad:
        found["requires_grad"] = True
    if (order := _order(tensor)) is not None:
        found["order"] = order
    return found


def with_traits(tensor: Any, told: Mapping[str, Any]) -> Any:
    """A tensor as `traits` told of it."""
    import torch

    if "order" in told:  # dense, but not row by row: channels last, say
        back = sorted(range(len(told["order"])), key=told["order"].__getitem__)
        tensor = tensor.permute(told["order"]).contiguous().permute(back)
    if told.get("parameter"):
        return torch.nn.Parameter(tensor, requires_grad=bool(told.get("requires_grad")))
    return tensor.requires_grad_() if told.get("requires_grad") else tensor


def is_parameter(tensor: object) -> bool:
    """A torch.nn.Parameter."""
    import torch

    return isinstance(tensor, torch.nn.Parameter)


def is_lazy(tensor: object) -> bool:
    """A parameter or a buffer that has no shape yet."""
    return isinstance(tensor, _lazy_kinds())


def lazy(*, parameter: bool) -> object:
    """A fresh one."""
    import torch

    module = torch.nn.parameter
    return module.UninitializedParameter() if parameter else module.UninitializedBuffer()


def sparse_parts(tensor: Any) -> tuple[Tagged, dict[str, Any]] | None:
    """A sparse tensor as what to know of it, and the dense ones it is made of; None for a dense one."""
    import torch

    members = _sparse_members().get(tensor.layout)
    if members is None:
        return None
    told: Tagged = {"layout": str(tensor.layout).removeprefix("torch."), "shape": list(tensor.shape)}
    if tensor.layout is torch.sparse_coo:
        told["coalesced"] = tensor.is_coalesced()
        return told, {"indices": tensor._indices(), "values": tensor._values()}  # noqa: SLF001 - as torch.save does
    return told, {name: getattr(tensor, name)() for name in members}


def sparse(told: Mapping[str, Any], parts: Mapping[str, Any]) -> object:
    """What `sparse_parts` took apart."""
    import torch

    if told["layout"] == "sparse_coo":
        made = torch.sparse_coo_tensor(parts["indices"], parts["values"], told["shape"])
        return made._coalesced_(told["coalesced"])
    layout = getattr(torch, str(told["layout"]))
    compressed, plain = (parts[name] for name in _sparse_members()[layout][:2])
    return torch.sparse_compressed_tensor(compressed, plain, parts["values"], told["shape"], layout=layout)


def _sparse_members() -> dict[object, tuple[str, ...]]:
    import torch

    by_rows, by_columns = ("crow_indices", "col_indices", "values"), ("ccol_indices", "row_indices", "values")
    return {
        torch.sparse_coo: ("indices", "values"),
        torch.sparse_csr: by_rows,
        torch.sparse_bsr: by_rows,
        torch.sparse_csc: by_columns,
        torch.sparse_bsc: by_columns,
    }


def _lazy_kinds() -> tuple[type, ...]:
    import torch

    return torch.nn.parameter.UninitializedParameter, torch.nn.parameter.UninitializedBuffer


def _order(tensor: Any) -> list[int] | None:
    """The dimensions from the slowest to the fastest, for a tensor without gaps; None where that is their own order."""
    if tensor.is_contiguous() or tensor.layout != sys.modules["torch"].strided:
        return None
    strides = tensor.stride()
    order = sorted(range(len(strides)), key=lambda dimension: -strides[dimension])
    return order if tensor.permute(order).is_contiguous() else None


def places_itself(value: object) -> bool:
    """Loading copies into what lives on its device already: modules and optimizers do."""
    if not in_use():
        return False
    import torch

    return isinstance(value, (torch.nn.Module, torch.optim.Optimizer))


def mismatch(live: object, read: Callable[[], Any], saved: object) -> str | None:
    """Why `saved` cannot be the state of the live module or optimizer; None if nothing speaks against it.

    read: gives its state as it would be saved now.
    """
    if not (places_itself(live) and isinstance(saved, Mapping)):
        return None
    import torch

    if isinstance(live, torch.nn.Module):
        return _other_entries(read(), saved)
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
            return f"{name} has {_in_words(*before)} in the checkpoint, {_in_words(*here)} here"
    return None


def _in_words(shape: tuple[int, ...], dtype: str) -> str:
    return f"the shape {shape} and the dtype {dtype}"


def _shape(value: object) -> tuple[tuple[int, ...], str] | None:
    import torch

    if not isinstance(value, torch.Tensor) or is_lazy(value):
        return None
    return tuple(value.shape), str(value.dtype).removeprefix("torch.")


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


def seed(number: int) -> None:
    """All global generators begin anew, once torch is in use."""
    if in_use():
        import torch

        torch.manual_seed(number)


def permutation(size: int, seed: int) -> torch.Tensor:
    """Int64 [size], a pure function of both; leaves the global random state alone."""
    import torch

    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


def versions() -> dict[str, str]:
    """What exactness hangs on: torch, its threads, its flags and, once CUDA is in use, CUDA, its device and flags."""
    if not in_use():
        return {}
    import torch

    found = {
        "torch": torch.__version__,
        "torch threads": str(torch.get_num_threads()),
        "deterministic algorithms": str(torch.are_deterministic_algorithms_enabled()),
        "float32 matmul precision": torch.get_float32_matmul_precision(),
    }
    if not _cuda_in_use():
        return found
    cudnn = torch.backends.cudnn
    return found | {
        "cuda": str(torch.version.cuda),
        "cuda device": torch.cuda.get_device_name(),
        "cudnn deterministic": str(cudnn.deterministic),
        "cudnn benchmark": str(cudnn.benchmark),
    }


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
