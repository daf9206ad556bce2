"""`[[pools]]` on SageMaker as Pools: all that its backend needs stands in `options`, and so in the Journal."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from nightspot.jobfile.document import Document
from nightspot.jobfile.findings import Request, at
from nightspot.jobfile.placeholders import expand
from nightspot.jobfile.pools import bounds_with, pool_ids
from nightspot.jobfile.pooltable import PoolTable
from nightspot.jobfile.sagemakertable import SageMakerTable
from nightspot.jobfile.template import Template, Values, filled, whole_request
from nightspot.model.capacity import Bounds, Market, Pool

# Until measured: an instance is found, made ready and loaded within ten minutes; StopTrainingJob gives two minutes, and uploads. A
# request that has waited a quarter of an hour counts as refused, where another type can be tried.
USUAL = Bounds(lead_s=600.0, stop_s=300.0, refusal_s=900.0, save_s=120.0)


def sagemaker_pools(document: Document, template: Template, values: Values, file: str) -> tuple[Pool, ...]:
    """The Pools in file order. JobFileError for a placeholder that this night does not have."""
    table = table_of(document)
    request = whole_request(template, table, filled(table.overrides, values, file))
    common = {
        "request": request,
        "checkpoints": _address(table, "checkpoints", request, values, file),
        "output": _address(table, "output", request, values, file),
        "progress": progress(document),
        "progress_metric": table.progress_metric or "",
        "wrapper": table.wrapper,
        "tags": dict(table.tags),
    }
    ids = pool_ids(document.pools)
    tables = zip(document.pools, ids, strict=True)
    return tuple([_pool(pool, id_, document.pools, common, table) for pool, id_ in tables])


def table_of(document: Document) -> SageMakerTable:
    """`[sagemaker]`, which stands in every file whose pools are there."""
    assert document.sagemaker is not None  # noqa: S101 - for the type checker: `kinds` asked for it
    return document.sagemaker


def progress(document: Document) -> str:
    """What tells how far training is, as said or as the other keys imply."""
    table = table_of(document)
    if table.progress is not None:
        return table.progress
    if document.checkpoint.pattern is not None:
        return "files"
    return "metric" if table.progress_metric is not None else "manifests"


def _address(table: SageMakerTable, key: str, request: Request, values: Values, file: str) -> str:
    given = getattr(table, key)
    if given is not None:
        return expand(given, values, file, f"sagemaker.{key}")
    return str(at(request, "CheckpointConfig", "S3Uri")).rstrip("/") if key == "checkpoints" else ""


def _pool(
    table: PoolTable, id_: str, tables: Sequence[PoolTable], common: Mapping[str, Any], settings: SageMakerTable
) -> Pool:
    region = table.place or settings.region
    options = {
        "region": region,
        **common,
        "instance_types": list(table.instance_types),
        "full_price_usd_per_hour": full_price_usd_per_hour(table, tables),
        "price_known": table.price is not None,
    }
    return Pool(
        id=id_,
        backend=table.backend,
        market=Market(table.market),
        price_usd_per_hour=float(table.price or 0.0),
        instance_type=table.machine,
        place=region,
        speed=float(table.speed),
        world_size=_world_size(table, common["request"]),
        bounds=bounds_with(table.bounds, USUAL),
        options=options,
    )


def _world_size(table: PoolTable, request: Request) -> int:
    instances = at(request, "ResourceConfig", "InstanceCount")
    return table.world_size if "world_size" in table.model_fields_set or not instances else int(instances)


def full_price_usd_per_hour(table: PoolTable, tables: Sequence[PoolTable]) -> Optional[float]:
    """The on-demand price of the same attempt: as given, else that of the on-demand pool of the same type; None where the file has none."""
    if table.full_price is not None:
        return float(table.full_price)
    same = [t for t in tables if t.market == "on-demand" and t.instance_type and t.instance_type == table.instance_type]
    prices = [t.price for t in same if t.price is not None and t.place == table.place]
    return float(prices[0]) if prices else None
