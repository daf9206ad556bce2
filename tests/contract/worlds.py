"""What a backend's world must be able to do for the contract suite. A new backend adds one class here, and its name to `WORLDS`.

Market spans are chosen so that a world on compressed real time (60 times) leaves each process some real tenths of a second.
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Mapping, Protocol, cast

from nightspot.backends.local import LocalBackend
from nightspot.backends.registry import BackendContext
from nightspot.backends.sagemaker import SageMakerBackend
from nightspot.backends.simulated import Overheads, SimulatedBackend
from nightspot.errors import Unsure
from nightspot.market.trace import ALWAYS, NEVER, Trace
from nightspot.model.attempt import Role
from nightspot.model.capacity import Bounds, Market, Pool
from nightspot.model.job import Checkpointing, Job, PolicyChoice, Training, Work
from nightspot.night.ports import Backend, LaunchSpec
from tests.backends.emulated import QUICK, Emulation, template
from tests.process.leftovers import end_everything_in
from tests.process.trainers import SPEAKS, command, program

START_UTC = 1_000_000.0
UNIT_S, LEAD_S, STOP_S = 6.0, 60.0, 180.0
# "brief" has capacity from the start on, for so long.
BRIEF_S = 240.0
SCALE = 60.0


class World(Protocol):
    """Three Pools: "steady" always has capacity, "none" never, "brief" loses it `BRIEF_S` after the start."""

    def backend(self) -> Backend:
        """The world's backend as a controller that has just been started makes it."""
        ...

    def now_utc(self) -> float:
        """Market time."""
        ...

    def let_pass(self, market_s: float) -> None:
        """Let so much market time pass."""
        ...

    def pool(self, pool_id: str) -> Pool:
        """One of the three."""
        ...

    def job(self, units: float, save_every: float) -> Job:
        """Units of `UNIT_S` each; a checkpoint after every so many. It declares an artefact."""
        ...

    def close(self) -> None:
        """End whatever may still run."""
        ...


@dataclass
class SimulatedWorld:
    """Nothing outlives the backend: what a new controller makes is the same object."""

    folder: Path
    utc: float = START_UTC
    _save_every_s: dict[str, float] = field(default_factory=dict)
    _backend: SimulatedBackend | None = None
    save_every_s: float = UNIT_S

    def backend(self) -> Backend:
        if self._backend is None:
            overheads = {name: Overheads(LEAD_S / 10, STOP_S / 30, self.save_every_s) for name in CAPACITIES}
            self._backend = SimulatedBackend(CAPACITIES, overheads, beside=True, handover_s=LEAD_S / 20)
        return self._backend

    def now_utc(self) -> float:
        return self.utc

    def let_pass(self, market_s: float) -> None:
        self.utc += market_s

    def pool(self, pool_id: str) -> Pool:
        return pool_of("simulated", pool_id, {})

    def job(self, units: float, save_every: float) -> Job:
        self.save_every_s = save_every * UNIT_S
        return job_of(self.folder, ("true",), units, save_every, tuple(self.pool(p) for p in CAPACITIES))

    def close(self) -> None:
        return


