"""From a past training job to a job file: the request, and a night planned with what its siblings measured. Pure, but for its input."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from nightspot.backends.aws.bundle import why_not
from nightspot.jobfile.durations import format_duration
from nightspot.jobfile.fields import slugged
from nightspot.jobfile.kinds import LONGEST_NAME
from nightspot.jobfile.sagemakerpools import USUAL
from nightspot.sagemaker.describing import request_of
from nightspot.sagemaker.measures import (
    PastJob,
    base_name,
    epochs_of,
    high,
    in_words,
    past_job,
    run_of,
    spot_share,
    work_s,
)
from nightspot.sagemaker.pastjobs import Heard

MINUTE_S, HOUR_S = 60.0, 3600.0
SHORTEST_RESERVE_S = 600.0
AT_HOUR, SHORTEST_WINDOW_H, LONGEST_WINDOW_H = 8, 12, 23
# A window has room for half as much again as on-demand alone would need: that is what Spot may use up.
ROOM = 1.5
NUMBERED = re.compile(r"\D*(\d+)\D*")


@dataclass(frozen=True, slots=True)
class Measured:
    """A span, and where it comes from."""

    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Saving:
    """How checkpoints tell how far training is: by manifests, by file names (`pattern`), or not at all."""

    progress: str
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Onboarded:
    """All that the job file says. Warnings are sentences for its comments; they are to be read before the first night."""

    source: str
    name: str
    region: str
    request: Mapping[str, Any]
    instance_type: str
    checkpoints: str
    saving: Saving
    wrapper: bool
    epochs: float | None
    work: Measured
    reserve_s: float
    window_h: int
    lead: Mapping[str, Measured]
    share: tuple[float, int] | None
    price_usd_per_hour: float | None
    price_source: str
    limits: Mapping[str, int]
    warnings: tuple[str, ...]


def onboard(heard: Heard) -> Onboarded:
    """What tonight's job file says, from what AWS tells of the job and its siblings."""
    request = request_of(heard.job)
    job = past_job(heard.job)
    jobs = _like(job, [past_job(described) for described in heard.siblings])
    work = _work(jobs, job, heard.job)
    lead = {market: _lead(jobs, market) for market in ("spot", "on-demand")}
    reserve_s = _minutes_s(max([SHORTEST_RESERVE_S, *[j.uploading_s * 1.5 for j in jobs if j.completed]]))
    saving = _saving(heard.checkpoint_files, job.epochs)
    return Onboarded(
        source=job.name,
        name=job_name(base_name(job.name)),
        region=heard.region,
        request=request,
        instance_type=job.instance_type,
        checkpoints=_checkpoints(heard.job, job.name),
        saving=saving,
        wrapper=why_not(request) is None,
        epochs=epochs_of(request.get("HyperParameters", {})),
        work=work,
        reserve_s=reserve_s,
        window_h=_window_h(work.seconds + lead["on-demand"].seconds + reserve_s),
        lead=lead,
        share=spot_share(jobs),
        price_usd_per_hour=heard.price_usd_per_hour,
        price_source=heard.price_source,
        limits=dict(heard.job.get("StoppingCondition") or {}),
        warnings=tuple(_warnings(heard, job, jobs, saving, why_not(request))),
    )


def job_name(text: str) -> str:
    """The nearest name that a job on SageMaker can have."""
    return slugged(text)[:LONGEST_NAME].strip("-") or "training"


def _like(job: PastJob, jobs: Sequence[PastJob]) -> list[PastJob]:
    """Siblings on the same machines: others say nothing of how long it takes on these."""
    return [j for j in jobs if (j.instance_type, j.instances) == (job.instance_type, job.instances)]


def _minutes_s(seconds: float) -> float:
    return math.ceil(seconds / MINUTE_S) * MINUTE_S


