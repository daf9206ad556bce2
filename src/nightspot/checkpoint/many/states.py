"""Modules and optimizers of a training with many ranks: by which names they are saved, and which of their tensors are shared.

An optimizer's own numbers for parameters say nothing: with another wrapping, order or stage of a pipeline they mean
others. Parameters have names in their module; an optimizer is saved by those.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from nightspot.checkpoint.errors import ConfigError, StateError
from nightspot.checkpoint.many import _dtensor

if TYPE_CHECKING:
    import torch

Access = tuple[Callable[[], object], Callable[[Any], object]]


def access(value: object, states: Mapping[str, object]) -> Access | None:
    """How to read and write the state of a module under DistributedDataParallel, or of an optimizer; None for all else.

    states: among which to look for the modules of an optimizer's parameters.
    Raises StateError for FullyShardedDataParallel, whose parameters have no names.
    """
    if _is(value, "torch.distributed.fsdp", "FullyShardedDataParallel"):
        raise StateError("FullyShardedDataParallel flattens parameters: expected torch's fully_shard (FSDP2)")
    bare: Any = unwrapped(value)
    if bare is not value:
        return bare.state_dict, bare.load_state_dict
    if _is_optimizer(value):
        optimizer = cast("torch.optim.Optimizer", value)
        return partial(_named, optimizer, states), partial(_load_named, optimizer, states)
    return None


def unwrapped(value: object) -> object:
    """The module under DistributedDataParallel; anything else as it is."""
    return cast("Any", value).module if _is(value, "torch.nn.parallel", "DistributedDataParallel") else value


def shared(keys: Iterable[str], states: Mapping[str, object], size: int) -> set[str]:
    """Those of `keys` whose plain tensors are the same on all `size` ranks, for sure.

    They are parameters that some DistributedDataParallel of this process keeps equal, and what an optimizer keeps
    for those, or for DTensors. Of a parameter that is in neither, nobody knows: each rank's is kept.
    """
    replicated = _replicated(size)
    replicated |= {
        id(it) for _, _, it in _parameters(states) if _dtensor.is_dtensor(it) and len(_dtensor.ranks(it)) == size
    }
    names = {f"{state}/{name}" for state, name, parameter in _parameters(states) if id(parameter) in replicated}
    prefixes = tuple(_optimizer_prefixes(states, replicated))
    return {key for key in keys if key in names or key.startswith(prefixes)}


def buffers_of_rank_0(states: Mapping[str, object]) -> set[str]:
    """Keys of buffers that DistributedDataParallel itself overwrites by rank 0's at the next forward."""
    found = set()
    for name, value in states.items():
        if _is(value, "torch.nn.parallel", "DistributedDataParallel") and cast("Any", value).broadcast_buffers:
            found |= {f"{name}/{buffer}" for buffer, _ in cast("Any", value).module.named_buffers()}
    return found


def targets(states: Mapping[str, object]) -> dict[str, Any]:
    """Live tensors by key: parameters and buffers; for what an optimizer keeps of a parameter, the parameter, by prefix."""
    found: dict[str, Any] = {}
    for state, value in states.items():
        module: Any = unwrapped(value)
        if _is_module(module):
            found |= {f"{state}/{name}": tensor for name, tensor in tensors(module)}
        elif _is_optimizer(value):
            named = _by_name(cast("torch.optim.Optimizer", value), states)
            found |= {f"{state}/state/{name}/": parameter for name, parameter in named.items()}
    return found


def target(key: str, known: Mapping[str, Any]) -> Any:
    """What of `targets` a key belongs to; None: nothing."""
    if key in known:
        return known[key]
    prefix = "/".join(key.split("/")[:3])
    return known.get(f"{prefix}/")


def _named(optimizer: torch.optim.Optimizer, states: Mapping[str, object]) -> dict[str, Any]:
    saved = dict(optimizer.state_dict())
    names = list(_by_name(optimizer, states))
    saved["state"] = {names[number]: state for number, state in saved["state"].items()}
    saved["param_groups"] = [
        group | {"params": [names[number] for number in group["params"]]} for group in saved["param_groups"]
    ]
    return saved


