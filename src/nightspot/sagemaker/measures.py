"""What past training jobs teach a job file: how long training, starting and uploading take, and what Spot saved. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence

# The SDK's names, base-2026-11-23-09-37-09-009; ours, job-20261125T0700Z-0123abcd-001; and hands', base-17.
STAMPS = (
    re.compile(r"-\d{4}-\d{2}-\d{2}-\d{2}-\d{2}-\d{2}(-\d{1,3})?$"),
    re.compile(r"-\d{8}T\d{4,6}Z(-\d+)?-[0-9a-f]{8}-\d{3,}$"),
    re.compile(r"-\d+$"),
)
ATTEMPT_OF_OURS = re.compile(r"(.+-\d{8}T\d{4,6}Z(?:-\d+)?)-[0-9a-f]{8}-\d{3,}")
EPOCHS = ("epochs", "num_epochs", "num-epochs", "max_epochs", "max-epochs", "num_train_epochs", "n_epochs")
# Of fewer jobs the longest counts, and a fifth more: nobody knows yet how far they scatter.
ENOUGH, MARGIN = 5, 1.2
STARTING = (
    "Starting",
    "LaunchingMLInstances",
    "PreparingTrainingStack",
    "Pending",
    "Downloading",
    "DownloadingTrainingImage",
)


def base_name(name: str) -> str:
    """What the names of one training have in common."""
    for stamp in STAMPS:
        if stamp.search(name):
            return stamp.sub("", name)
    return name


def run_of(name: str) -> str | None:
    """The run that a job of nightspot's own was an attempt of."""
    found = ATTEMPT_OF_OURS.fullmatch(name)
    return found[1] if found else None


@dataclass(frozen=True, slots=True)
class PastJob:
    """One training job that has run. Spans are seconds; `lead_s` is from its creation to its first training, None where it had none.

    `epochs`: as its hyperparameters say, None where they do not. `training_s`: all its training, what was done twice included.
    """

    name: str
    completed: bool
    spot: bool
    instance_type: str
    instances: int
    epochs: float | None
    lead_s: float | None
    training_s: float
    uploading_s: float
    billed_s: float | None
    run_s: float | None
    interruptions: int


def past_job(described: Mapping[str, Any]) -> PastJob:
    """Of what DescribeTrainingJob says."""
    resources = described.get("ResourceConfig") or {}
    return PastJob(
        name=described["TrainingJobName"],
        completed=described.get("TrainingJobStatus") == "Completed",
        spot=bool(described.get("EnableManagedSpotTraining")),
        instance_type=str(resources.get("InstanceType") or resources.get("SelectedInstanceType") or ""),
        instances=int(resources.get("InstanceCount") or 1),
        epochs=epochs_of(described.get("HyperParameters") or {}),
        lead_s=_lead_s(described),
        training_s=_spent_s(described, ("Training",)),
        uploading_s=_spent_s(described, ("Uploading",)),
        billed_s=described.get("BillableTimeInSeconds"),
        run_s=described.get("TrainingTimeInSeconds"),
        interruptions=sum(step["Status"] == "Interrupted" for step in _transitions(described)),
    )


def epochs_of(hyperparameters: Mapping[str, str]) -> float | None:
    """How many epochs they ask for, under one of the usual names."""
    for key in EPOCHS:
        try:
            epochs = float(str(hyperparameters.get(key, "")).strip('"'))
        except ValueError:
            continue
        if 0 < epochs < 1e9:
            return epochs
    return None


def _transitions(described: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Each once, in order: SageMaker repeats them with another message."""
    found = {(s["Status"], s["StartTime"]): s for s in described.get("SecondaryStatusTransitions") or ()}
    return sorted(found.values(), key=lambda step: step["StartTime"])


def _lead_s(described: Mapping[str, Any]) -> float | None:
    begun = [step["StartTime"] for step in _transitions(described) if step["Status"] == "Training"]
    return float((begun[0] - described["CreationTime"]).total_seconds()) if begun else None


def _spent_s(described: Mapping[str, Any], statuses: Sequence[str]) -> float:
    steps = [step for step in _transitions(described) if step["Status"] in statuses and step.get("EndTime")]
    return float(sum((step["EndTime"] - step["StartTime"]).total_seconds() for step in steps))


def high(values: Iterable[float]) -> float | None:
    """The 95th percentile of enough of them; of fewer the longest and a fifth more; None of none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[math.ceil(0.95 * len(ordered)) - 1] if len(ordered) >= ENOUGH else ordered[-1] * MARGIN


def in_words(values: Sequence[float]) -> str:
    """How `high` came about, for a comment."""
    jobs = "1 job" if len(values) == 1 else f"{len(values)} jobs"
    return f"95th percentile of {jobs}" if len(values) >= ENOUGH else f"the longest of {jobs}, and a fifth more"


def work_s(jobs: Sequence[PastJob], epochs: float | None) -> list[float]:
    """How long each training took that was done; with other numbers of epochs, as long as ours would."""
    done = [job for job in jobs if job.completed and job.training_s > 0]
    scaled = [(job, epochs / job.epochs if epochs and job.epochs else 1.0) for job in done]
    return [job.training_s * factor for job, factor in scaled]


def spot_share(jobs: Sequence[PastJob]) -> tuple[float, int] | None:
    """What share of the on-demand price Spot jobs paid, and how many of them say so; None where none does."""
    told = [job for job in jobs if job.spot and job.run_s and job.billed_s is not None]
    run_s = sum(job.run_s or 0.0 for job in told)
    billed_s = sum(job.billed_s or 0.0 for job in told)
    return (billed_s / run_s, len(told)) if run_s and 0 < billed_s <= run_s else None