class LocalWorld:
    """Real processes, sixty times as fast."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._program = folder, program(folder, SPEAKS)
        self._context = BackendContext(folder / "home", START_UTC, START_UTC, time.time(), SCALE)
        self._trace = folder / "brief.json"
        self._trace.write_text(json.dumps({"metadata": {"gap_seconds": BRIEF_S}, "data": [1] + [0] * 1000}))

    def backend(self) -> Backend:
        return LocalBackend(self._context)

    def now_utc(self) -> float:
        return START_UTC + (time.time() - self._context.anchor_real_utc) * SCALE

    def let_pass(self, market_s: float) -> None:
        time.sleep(market_s / SCALE)

    def pool(self, pool_id: str) -> Pool:
        capacity = {"steady": "always", "none": "never", "brief": {"trace": str(self._trace)}}[pool_id]
        return pool_of(
            "local", pool_id, {"capacity": capacity, "notice_s": 120.0, "grace_s": 20.0, "launch_delay_s": 0.0}
        )

    def job(self, units: float, save_every: float) -> Job:
        words = command(self._program, units, UNIT_S / SCALE, save_every)
        return job_of(self.folder, words, units, save_every, tuple(self.pool(p) for p in CAPACITIES))

    def close(self) -> None:
        end_everything_in(self.folder / "home")


class SageMakerWorld:
    """A real emulator with faults on, thirty times as fast; training jobs of the real toolkit, in real processes."""

    TYPES: Mapping[str, str] = {"steady": "ml.m5.large", "none": "ml.m5.xlarge", "brief": "ml.g5.xlarge"}
    SCALE, AHEAD_S = 30.0, 3.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        trace = folder / "brief.json"
        trace.write_text(json.dumps({"metadata": {"gap_seconds": BRIEF_S}, "data": [1] + [0] * 1000}))
        markets = ("--market", f"ml.g5.xlarge={trace}", "--market", "ml.m5.xlarge:on-demand=never")
        options = (*markets, "--faults", FAULTS, *QUICK)
        self._aws = Emulation(folder, options, scale=self.SCALE, market_utc=START_UTC, ahead_s=self.AHEAD_S)
        time.sleep(max(0.0, self._aws.real_utc - time.time()))
        self._context = BackendContext(folder / "home", START_UTC, START_UTC, self._aws.real_utc, self.SCALE)
        self._hyperparameters: dict[str, str] = {}

    def backend(self) -> Backend:
        return cast("Backend", Patient(SageMakerBackend(self._context)))

    def now_utc(self) -> float:
        return self._aws.now_utc()

    def let_pass(self, market_s: float) -> None:
        time.sleep(market_s / self.SCALE)

    def pool(self, pool_id: str) -> Pool:
        options = {
            "region": "us-east-1",
            "request": template(**self._hyperparameters),
            "checkpoints": "s3://bkt/ck",
            "progress": "manifests",
            "wrapper": True,
            "full_price_usd_per_hour": 3.6,
        }
        return dataclasses.replace(pool_of("sagemaker", pool_id, options), instance_type=self.TYPES[pool_id])

    def job(self, units: float, save_every: float) -> Job:
        self._hyperparameters = {"units": str(units), "unit-s": repr(UNIT_S / self.SCALE)}
        pools = tuple(self.pool(p) for p in CAPACITIES)
        job = job_of(self.folder, (), units, save_every, pools)
        return dataclasses.replace(
            job, training=dataclasses.replace(job.training, artifact="model.bin"), time_scale=self.SCALE
        )

    def close(self) -> None:
        self._aws.close()


class Patient:
    """Asks again where a backend is unsure, as the loop does: its faults are not what the suite is about."""

    PATIENCE_S = 20.0

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._backend, name)

        def again(*arguments: Any) -> Any:
            until_s = time.monotonic() + self.PATIENCE_S
            while True:
                try:
                    return method(*arguments)
                except Unsure:
                    if time.monotonic() > until_s:
                        raise
                    time.sleep(0.05)

        return again


FAULTS = "throttle=0.04,internal=0.02,lost=0.04,seed=3"
CAPACITIES: Mapping[str, Trace] = {
    "steady": ALWAYS,
    "none": NEVER,
    "brief": Trace.from_flips([START_UTC + BRIEF_S], first_up=True, start_utc=START_UTC),
}
WORLDS: Mapping[str, Callable[[Path], World]] = {
    "simulated": SimulatedWorld,
    "local": LocalWorld,
    "sagemaker": SageMakerWorld,
}


def pool_of(backend: str, pool_id: str, options: Mapping[str, object]) -> Pool:
    market = Market.SPOT if pool_id == "brief" else Market.ON_DEMAND
    return Pool(pool_id, backend, market, 3.6, bounds=Bounds(LEAD_S, STOP_S, 10.0, 10.0), options=options)


def job_of(folder: Path, words: tuple[str, ...], units: float, save_every: float, pools: tuple[Pool, ...]) -> Job:
    return Job(
        name="contract",
        training=Training(words, directory=str(folder), artifact=str(folder / "model.bin")),
        work=Work(units, "unit", UNIT_S),
        pools=pools,
        policy=PolicyChoice("greedy"),
        checkpoint=Checkpointing(interval_s=save_every * UNIT_S),
        time_scale=SCALE,
    )


def spec(
    world: World,
    pool_id: str = "steady",
    number: int = 1,
    run_id: str = "contract-20261125T0700Z",
    units: float = 5.0,
    save_every: float = 1.0,
    for_s: float = 1e9,
    units_start: float = 0.0,
    role: Role = Role.TRAIN,
) -> LaunchSpec:
    """What the loop would ask for."""
    job = world.job(units, save_every)
    return LaunchSpec(
        run_id=run_id,
        number=number,
        token=f"{run_id}-nonce-{number:03d}",
        pool=job.pool(pool_id),
        role=role,
        not_after_utc=world.now_utc() + for_s,
        job=job,
        units_start=units_start,
    )
