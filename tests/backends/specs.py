"""LaunchSpecs for the SageMaker backend's tests."""

from __future__ import annotations

import dataclasses
from typing import Any

from nightspot.model.attempt import Role
from nightspot.model.capacity import Bounds, Market, Pool
from nightspot.model.job import Checkpointing, Job, PolicyChoice, Training, Work
from nightspot.night.ports import LaunchSpec

RUN_ID = "night-20261125T0700Z"
TOKEN = f"{RUN_ID}-abcdef01-001"
NOW_UTC, HOUR_S = 1_000_000.0, 3600.0


def pool(request: Any = None, market: Market = Market.SPOT, **changes: Any) -> Pool:
    """`request` is the template; `options` are merged into the rest."""
    options = {
        "region": "us-east-1",
        "request": request or {},
        "checkpoints": "s3://bkt/ck",
        **changes.pop("options", {}),
    }
    settings: dict[str, Any] = {"instance_type": "ml.g5.xlarge", "bounds": Bounds(300.0, 180.0, 60.0, 60.0), **changes}
    return Pool(
        settings.pop("id", market.value), "sagemaker", market, settings.pop("price", 1.0), options=options, **settings
    )


def job(*pools: Pool, units: float = 10.0, unit_s: float = 60.0, interval_s: float = 600.0, **training: Any) -> Job:
    pattern = training.pop("pattern", None)
    return Job(
        name="night",
        training=Training((), **training),
        work=Work(units, "unit", unit_s),
        pools=pools,
        policy=PolicyChoice("greedy"),
        checkpoint=Checkpointing(interval_s=interval_s, pattern=pattern),
    )


def spec(asked: Pool, of: Job | None = None, **changes: Any) -> LaunchSpec:
    """As the loop would ask for that Pool."""
    whole = LaunchSpec(RUN_ID, 1, TOKEN, asked, Role.TRAIN, NOW_UTC + 8 * HOUR_S, of or job(asked))
    return dataclasses.replace(whole, **changes)
