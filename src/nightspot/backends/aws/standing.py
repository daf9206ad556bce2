"""What a DescribeTrainingJob answer means: phases and incarnations, how it ended, what was billed. Pure; times are the API's own.

Only status enums decide, and of FailureReason nothing but the code in front of its first colon (AWS Batch's guide reads it likewise).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterator, Mapping

from nightspot.model.attempt import Phase
from nightspot.night.ports import EndKind

Answer = Mapping[str, Any]
# What a secondary status says of the phase. Unknown ones, and those left out here, change nothing.
PHASES = {
    "Starting": Phase.QUEUED,
    "Pending": Phase.QUEUED,
    "LaunchingMLInstances": Phase.QUEUED,
    "PreparingTrainingStack": Phase.QUEUED,
    "Interrupted": Phase.QUEUED,
    "Restarting": Phase.QUEUED,
    "Downloading": Phase.BOOTING,
    "DownloadingTrainingImage": Phase.BOOTING,
    "Training": Phase.TRAINING,
    "Stopping": Phase.STOPPING,
}
BILLED = ("Downloading", "DownloadingTrainingImage", "Training", "Uploading", "Stopping")
ON_INSTANCES = (Phase.BOOTING, Phase.TRAINING)
_CODE = re.compile(r"([A-Za-z]{3,64}):")


@dataclass(frozen=True, slots=True)
class Transition:
    """One secondary status, from when to when; `end_utc` is None while it lasts."""

    status: str
    start_utc: float
    end_utc: float | None = None


@dataclass(frozen=True, slots=True)
class Stand:
    """One phase of one incarnation, and since when. `units_done` where somebody said it."""

    phase: Phase
    incarnation: int
    at_utc: float
    units_done: float | None = None


@dataclass(frozen=True, slots=True)
class End:
    """How it ended, in nightspot's words. `trouble` is the machine code, "" where there is none."""

    kind: EndKind
    at_utc: float
    detail: str = ""
    code: str = ""


def utc(moment: Any) -> float | None:
    """A time of the API, in seconds since the epoch."""
    return float(moment.timestamp()) if moment is not None else None


def transitions(seen: Answer) -> list[Transition]:
    """In order, each once: (status, start) is what makes one."""
    found: dict[tuple[str, float], Transition] = {}
    for one in seen.get("SecondaryStatusTransitions") or ():
        start_utc = utc(one["StartTime"]) or 0.0
        found[str(one["Status"]), start_utc] = Transition(str(one["Status"]), start_utc, utc(one.get("EndTime")))
    return sorted(found.values(), key=lambda one: one.start_utc)


def stands(seen: Answer) -> list[Stand]:
    """What it went through. Going back to the queue, or to the download, after instances were had begins a new incarnation."""
    said: list[Stand] = []
    for one in transitions(seen):
        phase = PHASES.get(one.status)
        if phase is None:
            continue
        last = said[-1] if said else None
        if last is None:
            said.append(Stand(phase, 1, one.start_utc))
        elif _back(last.phase, phase):
            said.append(Stand(phase, last.incarnation + 1, one.start_utc))
        elif _ORDER[phase] > _ORDER[last.phase]:
            said.append(Stand(phase, last.incarnation, one.start_utc))
    return said or [Stand(Phase.QUEUED, 1, utc(seen["CreationTime"]) or 0.0)]


_ORDER = {phase: place for place, phase in enumerate((Phase.QUEUED, Phase.BOOTING, Phase.TRAINING, Phase.STOPPING))}


def _back(last: Phase, phase: Phase) -> bool:
    return last in ON_INSTANCES and _ORDER[phase] < _ORDER[last] and phase is not Phase.STOPPING


def end(seen: Answer) -> End | None:
    """None while it goes on. What AWS may invent later goes on, too: unknown is not dead."""
    status = str(seen["TrainingJobStatus"])
    if status == "Completed":
        return End(EndKind.SUCCEEDED, ended_utc(seen))
    if status == "Failed":
        return _failed(seen)
    return _stopped(seen) if status == "Stopped" else None


