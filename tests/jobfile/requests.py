"""The request that the SageMaker SDK sends for a Spot PyTorch estimator, and a job file around it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from nightspot.jobfile import JobFile, load_job
from tests.jobfile.files import written

RECORDED: dict[str, Any] = json.loads((Path(__file__).parents[1] / "sagemaker" / "recorded.json").read_text("utf-8"))
# Recorded with an hour of time: our night takes four.
REQUEST = {**RECORDED, "StoppingCondition": {"MaxRuntimeInSeconds": 21600, "MaxWaitTimeInSeconds": 43200}}

NIGHT = """\
name = "recommender"

[sagemaker]
template = "request.json"
region = "us-east-1"

[work]
units = 20
unit = "epoch"
each = "12min"

[deadline]
start = "20:00"
at = "08:00"
timezone = "Europe/Berlin"

[[pools]]
id = "spot"
backend = "sagemaker"
market = "spot"
instance_type = "ml.g5.xlarge"
price = 0.42

[[pools]]
id = "backup"
backend = "sagemaker"
market = "on-demand"
instance_type = "ml.g5.xlarge"
price = 1.41
"""


def changed(path: str, value: Any = None) -> dict[str, Any]:
    """The request with that field (`ResourceConfig.InstanceCount`) set to something, or, with None, left out."""
    request = copy.deepcopy(REQUEST)
    *tables, key = path.split(".")
    here: Any = request
    for table in tables:
        here = here[int(table)] if table.isdigit() else here.setdefault(table, {})
    if value is None:
        here.pop(key, None)
    else:
        here[key] = value
    return request


def request_in(folder: Path, request: Any = None) -> Path:
    """The folder, with that request as request.json in it."""
    text = request if isinstance(request, str) else json.dumps(REQUEST if request is None else request)
    (folder / "request.json").write_text(text, encoding="utf-8")
    return folder


def night_in(folder: Path, *settings: str, request: Any = None, text: str = NIGHT) -> JobFile:
    """The job above with those settings and that request, read."""
    return load_job(written(request_in(folder, request), text), settings)