def _load_named(optimizer: torch.optim.Optimizer, states: Mapping[str, object], saved: Mapping[str, Any]) -> None:
    here = optimizer.state_dict()["param_groups"]
    names = list(_by_name(optimizer, states))
    numbers = {name: number for number, name in enumerate(names)}
    groups = []
    for place, (mine, theirs) in enumerate(zip(here, saved["param_groups"], strict=True)):
        _same_parameters(place, [names[number] for number in mine["params"]], theirs["params"])
        groups.append(dict(theirs) | {"params": mine["params"]})
    state = {numbers[name]: kept for name, kept in saved["state"].items()}
    optimizer.load_state_dict(dict(saved) | {"state": state, "param_groups": groups})
    _keep_dtypes(optimizer, state)


def _keep_dtypes(optimizer: torch.optim.Optimizer, saved: Mapping[int, Any]) -> None:
    """torch gives what an optimizer keeps of a parameter that parameter's dtype: moments kept in float32 of weights in
    bfloat16 would lose their last bits. An optimizer with a `load_state_dict` of its own knows better.
    """
    import torch

    if type(optimizer).load_state_dict is not torch.optim.Optimizer.load_state_dict:
        return
    for number, parameter in enumerate(it for group in optimizer.param_groups for it in group["params"]):
        live = optimizer.state[parameter] if number in saved else {}
        for name, kept in saved[number].items() if live else ():
            if isinstance(kept, torch.Tensor) and live[name].dtype != kept.dtype:
                live[name] = kept.to(live[name].device)


def _same_parameters(place: int, here: list[str], saved: list[str]) -> None:
    if set(here) != set(saved):
        other = ", ".join(sorted(set(here) ^ set(saved)))
        raise ConfigError(f"group {place} of the optimizer has other parameters than in the checkpoint: {other}")


def _by_name(optimizer: torch.optim.Optimizer, states: Mapping[str, object]) -> dict[str, Any]:
    """Name -> parameter, in the optimizer's order: the name in its module, with the state's where that is not enough;
    its number where it is in none.
    """
    found: dict[int, tuple[str, str]] = {}
    for state, name, parameter in _parameters(states):
        found.setdefault(id(parameter), (state, name))
    mine = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if any(id(parameter) not in found for parameter in mine):
        return {str(number): parameter for number, parameter in enumerate(mine)}
    short = {found[id(parameter)][1]: parameter for parameter in mine}
    return short if len(short) == len(mine) else {".".join(found[id(parameter)]): parameter for parameter in mine}


def _optimizer_prefixes(states: Mapping[str, object], replicated: set[int]) -> Iterator[str]:
    for state, value in states.items():
        if _is_optimizer(value):
            for name, parameter in _by_name(cast("torch.optim.Optimizer", value), states).items():
                if id(parameter) in replicated:
                    yield f"{state}/state/{name}/"


def _replicated(size: int) -> set[int]:
    """By DistributedDataParallel, over all ranks. All such modules of this process count: the states may name the one
    inside, and usually do.
    """
    kinds = set(_with_heirs(_kind("torch.nn.parallel", "DistributedDataParallel")))
    wrappers: list[Any] = [it for it in gc.get_objects() if type(it) in kinds] if kinds else []
    found: set[int] = set()
    for wrapper in wrappers:
        if wrapper.process_group.size() == size:
            left_out = set(wrapper.parameters_to_ignore)
            found |= {id(it) for name, it in wrapper.module.named_parameters() if name not in left_out}
    return found


def _with_heirs(kind: Any) -> Iterator[type]:
    if kind is not None:
        yield kind
        for heir in kind.__subclasses__():
            yield from _with_heirs(heir)


def _parameters(states: Mapping[str, object]) -> Iterator[tuple[str, str, Any]]:
    for state, value in states.items():
        module: Any = unwrapped(value)
        if _is_module(module):
            for name, parameter in module.named_parameters(remove_duplicate=False):
                yield state, name, parameter


def tensors(module: Any) -> Iterator[tuple[str, Any]]:
    """Parameters and buffers of a module, by name; tied ones by each of theirs."""
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _is_module(value: object) -> bool:
    return _is(value, "torch.nn", "Module")


def _is_optimizer(value: object) -> bool:
    return _is(value, "torch.optim", "Optimizer")


def _is(value: object, module: str, name: str) -> bool:
    """By the true type: some objects lie about their class, and asking them runs their code."""
    kind = _kind(module, name)
    return kind is not None and issubclass(type(value), kind)


def _kind(module: str, name: str) -> Any:
    return getattr(sys.modules.get(module), name, None)
