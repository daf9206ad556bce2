"""The job file's `capacity` setting of a local or simulated Pool, as a Trace."""

from __future__ import annotations

from typing import Any, Mapping, Union

from nightspot.market.generator import WARM_UP_S, Generator
from nightspot.market.hazard import HOUR_S, Hazard
from nightspot.market.trace import ALWAYS, NEVER, Trace, parse_trace

CapacitySetting = Union[str, Mapping[str, Any]]


def capacity_trace(setting: CapacitySetting, start_utc: float, trace_text: str | None = None) -> Trace:
    """The Trace that a checked setting stands for, its first instant at `start_utc`.

    "always", "never", {"trace": path, "from": fraction} with the file's text in `trace_text`, or {"seed": n} with, optionally, "loss",
    "recovery" (no unit), "scale_s", "warm_up_s", "first" ("up" or "down"). ValueError for anything else.
    """
    if setting == "always":
        return ALWAYS
    if setting == "never":
        return NEVER
    if isinstance(setting, Mapping) and "seed" in setting:
        return generator(setting).trace(start_utc)
    if isinstance(setting, Mapping) and "trace" in setting and trace_text is not None:
        recorded = parse_trace(trace_text, str(setting["trace"]))
        return recorded.starting_at(start_utc, fraction=float(setting.get("from", 0.0)))
    raise ValueError(f"no capacity is described by {setting!r}")


def generator(setting: Mapping[str, Any]) -> Generator:
    """The Generator of a {"seed": n, ...} setting."""
    usual = Hazard()
    scale_h = float(setting.get("scale_s", usual.scale_h * HOUR_S)) / HOUR_S
    first = setting.get("first")
    return Generator(
        seed=int(setting["seed"]),
        loss=Hazard(float(setting.get("loss", usual.shape)), scale_h),
        recovery=Hazard(float(setting.get("recovery", usual.shape)), scale_h),
        warm_up_s=float(setting.get("warm_up_s", WARM_UP_S)),
        first_up=None if first is None else first == "up",
    )
