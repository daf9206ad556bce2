"""From what the loop asks for to a CreateTrainingJob request. Pure: template, Pool and LaunchSpec are all it takes.

An Attempt's request differs from its template in name (the SDK's own note of it, too), market, instance type, checkpoint and output
prefix, limits, tags, and nothing else; but for a warm pool, which is left out: Spot refuses it, and on-demand would go on billing
after the end.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any, Mapping

from nightspot.jobfile.fingerprint import LABEL
from nightspot.model.capacity import Market, Pool
from nightspot.night.ports import LaunchSpec

_JOB_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9])*")
NAME_MAX = 63
# A limit sends SIGTERM, waits 120 s, and then the model is uploaded: so much earlier than `not_after_utc` it must be.
STOPPING_S = 120.0 + 30.0
LONGEST_S = 28 * 24 * 3600
TAGS_MAX = 50
RUN_TAG, JOB_TAG, ATTEMPT_TAG = "nightspot:run", "nightspot:job", "nightspot:attempt"
_NOT_IN_A_TAG = re.compile(r"[^\w\s.:/=+@-]")


def training_job(spec: LaunchSpec, now_utc: float) -> dict[str, Any]:
    """The request of that Attempt, asked for at `now_utc`. ValueError, in a sentence for the user, where the template allows none."""
    options = spec.pool.options
    template = options.get("request")
    if not isinstance(template, Mapping):
        raise ValueError(f"pool {spec.pool.id} has no CreateTrainingJob template")
    request: dict[str, Any] = copy.deepcopy(dict(template))
    request["TrainingJobName"] = job_name(spec.token)
    if LABEL in (template.get("HyperParameters") or {}):
        request["HyperParameters"][LABEL] = json.dumps(spec.token)
    _market(request, spec.pool)
    _checkpoints(request, spec)
    if options.get("output"):
        request["OutputDataConfig"] = {**request.get("OutputDataConfig", {}), "S3OutputPath": options["output"]}
    request["StoppingCondition"] = stopping_condition(template.get("StoppingCondition") or {}, spec, now_utc)
    request["Tags"] = tags(template.get("Tags") or (), spec)
    return request


def is_job_name(name: str) -> bool:
    """Whether SageMaker takes it as a training job's name."""
    return len(name) <= NAME_MAX and _JOB_NAME.fullmatch(name) is not None


def job_name(token: str) -> str:
    """The token, which is the name. ValueError where SageMaker would not take it."""
    if not is_job_name(token):
        raise ValueError(f"{token!r} is no name of a training job: letters, digits and dashes, at most {NAME_MAX}")
    return token


def checkpoint_uri(pool: Pool, run_id: str) -> str | None:
    """Where that Run's checkpoints lie, shared by its Attempts; None where there are none.

    With a slash at its end: as a mere prefix it would cover what lies beside it, too.
    """
    base = _checkpoint_base(pool)
    return f"{base}/{run_id}/" if base else None


def control_uri(pool: Pool, run_id: str, token: str) -> str | None:
    """Where words to that Attempt lie, beside the checkpoints: what is inside is restored onto every instance."""
    base = _checkpoint_base(pool)
    return f"{base}/{run_id}-control/{token}/" if base else None


def quarantine_uri(pool: Pool, run_id: str) -> str | None:
    """Where torn files of an unmodified script are put, beside the checkpoints, so that no instance gets them again."""
    base = _checkpoint_base(pool)
    return f"{base}/{run_id}-quarantine/" if base else None


def _checkpoint_base(pool: Pool) -> str:
    """The pool's, else the template's own."""
    given = pool.options.get("checkpoints") or ""
    request = pool.options.get("request") or {}
    return str(given or (request.get("CheckpointConfig") or {}).get("S3Uri") or "").rstrip("/")


def stopping_condition(given: Mapping[str, Any], spec: LaunchSpec, now_utc: float) -> dict[str, Any]:
    """The dead-man's stop: it ends at `not_after_utc` without us. The user's own limits may only shorten that.

    MaxRuntime counts from when the instances are there. On Spot, MaxWait bounds both; on-demand that had to wait may end so much later.
    """
    left_s = max(1, min(LONGEST_S, int(spec.not_after_utc - now_utc - STOPPING_S)))
    runtime_s = min(left_s, int(given.get("MaxRuntimeInSeconds") or left_s))
    condition: dict[str, Any] = {**given, "MaxRuntimeInSeconds": runtime_s}
    condition.pop("MaxWaitTimeInSeconds", None)
    if spec.pool.market is Market.SPOT:
        wait_s = min(left_s, int(given.get("MaxWaitTimeInSeconds") or left_s))
        condition |= {"MaxRuntimeInSeconds": min(runtime_s, wait_s), "MaxWaitTimeInSeconds": wait_s}
    return condition


def tags(given: Any, spec: LaunchSpec) -> list[dict[str, str]]:
    """The template's, the job file's, ours: of two with one key the later counts. ValueError where there are more than AWS allows."""
    wanted = {str(tag["Key"]): str(tag["Value"]) for tag in given}
    wanted |= {str(key): str(value) for key, value in (spec.pool.options.get("tags") or {}).items()}
    wanted |= {RUN_TAG: spec.run_id, JOB_TAG: spec.job.name, ATTEMPT_TAG: str(spec.number)}
    if len(wanted) > TAGS_MAX:
        raise ValueError(f"{len(wanted)} tags are more than the {TAGS_MAX} that SageMaker allows: leave some out")
    return [{"Key": key, "Value": _NOT_IN_A_TAG.sub("_", value)[:256]} for key, value in wanted.items()]


def _market(request: dict[str, Any], pool: Pool) -> None:
    resources = dict(request.get("ResourceConfig") or {})
    resources.pop("KeepAlivePeriodInSeconds", None)
    several = list(pool.options.get("instance_types") or ())
    if resources.get("InstanceGroups"):
        raise ValueError(
            "ResourceConfig.InstanceGroups names the instance types itself: write InstanceType, InstanceCount"
        )
    if pool.market is Market.SPOT:
        request["EnableManagedSpotTraining"] = True
        resources.pop("InstancePreferences", None)
    elif several:  # AWS excludes the two from each other
        request.pop("EnableManagedSpotTraining", None)
        resources.pop("InstanceType", None)
        resources["InstancePreferences"] = [{"InstanceType": name} for name in several]
    else:
        request["EnableManagedSpotTraining"] = False
    if pool.instance_type and not (several and pool.market is Market.ON_DEMAND):
        resources.pop("InstancePreferences", None)
        resources["InstanceType"] = pool.instance_type
    request["ResourceConfig"] = resources


def _checkpoints(request: dict[str, Any], spec: LaunchSpec) -> None:
    uri = checkpoint_uri(spec.pool, spec.run_id)
    if uri is not None:
        request["CheckpointConfig"] = {**(request.get("CheckpointConfig") or {}), "S3Uri": uri}
