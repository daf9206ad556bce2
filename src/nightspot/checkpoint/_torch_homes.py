"""Live tensors that a checkpoint's bytes can be read straight into: those of plain modules, and what plain optimizers keep.

Loading copies into a module's tensors anyway, and gives an optimizer tensors to keep: handed its own memory, torch finds
nothing left to copy. Whatever is not as simple as that (see `find`) has no home here, and goes by way of new memory.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nightspot.checkpoint.many import states
from nightspot.checkpoint.many.shards import placeholders

_TOLD = {"!", "key", "device"}  # of a tensor with values and nothing else to know


@dataclass(frozen=True, slots=True)
class Home:
    """A live tensor in CPU memory, row by row without gaps. memory: its bytes, writable; valid as long as `tensor` lives."""

    tensor: Any
    memory: memoryview


@dataclass(frozen=True, slots=True)
class _Place:
    """A placeholder's live counterpart. owner: the optimizer's state, or "" for all modules together."""

    key: str
    owner: str
    tensor: Any


def find(trees: Mapping[str, Any], index: Mapping[str, Any], live: Mapping[str, object]) -> dict[str, Home]:
    """By key of the index: tensors that have the saved dtype and shape, are contiguous, on the CPU, and nobody else's.

    Left out are keys that other states hold too, patched tables, storages of which two different tensors are parts, and
    modules and optimizers that load in a way of their own (overridden methods, hooks).
    """
    places = [place for name, value in live.items() for place in _places(name, value, trees.get(name), live)]
    everywhere = Counter(told["key"] for told in placeholders(trees))
    here = Counter((place.key, place.owner) for place in places)
    parts = _parts(live)
    found: dict[str, Any] = {}
    taken: set[int] = set()
    for place in places:
        alone = here[place.key, place.owner] == everywhere[place.key]
        if place.key in found or not alone or not _fits(place.tensor, index.get(place.key)):
            continue
        storage = place.tensor.untyped_storage().data_ptr()
        if storage not in taken and len(parts[storage]) == 1:
            found[place.key] = place.tensor
            taken.add(storage)
    return {key: Home(tensor.detach(), _memory(tensor)) for key, tensor in found.items()}


def _places(name: str, value: object, tree: Any, live: Mapping[str, object]) -> Iterator[_Place]:
    module: Any = states.unwrapped(value)
    if _is_plain_module(module):
        tensors = dict(states.tensors(module))
        for key, told in _items(tree):
            if key in tensors and _is_told(told):
                yield _Place(told["key"], "", tensors[key])
    elif _is_plain_optimizer(value):
        kept: Any = states.access(value, live)
        here = kept[0]()["state"] if kept is not None else {}
        for parameter, slots in _items(dict(_items(tree)).get("state")):
            mine = here.get(parameter, {})
            for slot, told in _items(slots):
                if slot in mine and _is_told(told):
                    yield _Place(told["key"], name, mine[slot])


def _items(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Of a mapping as it is written in a tree, where its keys are plain."""
    if not isinstance(tree, Mapping):
        return
    pairs = tree.get("items", ()) if "!" in tree else tree.items()
    for pair in pairs:
        if len(pair) == len(("key", "item")) and isinstance(pair[0], (str, int)):
            yield pair[0], pair[1]


def _is_told(told: Any) -> bool:
    return isinstance(told, Mapping) and told.get("!") == "tensor" and told.keys() <= _TOLD


def _fits(tensor: Any, entry: Mapping[str, Any] | None) -> bool:
    if entry is None or entry.get("patches") or not _is_dense(tensor) or tensor.numel() == 0:
        return False
    plain = tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg()
    dtype = str(tensor.dtype).removeprefix("torch.")
    return plain and dtype == entry["dtype"] and list(tensor.shape) == list(entry["shape"])


def _is_dense(tensor: Any) -> bool:
    import torch

    kinds = (torch.Tensor, torch.nn.Parameter)
    return type(tensor) in kinds and tensor.layout is torch.strided and tensor.device.type == "cpu"


def _parts(live: Mapping[str, object]) -> dict[int, set[tuple[object, ...]]]:
    """By the address of a storage: which tensors of modules and optimizers, plain or not, are what of it."""
    found: dict[int, set[tuple[object, ...]]] = {}
    for tensor in filter(_is_dense, _live(live)):
        what = (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype)
        found.setdefault(tensor.untyped_storage().data_ptr(), set()).add(what)
    return found


def _live(live: Mapping[str, object]) -> Iterator[Any]:
    import torch

    for value in live.values():
        module: Any = states.unwrapped(value)
        if isinstance(module, torch.nn.Module):
            yield from (tensor for _, tensor in states.tensors(module))
        elif isinstance(value, torch.optim.Optimizer):
            for group in value.param_groups:
                yield from group["params"]
            for slots in value.state.values():
                yield from slots.values() if isinstance(slots, Mapping) else ()


def _is_plain_module(module: Any) -> bool:
    import torch

    kind = torch.nn.Module
    if not issubclass(type(module), kind) or torch.__future__.get_swap_module_params_on_conversion():
        return False
    same = all(getattr(type(module), name) is getattr(kind, name) for name in ("load_state_dict", "state_dict"))
    return same and all(_loads_plainly(part) for part in module.modules())


def _loads_plainly(part: Any) -> bool:
    """By copying into its tensors, as torch's own layers do."""
    own = "_load_from_state_dict"
    from_torch = getattr(type(part), own).__module__.startswith("torch.nn.modules.")
    hooks = part._load_state_dict_pre_hooks or part._state_dict_hooks  # noqa: SLF001 - torch has no public question
    return from_torch and own not in vars(part) and not hooks


def _is_plain_optimizer(value: Any) -> bool:
    import torch

    kind = torch.optim.Optimizer
    if not issubclass(type(value), kind):
        return False
    same = all(getattr(type(value), name) is getattr(kind, name) for name in ("load_state_dict", "state_dict"))
    hooks = ("_optimizer_load_state_dict_pre_hooks", "_optimizer_state_dict_post_hooks")
    return same and not any(vars(value).get(name) for name in hooks)


def _memory(tensor: Any) -> memoryview:
    size_bytes = tensor.numel() * tensor.element_size()
    return memoryview((ctypes.c_ubyte * size_bytes).from_address(tensor.data_ptr())).cast("B")
