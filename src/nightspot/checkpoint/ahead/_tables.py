"""Which tables may be copied ahead: those whose optimizer changes the rows that were looked up, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nightspot.checkpoint.ahead.base import Column
from nightspot.checkpoint.errors import ConfigError

REMEDY = "use SparseAdam, or SGD or Adagrad without momentum and weight decay, or leave this table out of copy_ahead"
SPARSE = (torch.nn.Embedding, torch.nn.EmbeddingBag)
# Optimizers that are known to leave rows alone that a sparse gradient does not name, and settings with which they do not.
KNOWN: dict[type, tuple[str, ...]] = {
    torch.optim.SparseAdam: (),
    torch.optim.SGD: ("momentum", "weight_decay"),
    torch.optim.Adagrad: ("weight_decay",),
}


@dataclass(frozen=True, slots=True)
class Table:
    """A weight, and by key every tensor that has a row for each of its rows: itself, and what optimizers keep."""

    key: str
    weight: torch.Tensor
    columns: Mapping[str, torch.Tensor]

    def described(self) -> list[Column]:
        """Where the columns lie in memory."""
        return [
            Column(key, str(one.dtype).removeprefix("torch."), tuple(one.shape), one.data_ptr(), one[0].numel() * one.element_size())
            for key, one in self.columns.items()
        ]  # fmt: skip


Keys = Mapping[object, str]  # a tensor's place in memory -> its key


def find(
    states: Mapping[str, object], tensors: Mapping[str, torch.Tensor], wanted: Sequence[str] | None
) -> list[Table]:
    """The tables to copy ahead. tensors: what was captured of `states`. wanted: keys of weights; None: every sparse embedding.

    Raises ConfigError, naming the table and the reason, for one of which a step may change every row.
    """
    keys = {place(tensor): key for key, tensor in tensors.items()}
    found = {keys[place(weight)]: weight for weight in _sparse_weights(states) if place(weight) in keys}
    names = list(found) if wanted is None else list(wanted)
    uses = Uses(states)
    for name in names:
        if name not in found:
            there = ", ".join(found) or "none"
            raise ConfigError(
                f"copy_ahead names {name!r}: expected the weight of an embedding with sparse=True; there is {there}"
            )
        if (reason := why_not(states, found[name], uses)) is not None:
            raise ConfigError(f"copy_ahead does not fit {name}: {reason}; {REMEDY}")
    return [_table(states, name, found[name], keys) for name in dict.fromkeys(names) if found[name].numel()]


class Uses:
    """Where parameters of the states' modules are, by their storage: looked up once for all tables."""

    def __init__(self, states: Mapping[str, object]) -> None:
        self._by_storage: dict[int, list[tuple[str, torch.nn.Module, torch.Tensor]]] = {}
        for name, module in _modules(states):
            for own in module.parameters(recurse=False):
                if not torch.nn.parameter.is_lazy(own):
                    self._by_storage.setdefault(_storage(own), []).append((name, module, own))

    def of(self, weight: torch.Tensor) -> list[tuple[str, torch.nn.Module, torch.Tensor]]:
        """Names, modules and parameters with the same storage, itself among them."""
        return self._by_storage.get(_storage(weight), [])


def why_not(states: Mapping[str, object], weight: torch.Tensor, uses: Uses | None = None) -> str | None:
    """Why rows may change that no sparse gradient names; None if nothing speaks for it."""
    if weight.device.type != "cpu":
        return f"it is on the device {weight.device}, and only CPU memory can be read by another process"
    if not weight.is_contiguous():
        return "its rows do not lie one behind the other"
    for name, module, own in (uses or Uses(states)).of(weight):
        if own is not weight and _overlap(own, weight):
            return f"{name} has another parameter in the same memory"
        if own is weight and (why := _other_use(module)):
            return f"{name} {why}"
    holders = [(one, group) for one in optimizers(states) for group in one.param_groups if _holds(group, weight)]
    if not holders and weight.requires_grad:
        return "no optimizer among the states holds it"
    return next((why for one, group in holders if (why := why_all_rows(one, group))), None)


def why_all_rows(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> str | None:
    """Why this optimizer may change every row of the group's tables; None if it does not."""
    name = type(optimizer).__name__
    if type(optimizer) not in KNOWN:
        return f"{name} is not known to change only the rows that a gradient names"
    set_to = [f"{setting} = {group[setting]}" for setting in KNOWN[type(optimizer)] if group[setting] != 0]
    return f"{name} with {' and '.join(set_to)} changes every row" if set_to else None


def optimizers(states: Mapping[str, object]) -> Iterator[torch.optim.Optimizer]:
    """Those among the states."""
    yield from (state for state in states.values() if isinstance(state, torch.optim.Optimizer))


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _overlap(one: torch.Tensor, other: torch.Tensor) -> bool:
    starts = [tensor.data_ptr() for tensor in (one, other)]
    ends = [tensor.data_ptr() + tensor.numel() * tensor.element_size() for tensor in (one, other)]
    return max(starts) < min(ends)


def _other_use(module: torch.nn.Module) -> str | None:
    if not isinstance(module, SPARSE):
        return f"uses it too, and is a {type(module).__name__}"
    if not module.sparse:
        return "has sparse=False: its gradients are dense"
    return "has max_norm: a look-up changes rows" if module.max_norm is not None else None


def place(tensor: torch.Tensor) -> object:
    """Equal for tensors that are the same numbers in the same memory."""
    return str(tensor.device), tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype


def _table(states: Mapping[str, object], name: str, weight: torch.Tensor, keys: Keys) -> Table:
    columns = {name: weight}
    for optimizer in optimizers(states):
        for kept in optimizer.state.get(weight, {}).values():
            if isinstance(kept, torch.Tensor) and _is_column(kept, weight) and place(kept) in keys:
                columns[keys[place(kept)]] = kept
    return Table(name, weight, columns)


def _is_column(kept: torch.Tensor, weight: torch.Tensor) -> bool:
    return kept.shape == weight.shape and kept.device.type == "cpu" and kept.is_contiguous()


def _holds(group: Mapping[str, Any], weight: torch.Tensor) -> bool:
    return any(one is weight for one in group["params"])


def _modules(states: Mapping[str, object]) -> Iterator[tuple[str, torch.nn.Module]]:
    for state, value in states.items():
        if isinstance(value, torch.nn.Module):
            for name, module in value.named_modules():
                yield f"{state}/{name}" if name else state, module


def _sparse_weights(states: Mapping[str, object]) -> Iterator[torch.Tensor]:
    for _, module in _modules(states):
        if isinstance(module, SPARSE) and module.sparse:
            yield module.weight