def ended_utc(seen: Answer) -> float:
    """When nothing of it ran any more, as AWS says it."""
    last = [one.end_utc or one.start_utc for one in transitions(seen)[-1:]]
    return utc(seen.get("TrainingEndTime")) or max(last, default=utc(seen.get("LastModifiedTime")) or 0.0)


def _failed(seen: Answer) -> End:
    reason = " ".join(str(seen.get("FailureReason") or "").split())
    match = _CODE.match(reason)
    code = match[1] if match else ""
    kind, words = _FAILURES.get(code, (EndKind.FAILED, "it failed"))
    if kind is EndKind.NO_CAPACITY and _granted(seen):
        kind = EndKind.TAKEN
    if not code and not _granted(seen):
        words = "it failed before it had an instance"
    return End(kind, ended_utc(seen), f"{words}; SageMaker says: {reason[:400]}" if reason else words, code)


_FAILURES: Mapping[str, tuple[EndKind, str]] = {
    "CapacityError": (EndKind.NO_CAPACITY, "there was no capacity"),
    "ResourceLimitExceeded": (EndKind.FAILED, "the account's quota did not allow it"),
    "InternalServerError": (EndKind.FAILED, "SageMaker had an error of its own"),
    "ClientError": (EndKind.FAILED, "its data or its settings are wrong"),
    "AlgorithmError": (EndKind.FAILED, "the program failed"),
}


def _stopped(seen: Answer) -> End:
    """Never a success. A request that was never granted had no capacity; one that was taken and not granted again was taken."""
    at_utc, last = ended_utc(seen), _last_before_the_end(seen)
    limit = _LIMITS.get(str(seen.get("SecondaryStatus")), "")
    if not _granted(seen):
        words = "it never left the queue"
        return End(EndKind.NO_CAPACITY, at_utc, f"{words}: {limit}" if limit else words)
    if last.phase is Phase.QUEUED:
        words = "it was interrupted, and not granted again"
        return End(EndKind.TAKEN, at_utc, f"{words}: {limit}" if limit else words)
    return End(EndKind.STOPPED, at_utc, limit)


_LIMITS: Mapping[str, str] = {
    "MaxRuntimeExceeded": "MaxRuntimeInSeconds was reached",
    "MaxWaitTimeExceeded": "MaxWaitTimeInSeconds was reached",
}


def _granted(seen: Answer) -> bool:
    return any(one.phase in ON_INSTANCES for one in stands(seen))


def _last_before_the_end(seen: Answer) -> Stand:
    said = [one for one in stands(seen) if one.phase is not Phase.STOPPING]
    return said[-1] if said else Stand(Phase.QUEUED, 1, 0.0)


def held_s(seen: Answer, now_utc: float) -> float:
    """How long it has had instances so far."""
    return sum(_spans(seen, now_utc))


def _spans(seen: Answer, now_utc: float) -> Iterator[float]:
    """A job that is stopped in the queue goes to Stopping without an instance: that costs nothing."""
    there = False
    for one in transitions(seen):
        phase = PHASES.get(one.status)
        there = there if phase is Phase.STOPPING or phase is None else phase is not Phase.QUEUED
        if there and one.status in BILLED:
            until_utc = one.end_utc if one.end_utc is not None else now_utc
            yield max(0.0, min(until_utc, now_utc) - one.start_utc)


def billable_s(seen: Answer) -> float | None:
    """What AWS bills: instance seconds of one instance at the full price, the discount in it. None where AWS has not said."""
    told = seen.get("BillableTimeInSeconds")
    if told is not None:
        return float(told)
    return None if end(seen) is None or _granted(seen) else 0.0


def instance_type(seen: Answer) -> str:
    """The one that was chosen, or asked for."""
    resources = seen.get("ResourceConfig") or {}
    return str(resources.get("SelectedInstanceType") or resources.get("InstanceType") or "")


def metrics(seen: Answer) -> dict[str, float]:
    """FinalMetricDataList: the last value of each."""
    found = sorted(seen.get("FinalMetricDataList") or (), key=lambda one: utc(one.get("Timestamp")) or 0.0)
    return {str(one["MetricName"]): float(one["Value"]) for one in found if "Value" in one}
