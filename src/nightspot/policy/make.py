"""From a policy's name in a job file to the policy."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Callable, Mapping

from nightspot.model.job import PolicyChoice
from nightspot.policy.base import Policy
from nightspot.policy.baselines import Greedy, OnDemand, Reserve, SpotOnly, TimedFallback, UniformProgress


def _planned() -> Policy:
    """Read only when it is wanted: numpy takes its time."""
    from nightspot.policy.planned.planned import Planned

    return Planned()


_KINDS: Mapping[str, Callable[..., Policy]] = MappingProxyType(
    {
        "on-demand": OnDemand,
        "spot-only": SpotOnly,
        "timed-fallback": TimedFallback,
        "greedy": Greedy,
        "planned": _planned,
        "reserve": Reserve,
        "uniform-progress": UniformProgress,
    }
)


def make_policy(choice: PolicyChoice) -> Policy:
    """The bare policy of that name; put `Guarded` around it to run it. ValueError for an unknown name or option."""
    kind = _KINDS.get(choice.name)
    if kind is None:
        raise ValueError(f"there is no policy {choice.name!r}; there are {', '.join(_KINDS)}")
    options: dict[str, Any] = dict(choice.options)
    try:
        return kind(**options)
    except TypeError:
        raise ValueError(f"the policy {choice.name!r} does not take all of: {', '.join(options)}") from None
