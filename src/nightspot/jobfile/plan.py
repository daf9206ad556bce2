"""One night of a job file: the window resolved, the placeholders filled in, the paths absolute."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Mapping, Optional

from nightspot.checkpoint.interval import Kind
from nightspot.errors import JobFileError
from nightspot.jobfile.document import Document
from nightspot.jobfile.feasible import check_pools
from nightspot.jobfile.fingerprint import fingerprint
from nightspot.jobfile.intervals import planned_s, rule_of
from nightspot.jobfile.load import JobFile, artifact_field
from nightspot.jobfile.placeholders import IN_REQUESTS, expand
from nightspot.jobfile.places import absolute
from nightspot.jobfile.pools import pools
from nightspot.jobfile.sagemakerpools import sagemaker_pools
from nightspot.jobfile.settings import OPTION_KEYS
from nightspot.jobfile.template import whole_request
from nightspot.jobfile.window import Window, resolve
from nightspot.model.capacity import Pool
from nightspot.model.job import Checkpointing, Hooks, Job, Limits, OnLimit, PolicyChoice, Training, Work

WAIT_S = 3600.0
# -NONCE-NUMBER: eight and three characters, and two between them.
TOKEN_LENGTH, LONGEST_JOB_NAME = 13, 63
FolderOf = Callable[[str], Path]
Values = Mapping[str, Optional[str]]


@dataclass(frozen=True, slots=True)
class PlannedNight:
    """A Job and its window. `market_now_utc` is what market time shows when it is planned: the real time, unless time is compressed."""

    job: Job
    run_id: str
    start_utc: float
    deadline_utc: float
    night_label: str
    market_now_utc: float


def plan_night(
    job_file: JobFile, now_utc: float, run_suffix: str = "", folder_of: Optional[FolderOf] = None
) -> PlannedNight:
    """The night whose deadline is the next one after `now_utc`. JobFileError if it has none, or could never be run.

    `folder_of(run_id)` is the folder of a run; without it {run_folder} is not set, and the folder of checkpoints is left open. With
    compressed time a night always has its whole window: market time begins at its start, and absolute times may lie in the past.
    """
    document = job_file.document
    scaled = document.time_scale != 1
    due = document.deadline
    window = resolve(due.start, due.at, due.timezone, now_utc, job_file.file, past=scaled)
    stamp = deadline_stamp(window.deadline_utc)
    run_id = f"{document.name}-{stamp}{run_suffix}"
    folder = folder_of(run_id).absolute() if folder_of is not None else None
    job = _job(job_file, _basics(document, window, run_id, folder), folder)
    _check_names(job_file, run_id)
    check_pools(job, job_file.file)
    now = window.start_utc if scaled else now_utc
    return PlannedNight(job, run_id, window.start_utc, window.deadline_utc, window.night, now)


def _check_names(job_file: JobFile, run_id: str) -> None:
    """A training job's name is RUN-NONCE-NUMBER; a run's is longer where its deadline has seconds, or it was begun afresh."""
    over = len(run_id) + TOKEN_LENGTH - LONGEST_JOB_NAME
    if job_file.template is not None and over > 0:
        expected = f"the training jobs of {run_id} would have names longer than {LONGEST_JOB_NAME} characters"
        raise JobFileError(job_file.file, "name", job_file.name, expected, f"Make it {over} shorter.")


def deadline_stamp(deadline_utc: float) -> str:
    """A deadline as it stands in a run's id: 20261125T0700Z; seconds only where there are any."""
    moment = datetime.fromtimestamp(deadline_utc, timezone.utc)
    return moment.strftime("%Y%m%dT%H%M%SZ" if moment.second else "%Y%m%dT%H%MZ")


def _basics(document: Document, window: Window, run_id: str, folder: Optional[Path]) -> Values:
    return {
        "night": window.night,
        "deadline": deadline_stamp(window.deadline_utc),
        "run_id": run_id,
        "name": document.name,
        "run_folder": str(folder) if folder is not None else None,
    }


def _job(job_file: JobFile, basics: Values, folder: Optional[Path]) -> Job:
    document = job_file.document
    work = _work(document)
    checkpoints = _checkpointing(job_file, basics, folder, work)
    extend_s = document.deadline.extend
    return Job(
        name=document.name,
        training=_training(job_file, basics, checkpoints.directory),
        work=work,
        pools=_pools(job_file, basics),
        policy=_policy(document),
        checkpoint=checkpoints,
        limits=_limits(document),
        hooks=_hooks(document),
        tail_s=document.deadline.reserve,
        extend_s=work.total_s if extend_s is None else extend_s,
        guard_pools=document.deadline.guard_pools,
        time_scale=float(document.time_scale),
        miss_means=document.deadline.miss_means,
        timezone=document.deadline.timezone,
        second_request=document.policy_table.second_request,
        handover=document.policy_table.handover,
    )


