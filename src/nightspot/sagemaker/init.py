"""`nightspot init --from-training-job`: everything that is asked, and the two files that come of it."""

from __future__ import annotations

import importlib
import json
import time
from dataclasses import replace
from pathlib import Path

from nightspot.backends.aws.calls import Aws
from nightspot.sagemaker.jobtext import job_text
from nightspot.sagemaker.onboarding import Onboarded, job_name, onboard
from nightspot.sagemaker.pastjobs import Heard, hear


def from_training_job(name: str, region: str, home: Path, aws: Aws | None = None) -> Onboarded:
    """Read that job and its siblings. PastJobError or BackendError where that cannot be done. `home` keeps the prices that were heard."""
    aws = aws if aws is not None else Aws()
    return onboard(with_price(hear(name, region, aws), home, aws))


def with_price(heard: Heard, home: Path, aws: Aws) -> Heard:
    """With the list price of the whole attempt, where AWS tells it; a night is planned without it, too."""
    resources = heard.job.get("ResourceConfig") or {}
    prices = importlib.import_module("nightspot.backends.aws.prices")  # it needs boto3, which may be missing until here
    price = prices.list_price(
        aws.plain_client, home, heard.region, str(resources.get("InstanceType") or ""), time.time()
    )
    if price is None:
        return heard
    instances = int(resources.get("InstanceCount") or 1)
    day = time.strftime("%Y-%m-%d", time.gmtime(price.as_of_utc))
    return replace(heard, price_usd_per_hour=price.usd_per_hour * instances, price_source=f"{price.source}, {day}")


def files(job: Onboarded, name: str = "") -> dict[str, str]:
    """The texts of request.json and of the job file, by what they are: `request` and `job`. `name` replaces the job's own."""
    named = replace(job, name=job_name(name)) if name else job
    return {"request": json.dumps(job.request, indent=2) + "\n", "job": job_text(named)}
