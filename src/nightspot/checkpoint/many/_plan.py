"""torch.distributed.checkpoint's planner: which rank writes which part of which tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from torch.distributed.checkpoint.default_planner import DefaultSavePlanner

from nightspot.checkpoint.errors import ConfigError, StateError
from nightspot.checkpoint.many import _dtensor
from nightspot.checkpoint.many.ranks import Outcome, Ranks
from nightspot.checkpoint.pieces import Piece

if TYPE_CHECKING:
    import torch
    from torch.distributed.checkpoint.planner import SavePlan, WriteItem


def signature(tensors: Mapping[str, Any]) -> tuple[object, ...]:
    """Changes when a plan for `tensors` would."""
    return tuple((key, str(tensor.dtype), tuple(tensor.shape), _mesh(tensor)) for key, tensor in tensors.items())


class Plan:
    """This rank's share of the writing of `tensors`, as all ranks planned it. Making one is a collective call."""

    def __init__(self, tensors: Mapping[str, Any], among: Ranks) -> None:
        self._planner = planner()
        local = local_plan(self._planner, tensors, coordinator=among.rank == 0)
        plans = [outcome.value for outcome in among.outcomes(Outcome(value=local))]
        order = {key: place for place, key in enumerate(tensors)}
        items = global_plan(self._planner, plans)[among.rank].items
        self._items = sorted(items, key=lambda item: order[item.index.fqn])

    def cut(self, tensors: Mapping[str, Any]) -> list[Piece]:
        """The pieces of `tensors`, which have the signature that was planned for."""
        self._planner.set_up_planner(state_dict=dict(tensors))
        found = cut(self._items, self._planner)
        self._planner.set_up_planner(state_dict={})  # or tensors that the training drops would live on here
        return found


def planner() -> DefaultSavePlanner:
    """For keys that are flat already."""
    return DefaultSavePlanner(flatten_state_dict=False, flatten_sharded_tensors=False)


def cut(items: Iterable[WriteItem], planner: DefaultSavePlanner) -> list[Piece]:
    """As pieces; without the empty parts of tensors that are not empty, where there are more ranks than rows."""
    return [_piece(item, planner) for item in items if not _needless(item)]


def local_plan(planner: DefaultSavePlanner, tensors: Mapping[str, Any], *, coordinator: bool) -> SavePlan:
    """All that this rank could write. Large ones first: what all have is dealt out in this order, each to who has least."""
    by_size = dict(sorted(tensors.items(), key=lambda item: -item[1].numel() * item[1].element_size()))
    planner.set_up_planner(state_dict=by_size, is_coordinator=coordinator)
    return planner.create_local_plan()


def global_plan(planner: DefaultSavePlanner, plans: Sequence[SavePlan]) -> list[SavePlan]:
    """What each rank is to write; every rank computes the same. Raises ConfigError if the plans do not fit together."""
    _same_tensors(plans)
    try:
        return planner.create_global_plan(list(plans))[0]
    except ValueError as error:
        raise ConfigError(f"the ranks' tensors do not fit together: {error}") from error


def _same_tensors(plans: Sequence[SavePlan]) -> None:
    """What has one key is one tensor: the planner itself would drop all of it but the first."""
    seen: dict[str, tuple[int, object]] = {}
    for rank, plan in enumerate(plans):
        for item in plan.items:
            data = _data(item)
            here = (tuple(data.size), str(data.properties.dtype))
            there_rank, there = seen.setdefault(item.index.fqn, (rank, here))
            if there != here:
                raise ConfigError(f"{item.index.fqn} is {there} on rank {there_rank}, {here} on rank {rank}")


def _piece(item: WriteItem, planner: DefaultSavePlanner) -> Piece:
    data = _data(item)
    tensor = cast("torch.Tensor", planner.resolve_data(item)).detach()
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tuple(tensor.shape) != tuple(data.chunk.sizes):
        raise StateError(f"{item.index.fqn} is sharded in a way that this rank's part is no box of it")
    return Piece(item.index.fqn, dtype, tuple(data.size), tuple(data.chunk.offsets), tuple(data.chunk.sizes), tensor)


def _needless(item: WriteItem) -> bool:
    data = _data(item)
    return 0 in data.chunk.sizes and 0 not in data.size


def _data(item: WriteItem) -> Any:
    return item.tensor_data


def _mesh(tensor: Any) -> object:
    if not _dtensor.is_dtensor(tensor):
        return None
    return _dtensor.placements(tensor), _dtensor.ranks(tensor), _dtensor.box(tensor.shape, tensor)