def _work(jobs: Sequence[PastJob], job: PastJob, described: Mapping[str, Any]) -> Measured:
    spans = work_s(jobs, job.epochs)
    longest_s = high(spans)
    if longest_s is not None:
        return Measured(max(MINUTE_S, _minutes_s(longest_s)), in_words(spans))
    limit_s = float((described.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds") or 4 * HOUR_S)
    return Measured(limit_s, "none of these jobs was completed: this is only the limit that they had")


def _lead(jobs: Sequence[PastJob], market: str) -> Measured:
    spans = [j.lead_s for j in jobs if j.lead_s is not None and j.spot == (market == "spot")]
    longest_s = high(spans)
    if longest_s is None:
        return Measured(USUAL.lead_s, f"not measured: none of these jobs began on {market}")
    return Measured(max(5 * MINUTE_S, _minutes_s(longest_s)), f"{in_words(spans)}, five minutes at least")


def _checkpoints(described: Mapping[str, Any], name: str) -> str:
    """As the job had it; else a place beside its models."""
    given = str((described.get("CheckpointConfig") or {}).get("S3Uri") or "").rstrip("/")
    base, _, last = given.rpartition("/")
    if given:  # an attempt of ours had a folder of its run's own
        return base if last == run_of(name) else given
    bucket = "/".join(str(described["OutputDataConfig"]["S3OutputPath"]).split("/")[:3])
    return f"{bucket}/nightspot-checkpoints/{job_name(base_name(name))}"


def _saving(files: Sequence[str], epochs: float | None) -> Saving:
    """Our library leaves manifests. Files whose number counts the epochs tell, too; other numbers could count anything."""
    if "MANIFEST.json" in files:
        return Saving("manifests")
    numbered = [(file, found) for file in files if (found := NUMBERED.fullmatch(file))]
    patterns = Counter(f"{file[: found.start(1)]}*{file[found.end(1) :]}" for file, found in numbered)
    for pattern, _ in patterns.most_common(1):
        before, after = pattern.split("*")
        numbers = [int(found[1]) for file, found in numbered if file.startswith(before) and file.endswith(after)]
        if epochs is not None and max(numbers) <= epochs:
            return Saving("files", pattern)
    return Saving("none")


def _window_h(need_s: float) -> int:
    return max(SHORTEST_WINDOW_H, min(LONGEST_WINDOW_H, math.ceil(need_s * ROOM / HOUR_S)))


def _warnings(heard: Heard, job: PastJob, jobs: Sequence[PastJob], saving: Saving, no_wrapper: str | None) -> list[str]:
    """What may spoil the first night, the dearest first."""
    said = []
    if not heard.job.get("CheckpointConfig"):
        said.append(
            f"{job.name} NEVER SAVED A CHECKPOINT to a bucket. Unless the script saves to /opt/ml/checkpoints and resumes from "
            "there, each interruption starts training again from nothing. docs/checkpoint.md shows how."
        )
    elif not heard.checkpoint_files:
        said.append(
            "Nothing lies below the job's checkpoint address: does the script save to /opt/ml/checkpoints, and resume?"
        )
    if saving.progress == "none":
        said.append(
            "Nothing tells how far training is, so all of it counts as left until it is done: safe, but Spot is used less. "
            "See progress in docs/job-file.md."
        )
    if no_wrapper is not None:
        said.append(
            f"Our wrapper cannot travel with this job, so there are no notices, and no words while it trains: {no_wrapper}"
        )
    if not any(j.completed for j in jobs):
        said.append("None of these jobs was completed: correct `work` before the first night.")
    elif sum(j.completed for j in jobs) == 1:
        said.append("`work` is measured on a single job: look at it.")
    need_s = high(work_s(jobs, job.epochs)) or 0.0
    if need_s > LONGEST_WINDOW_H * HOUR_S / ROOM:
        said.append(
            f"Training takes {format_duration(_minutes_s(need_s))}: a window of a day has little room for Spot, or none."
        )
    return said
