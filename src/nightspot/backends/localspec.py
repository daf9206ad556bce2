"""From what the loop asks for to what a supervisor is told."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Mapping

from nightspot.backends.registry import BackendContext
from nightspot.backends.saving import saving_environment
from nightspot.model.attempt import Role
from nightspot.model.capacity import Bounds
from nightspot.night.ports import LaunchSpec
from nightspot.process.artifact import stamp
from nightspot.process.files import read_json, write_first
from nightspot.process.folder import AttemptFolder
from nightspot.process.spec import AttemptSpec
from nightspot.process.surroundings import Surroundings, surround

NOTICE_S, GRACE_S, LEAD_S = 120.0, 20.0, 60.0
# A program that has said nothing for so much of the start-up it was given is one that never speaks: it trains.
SILENT_AFTER_LEAD = 0.9


def attempt_spec(
    asked: LaunchSpec,
    context: BackendContext,
    folder: AttemptFolder,
    now_utc: float,
    taken_utc: float,
    *,
    sandbox: bool,
    seen_every_s: float | None = None,
) -> AttemptSpec:
    """Make the folders the program expects, and say all that its supervisor must know. OSError where they cannot be made.

    seen_every_s: market seconds between interruptions, where the Pool's trace shows them.
    """
    job, options = asked.job, asked.pool.options
    checkpoint_dir = _checkpoint_dir(asked, context)
    around = surround(job.training, folder, checkpoint_dir, sandbox=sandbox)
    saving = saving_environment(asked, context.time_scale, seen_every_s)
    return AttemptSpec(
        token=asked.token,
        run_id=asked.run_id,
        number=asked.number,
        pool_id=asked.pool.id,
        price_usd_per_hour=asked.pool.price_usd_per_hour,
        command=around.command,
        directory=job.training.directory,
        environment=_environment(asked, folder, checkpoint_dir, around, saving),
        anchor_market_utc=context.anchor_market_utc,
        anchor_real_utc=context.anchor_real_utc,
        time_scale=context.time_scale,
        launched_utc=now_utc,
        ready_utc=now_utc + float(options.get("launch_delay_s", 0.0)),
        taken_utc=taken_utc,
        notice_s=float(options.get("notice_s", NOTICE_S)),
        grace_s=float(options.get("grace_s", GRACE_S)),
        not_after_utc=asked.not_after_utc,
        checkpoint_dir=str(checkpoint_dir),
        units_start=asked.units_start,
        units=job.work.units,
        pattern=job.checkpoint.pattern,
        silent_utc=_silent_utc(asked, now_utc),
        waits_for_go=asked.role is Role.PROBE,
        shielded=around.shielded,
        artifact=job.training.artifact,
        artifact_before=_artifact_before(asked, context),
        publish=job.training.publish,
        lineage=_lineage(asked),
        warnings=around.warnings,
    )


def run_key(token: str) -> str:
    """What all Attempts of one Run share: the token without the Attempt's number."""
    return token.rpartition("-")[0] or token


def _checkpoint_dir(asked: LaunchSpec, context: BackendContext) -> Path:
    given = asked.job.checkpoint.directory
    return Path(given) if given else context.home.resolve() / "checkpoints" / run_key(asked.token)


def _silent_utc(asked: LaunchSpec, now_utc: float) -> float:
    """By when a program that reports would have: never, where one of this Run did; at once, where it only writes files."""
    if asked.job.checkpoint.pattern is not None:
        return now_utc
    if asked.units_start > 0.0:
        return math.inf
    return now_utc + SILENT_AFTER_LEAD * (asked.pool.bounds or Bounds(LEAD_S)).lead_s


def _artifact_before(asked: LaunchSpec, context: BackendContext) -> str | None:
    """The stamp of what lay there before the Run's first launch: of a later one's, an earlier Attempt may have written it."""
    if asked.job.training.artifact is None:
        return None
    noted = context.home.resolve() / "before" / f"{run_key(asked.token)}.json"
    noted.parent.mkdir(parents=True, exist_ok=True)
    write_first(noted, {"stamp": stamp(Path(asked.job.training.artifact))})
    found = read_json(noted)
    return found["stamp"] if isinstance(found, dict) else None


def _environment(
    asked: LaunchSpec, folder: AttemptFolder, checkpoint_dir: Path, around: Surroundings, saving: Mapping[str, str]
) -> dict[str, str]:
    training = asked.job.training
    ours = {
        "NIGHTSPOT_RUN_ID": asked.run_id,
        "NIGHTSPOT_ATTEMPT": str(asked.number),
        "NIGHTSPOT_TOKEN": asked.token,
        "NIGHTSPOT_CHECKPOINT_DIR": str(checkpoint_dir),
        "NIGHTSPOT_PROGRESS": str(folder.progress),
        "NIGHTSPOT_NOTICE": str(folder.notice),
        "NIGHTSPOT_SAVE_REQUEST": str(folder.save_request),
    }
    if training.fingerprint:
        ours["NIGHTSPOT_FINGERPRINT"] = training.fingerprint
    if training.artifact is not None:
        ours["NIGHTSPOT_ARTIFACT"] = training.artifact
    return {**around.environment, **training.environment, **ours, **saving}


def _lineage(asked: LaunchSpec) -> dict[str, Any]:
    job = asked.job
    return {
        "job": job.name,
        "command": list(job.training.command),
        "hyperparameters": dict(job.training.hyperparameters),
        "channels": dict(job.training.channels),
        "fingerprint": job.training.fingerprint,
        "work": asdict(job.work),
        "world_size": asked.pool.world_size,
    }
