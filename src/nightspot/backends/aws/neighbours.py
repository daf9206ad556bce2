"""Whether somebody else's night writes where tonight's would: the same job name, deadline and bucket make the same prefix."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any, Iterator

from nightspot.backends.aws.jobs import OPEN, run_key
from nightspot.backends.aws.look import Case
from nightspot.backends.aws.notes import run_keys
from nightspot.backends.aws.request import checkpoint_uri
from nightspot.night.ports import Finding

PAGES_MAX, DESCRIBED_MAX = 10, 20
# What stands behind a job's name in a run's id, and behind that in a token.
_REST = re.compile(r"(?P<run>(?P<deadline>\d{8}T\d{4}(?:\d\d)?)Z(?:-\d+)?)-[A-Za-z0-9]+-\d{3,}")


def neighbours(case: Case) -> Iterator[Finding]:
    """Live trainings of this job's name that this home did not launch, and whose checkpoints are, or may be, tonight's as well."""
    ours = run_keys(case.home)
    for region in case.regions:
        client = case.clients("sagemaker", region)
        strange = [name for name in _live(client, case.job.name) if run_key(name) not in ours]
        for name in [name for name in strange if _ahead(case, name)][:DESCRIBED_MAX]:
            config = client.describe_training_job(TrainingJobName=name).get("CheckpointConfig") or {}
            uri = config.get("S3Uri")
            run_id = run_key(name).rpartition("-")[0]
            if uri and uri in {checkpoint_uri(one.pool, run_id) for one in case.in_region(region)}:
                yield _shared(name, uri)


def _shared(name: str, uri: str) -> Finding:
    return Finding(
        f"{name} trains under this job's name, was not launched from here, and writes its checkpoints to {uri}: "
        "two nights with one name and one deadline would overwrite each other's",
        "Give this job another `name`, or `checkpoints` of its own; or wait for the end of that training, or stop it.",
        fatal=True,
    )


def _live(client: Any, job_name: str) -> Iterator[str]:
    for status in OPEN:
        token: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            asked = {"NameContains": f"{job_name}-", "StatusEquals": status, "MaxResults": 100}
            page = client.list_training_jobs(**asked, **token)
            names = [str(one["TrainingJobName"]) for one in page["TrainingJobSummaries"]]
            yield from [name for name in names if _rest(name, job_name) is not None]
            if not page.get("NextToken"):
                break
            token = {"NextToken": page["NextToken"]}


def _rest(name: str, job_name: str) -> re.Match[str] | None:
    return _REST.fullmatch(name, len(job_name) + 1) if name.startswith(f"{job_name}-") else None


def _ahead(case: Case, name: str) -> bool:
    """A night whose deadline is over is not tonight's. Compressed time may lie anywhere."""
    rest = _rest(name, case.job.name)
    digits = rest["deadline"] if rest is not None else ""
    try:
        form = "%Y%m%dT%H%M%S" if len(digits) > len("20261125T0700") else "%Y%m%dT%H%M"
        deadline = datetime.strptime(digits, form).replace(tzinfo=timezone.utc)
    except ValueError:
        return False
    return case.job.time_scale != 1 or deadline.timestamp() > case.now_utc()
