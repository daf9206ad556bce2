"""What a SageMaker Pool costs, where the job file does not say: AWS's price list, and what Spot cost this job before.

Never in anybody's way: whatever fails, the last price that was heard is given with its age, or None.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping

from nightspot.backends.aws.asked import Asked
from nightspot.backends.aws.clients import Clients
from nightspot.backends.aws.trouble import ERRORS
from nightspot.model.capacity import Pool
from nightspot.model.job import Job
from nightspot.night.ports import Quote
from nightspot.process.files import read_json, write_soon

PRICE_FILE = "prices.json"
# AWS serves its price list from a few regions only, for all of them.
PRICE_REGION = "us-east-1"
SERVICE_CODE = "AmazonSageMaker"
# Prices change a few times a year: one that was heard today is not asked for again.
FRESH_S = 24 * 3600.0
PAGES_MAX = 5
# What Spot is taken to cost where this job has no nights behind it; AWS promises "up to 90 %" off and nothing more.
SPOT_SHARE_ASSUMED = 0.35
JOBS_MAX = 10


@dataclass(frozen=True, slots=True)
class ListPrice:
    """The on-demand price of one instance, USD an hour, and when it was heard (real time)."""

    usd_per_hour: float
    as_of_utc: float
    source: str


def quote(pool: Pool, job: Job, clients: Clients, home: Path, now_utc: float | None = None) -> Quote | None:
    """USD an hour for the whole Attempt on that Pool, all its instances, with source and age; None where nobody knows. Never raises.

    Of several instance types the dearest counts. `now_utc` is real time. `home` is nightspot's own folder: the prices heard are kept there.
    """
    try:
        return _quote(Asked(pool), job, clients, home, time.time() if now_utc is None else now_utc)
    except ERRORS:
        return None


def _quote(asked: Asked, job: Job, clients: Clients, home: Path, now_utc: float) -> Quote | None:
    full = _full_price(asked, clients, home, now_utc)
    if full is None or not asked.spot:
        return full
    share, why = _spot_share(asked, job, clients)
    return Quote(full.usd_per_hour * share, f"{full.source}, {why}", full.as_of_utc)


def _full_price(asked: Asked, clients: Clients, home: Path, now_utc: float) -> Quote | None:
    """The on-demand price of the same Attempt. A private rate in the job file wins."""
    private = asked.pool.options.get("full_price_usd_per_hour")
    if private is not None:
        return Quote(float(private), "job file")
    region = asked.region or str(clients("sagemaker", "").meta.region_name)
    prices = [list_price(clients, home, region, name, now_utc) for name in asked.instance_types]
    known = [price for price in prices if price is not None]
    if not known or len(known) < len(prices):
        return None
    dearest = max(known, key=lambda price: price.usd_per_hour)
    oldest_utc = min(price.as_of_utc for price in known)
    return Quote(dearest.usd_per_hour * asked.instances, dearest.source, oldest_utc)


def list_price(clients: Clients, home: Path, region: str, instance_type: str, now_utc: float) -> ListPrice | None:
    """The on-demand price of training on one such instance; from AWS, unless it was heard today or AWS does not answer."""
    kept = _kept(home, region, instance_type)
    if kept is not None and 0 <= now_utc - kept.as_of_utc < FRESH_S:
        return kept
    try:
        heard = _highest(_on_demand_prices(_products(clients, region, instance_type)))
    except ERRORS:
        return kept
    if heard is None:
        return kept
    fresh = ListPrice(heard, now_utc, f"AWS's price list for {region}")
    _keep(home, region, instance_type, fresh)
    return fresh


def _products(clients: Clients, region: str, instance_type: str) -> Iterator[Mapping[str, Any]]:
    wanted = {"regionCode": region, "instanceName": instance_type, "component": "Training"}
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    client, token = clients("pricing", PRICE_REGION), dict[str, str]()
    for _ in range(PAGES_MAX):
        page = client.get_products(ServiceCode=SERVICE_CODE, Filters=filters, FormatVersion="aws_v1", **token)
        for product in page.get("PriceList", ()):
            yield json.loads(product) if isinstance(product, str) else product
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def _on_demand_prices(products: Iterable[Mapping[str, Any]]) -> Iterator[float]:
    """USD an hour. Free ones are left out: nobody trains for nothing."""
    for product in products:
        for term in product.get("terms", {}).get("OnDemand", {}).values():
            for dimension in term.get("priceDimensions", {}).values():
                usd = float(dimension.get("pricePerUnit", {}).get("USD") or 0.0)
                if usd > 0 and str(dimension.get("unit", "")).lower() in ("hrs", "hours", "hour"):
                    yield usd


def _highest(prices: Iterable[float]) -> float | None:
    """More than one should not be there; the dearest surprises nobody."""
    return max(prices, default=None)


def _spot_share(asked: Asked, job: Job, clients: Clients) -> tuple[float, str]:
    """What a Spot hour costs, as a share of an on-demand hour, and who says so."""
    try:
        seen = list(_seconds(asked, job, clients))
    except ERRORS:
        seen = []
    trained_s = sum(trained for _, trained in seen)
    if trained_s > 0:
        share = min(1.0, sum(billed for billed, _ in seen) / trained_s)
        return share, f"of which this job's last {len(seen)} on Spot paid {share:.0%}"
    return SPOT_SHARE_ASSUMED, f"of which Spot is assumed to cost {SPOT_SHARE_ASSUMED:.0%}"


def _seconds(asked: Asked, job: Job, clients: Clients) -> Iterator[tuple[float, float]]:
    """(billed, trained) seconds of this job's latest trainings on Spot of that type. Only its own: those it may look at."""
    client = clients("sagemaker", asked.region)
    newest = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": JOBS_MAX}
    listed = client.list_training_jobs(NameContains=f"{job.name}-", StatusEquals="Completed", **newest)
    for summary in listed["TrainingJobSummaries"]:
        if not summary["TrainingJobName"].startswith(f"{job.name}-"):
            continue
        one = client.describe_training_job(TrainingJobName=summary["TrainingJobName"])
        same = one.get("ResourceConfig", {}).get("InstanceType") in asked.instance_types
        billed_s, trained_s = one.get("BillableTimeInSeconds"), one.get("TrainingTimeInSeconds")
        if same and one.get("EnableManagedSpotTraining") and billed_s is not None and trained_s:
            yield float(billed_s), float(trained_s)


def _kept(home: Path, region: str, instance_type: str) -> ListPrice | None:
    """What was heard before. A file that makes no sense is as good as none."""
    try:
        entry = read_json(home / PRICE_FILE)[_key(region, instance_type)]
        return ListPrice(float(entry["usd_per_hour"]), float(entry["as_of_utc"]), str(entry["source"]))
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _keep(home: Path, region: str, instance_type: str, price: ListPrice) -> None:
    """For the next night, and for one without network. Where it cannot be kept, nothing is lost but time."""
    entry = {"usd_per_hour": price.usd_per_hour, "as_of_utc": price.as_of_utc, "source": price.source}
    try:
        before = read_json(home / PRICE_FILE)
    except OSError:
        return
    table = before if isinstance(before, dict) else {}
    write_soon(home / PRICE_FILE, {**table, _key(region, instance_type): entry})


def _key(region: str, instance_type: str) -> str:
    return f"{region} {instance_type}"