def _pools(job_file: JobFile, basics: Values) -> tuple[Pool, ...]:
    document = job_file.document
    if job_file.template is None:
        return pools(document.pools, document.time_scale, job_file.base)
    in_requests = {name: basics[name] for name in IN_REQUESTS}
    return sagemaker_pools(document, job_file.template, in_requests, job_file.file)


def _hooks(document: Document) -> Hooks:
    table = document.hooks
    return Hooks(table.success, table.failure, table.risk, table.risk_after, table.risk_slack)


def _work(document: Document) -> Work:
    table = document.work
    if table.units is None:
        return Work(1.0, "job", float(table.total or 0.0))
    units = float(table.units)
    each_s = table.each if table.each is not None else float(table.total or 0.0) / units
    return Work(units, table.unit, each_s)


def _policy(document: Document) -> PolicyChoice:
    table = document.policy_table
    given = {option: getattr(table, key) for option, key in OPTION_KEYS.items()}
    options = {option: float(value) for option, value in given.items() if value is not None}
    if table.name == "timed-fallback":
        options.setdefault("wait_s", WAIT_S)
    return PolicyChoice(table.name, options)


def _limits(document: Document) -> Limits:
    table = document.limits
    return Limits(
        attempts=table.attempts,
        failures=table.failures,
        cost_usd=table.cost,
        on_limit=OnLimit(table.on_limit),
        no_progress_s=table.no_progress,
    )


def _checkpointing(job_file: JobFile, basics: Values, folder: Optional[Path], work: Work) -> Checkpointing:
    table = job_file.document.checkpoint
    directory = str(folder / "checkpoints") if folder is not None and job_file.template is None else ""
    if table.directory is not None:
        directory = _path(job_file, job_file.base, "checkpoint.directory", table.directory, basics)
    rule = rule_of(table.interval, work.unit)
    interval = "" if rule.kind is Kind.TIME else rule.text
    store = "" if table.store is None else f"{table.store}/{basics['run_id']}"
    return Checkpointing(directory, planned_s(rule, work), table.pattern, interval, store=store)


def _training(job_file: JobFile, basics: Values, checkpoint_dir: str) -> Training:
    document, file = job_file.document, job_file.file
    table = document.artifact_table
    artifact = None
    if table is not None:
        artifact = _artifact(job_file, table.path, basics)
    values = {**basics, "checkpoint_dir": checkpoint_dir or None, "artifact": artifact, "python": sys.executable}
    publish = None
    if table is not None and table.publish is not None:
        publish = _path(job_file, job_file.base, "artifact.publish", table.publish, values)
    command = [expand(word, values, file, "command") for word in document.words]
    environment = {k: expand(v, values, file, f"environment.{k}") for k, v in document.environment.items()}
    return Training(
        command=tuple(command),
        directory=str(job_file.directory),
        environment=environment,
        hyperparameters=document.training.hyperparameters,
        channels=_channels(job_file, basics),
        artifact=artifact,
        publish=publish,
        fingerprint=fingerprint(document, job_file.directory, file, _request(job_file)),
        sagemaker=document.training.sagemaker,
    )


def _artifact(job_file: JobFile, path: str, basics: Values) -> str:
    """A path on this machine; on SageMaker the name inside the model's archive."""
    field = artifact_field(job_file.document)
    if job_file.template is not None:
        return expand(path, basics, job_file.file, field)
    return _path(job_file, job_file.directory, field, path, basics)


def _request(job_file: JobFile) -> Optional[dict[str, Any]]:
    """The request, its placeholders unfilled: the same every night."""
    table = job_file.document.sagemaker
    if job_file.template is None or table is None:
        return None
    return whole_request(job_file.template, table, table.overrides)


def _channels(job_file: JobFile, basics: Values) -> dict[str, str]:
    channels = job_file.document.training.channels
    return {
        name: _path(job_file, job_file.base, f"training.channels.{name}", path, basics)
        for name, path in channels.items()
    }


def _path(job_file: JobFile, base: Path, field: str, template: str, values: Values) -> str:
    return absolute(expand(template, values, job_file.file, field), base, job_file.file, field)
