"""A Job: what to train, by when, where. Frozen, checked by `jobfile`, free of I/O.

Durations are market seconds. Paths are absolute by the time a Job exists; placeholders are filled in when a night is opened.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Mapping

from nightspot.model.capacity import Market, Pool


class OnLimit(str, Enum):
    """What a spend cap does when it is reached: ALERT lets the deadline win."""

    ALERT = "alert"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Work:
    """`units` of `unit` (epochs, steps), each `unit_s` market seconds at speed 1, conservatively.

    `learned` says that `unit_s` came from the Journal and not from the job file.
    """

    units: float
    unit: str
    unit_s: float
    learned: bool = False

    @property
    def total_s(self) -> float:
        """All the work, in seconds at speed 1."""
        return self.units * self.unit_s


@dataclass(frozen=True, slots=True)
class Checkpointing:
    """Where checkpoints go and how often. `pattern` names an unmodified script's own files.

    `interval_s` is what plans reckon with; 0 means that work is durable as it is done (only simulations can say that).
    `interval` is what the training is asked for where that is no time: "auto", "500 steps", "2 units".
    `store`: s3://bucket/prefix of this Run, where the training uploads its checkpoints to; "": what its script says.
    `redo_s`: with `interval_s` 0, so many seconds of work are done and not durable yet (simulations only, too).
    """

    directory: str = ""
    interval_s: float = 900.0
    pattern: str | None = None
    interval: str = ""
    redo_s: float = 0.0
    store: str = ""


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """A policy by name, with its own settings."""

    name: str
    options: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a Run before its work is done.

    `attempts`: launches in all, refused ones not counted; the last is kept for on-demand. `failures`: Attempts in a row that failed
    without a new Checkpoint.
    `no_progress_s`: an Attempt that reports progress and then none for so long is stopped.
    """

    attempts: int = 50
    failures: int = 3
    cost_usd: float | None = None
    on_limit: OnLimit = OnLimit.ALERT
    no_progress_s: float | None = None


@dataclass(frozen=True, slots=True)
class Hooks:
    """Commands that tell somebody. `risk` runs before it is late: see `risk_after_s` and `risk_slack_s`."""

    success: str | None = None
    failure: str | None = None
    risk: str | None = None
    risk_after_s: float | None = None
    risk_slack_s: float | None = None


@dataclass(frozen=True, slots=True)
class Training:
    """The user's program and its surroundings.

    `artifact` is what the program writes; `publish` the final name it is copied to, atomically, when the Run completes.
    """

    command: tuple[str, ...]
    directory: str = "."
    environment: Mapping[str, str] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    channels: Mapping[str, str] = field(default_factory=dict)
    artifact: str | None = None
    publish: str | None = None
    fingerprint: str = ""
    sagemaker: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One TOML file.

    `tail_s` must still fit between the end of training and the deadline. `extend_s`: how long after the deadline a training
    that still runs may go on. `guard_pools`: how many on-demand Pools, in file order, the guard plans to be refused by.
    `second_request`: a PROBE may wait in a queue beside what trains. `handover`: one may be kept, and billed, until it takes over.
    """

    name: str
    training: Training
    work: Work
    pools: tuple[Pool, ...]
    policy: PolicyChoice
    checkpoint: Checkpointing = field(default_factory=Checkpointing)
    limits: Limits = field(default_factory=Limits)
    hooks: Hooks = field(default_factory=Hooks)
    tail_s: float = 0.0
    extend_s: float = 0.0
    guard_pools: int = 1
    time_scale: float = 1.0
    miss_means: str = ""
    timezone: str = "UTC"
    second_request: bool = False
    handover: bool = False

    def pool(self, pool_id: str) -> Pool:
        """The Pool of that id; KeyError if there is none."""
        for pool in self.pools:
            if pool.id == pool_id:
                return pool
        raise KeyError(pool_id)

    @property
    def on_demand(self) -> tuple[Pool, ...]:
        """The on-demand Pools, in file order."""
        return tuple(p for p in self.pools if p.market is Market.ON_DEMAND)

    @property
    def spot(self) -> tuple[Pool, ...]:
        """The Spot Pools, in file order."""
        return tuple(p for p in self.pools if p.market is Market.SPOT)
