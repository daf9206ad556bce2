"""Where things are in the training image, and what the controller has said in the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

BASE = "/opt/ml"
SCRATCH = ".nightspot"  # beside the synced folder, never in it
STAGING = ".nightspot-staging"
STOP_GRACE_S = 120.0
# What is left over when nothing may run any more, after the kill: the last words, the toolkit's own end.
LIMIT_SPARE_S = 30.0


@dataclass(frozen=True, slots=True)
class Places:
    """Folders and files of one incarnation. `staging` lies on the file system of `checkpoints`, where /opt/ml is one."""

    scratch: Path
    progress: Path
    notice: Path
    save_request: Path
    checkpoints: Path
    staging: Path
    failure: Path

    def make(self) -> None:
        """Make the folders, and forget what an earlier start on this machine left. Raises OSError."""
        for folder in (self.scratch, self.checkpoints, self.staging, self.failure.parent):
            folder.mkdir(parents=True, exist_ok=True)
        for file in (self.progress, self.notice, self.save_request):
            file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Orders:
    """What the controller wants. URIs are None where there is none; `time_scale`: market seconds in a real one.

    `pattern`: of an unmodified script's own checkpoints, None where it has none; `units`: what there is to do.
    """

    script: str
    probe: bool
    control_uri: str | None
    checkpoints_uri: str | None
    time_scale: float
    pattern: str | None
    units: float
    speaks: bool  # of several machines one speaks for the Attempt
    not_after_utc: float | None  # by the machine's clock

    @property
    def kill_in_s(self) -> float:
        """Real seconds that SageMaker gives between SIGTERM and SIGKILL."""
        return STOP_GRACE_S / self.time_scale

    @property
    def tell_utc(self) -> float | None:
        """When the script must be told to end, so that nothing runs after `not_after_utc`."""
        if self.not_after_utc is None:
            return None
        return self.not_after_utc - (STOP_GRACE_S + LIMIT_SPARE_S) / self.time_scale


def places(environment: Mapping[str, str]) -> Places:
    """The image's own places, or those below $SAGEMAKER_BASE_DIR."""
    base = Path(environment.get("SAGEMAKER_BASE_DIR") or BASE)
    scratch = base / SCRATCH
    return Places(
        scratch=scratch,
        progress=scratch / "progress.jsonl",
        notice=scratch / "notice.json",
        save_request=scratch / "save-request",
        checkpoints=Path(environment.get("NIGHTSPOT_CHECKPOINT_DIR") or base / "checkpoints"),
        staging=base / STAGING,
        failure=base / "output" / "failure",
    )


def orders(environment: Mapping[str, str]) -> Orders:
    """Raises KeyError or ValueError for an environment that no controller of ours made."""
    return Orders(
        script=environment["NIGHTSPOT_SCRIPT"],
        probe=environment.get("NIGHTSPOT_ROLE") == "probe",
        control_uri=environment.get("NIGHTSPOT_CONTROL") or None,
        checkpoints_uri=environment.get("NIGHTSPOT_CHECKPOINTS") or None,
        time_scale=float(environment.get("NIGHTSPOT_TIME_SCALE") or 1.0),
        pattern=environment.get("NIGHTSPOT_CHECKPOINT_PATTERN") or None,
        units=float(environment.get("NIGHTSPOT_UNITS") or "inf"),
        speaks=_first(environment),
        not_after_utc=_time(environment.get("NIGHTSPOT_NOT_AFTER")),
    )


def told(environment: Mapping[str, str], where: Places, packages: str) -> dict[str, str]:
    """The script's environment: all of ours, and where it says what."""
    path = [packages, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **environment,
        "PYTHONPATH": os.pathsep.join(path),
        "NIGHTSPOT_CHECKPOINT_DIR": str(where.checkpoints),
        "NIGHTSPOT_CHECKPOINT_STAGING": str(where.staging),
        "NIGHTSPOT_PROGRESS": str(where.progress),
        "NIGHTSPOT_NOTICE": str(where.notice),
        "NIGHTSPOT_SAVE_REQUEST": str(where.save_request),
    }


def _time(given: str | None) -> float | None:
    return float(given) if given else None


def _first(environment: Mapping[str, str]) -> bool:
    hosts = environment.get("SM_HOSTS", "")
    here = environment.get("SM_CURRENT_HOST", "")
    return not here or f'"{here}"' not in hosts or hosts.index(f'"{here}"') == hosts.index('"')
