"""`fit`: one line in a notebook, from an estimator to a model by morning."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence, Union

from nightspot.jobfile import format_duration, load_job
from nightspot.sagemaker.child import run_night
from nightspot.sagemaker.errors import EstimatorError
from nightspot.sagemaker.fittedjob import fingerprint_of, job_text, with_settings
from nightspot.sagemaker.night import Night
from nightspot.sagemaker.onboarding import job_name
from nightspot.sagemaker.recording import record
from nightspot.sagemaker.sourcename import source_name

PoolWords = Union[str, Mapping[str, Any]]
# What the SDK fills in where nothing was said: a day, which is no measure of anybody's work.
SDK_MAX_RUN_S = 86_400
JOB_FILE, REQUEST_FILE = "nightspot.toml", "request.json"
MARKETS = ("spot", "on-demand")
WRITTEN = "# Written by nightspot.sagemaker.fit, anew each time: copy it before you change it."
CHANGED = (
    "WARNING: {run_id} is over, and the job has changed since it was played: this is the result of the job as it was then. "
    "fit(..., fresh=True) trains it as it is now"
)


def fit(
    estimator: Any,
    inputs: Any = None,
    *,
    deadline: Union[str, datetime],
    pools: Sequence[PoolWords] | None = None,
    work: Union[str, Mapping[str, Any], None] = None,
    start: str | None = None,
    timezone: str = "UTC",
    name: str | None = None,
    checkpoints: str | None = None,
    folder: Union[str, Path, None] = None,
    settings: Mapping[str, Any] | None = None,
    fresh: bool = False,
    say: Callable[[str], None] | None = None,
) -> Night:
    """Train by the deadline, on Spot while that is safe, and return what the night came to.

    `deadline`: "08:00" in `timezone`, the next such time, or a datetime. `start`: when the window opens; without it, at once.
    `pools`: "spot:ml.g5.xlarge", "on-demand:ml.g5.xlarge", or tables in the job file's words; without them the estimator's own type,
    on Spot and on on-demand. `work`: how long training takes, conservatively: "4h", or a table as in the job file; without it the
    estimator's max_run, which is the longest it may take. `checkpoints`: their place in a bucket; without it the estimator's
    checkpoint_s3_uri. `folder` keeps the job file, the request and the night's log; without it ./nightspot-NAME. `settings`: any more
    keys of the job file, dotted as for `nightspot run --set`; they are written into it. `fresh` plays tonight again. `say` gets each line.

    Called again, it goes on with the same night, or tells again of one that is over. Ctrl-C leaves the attempt running and raises
    StoppedError. Raises EstimatorError, JobFileError and NightNotRunError before anything is started.
    """
    speak = say if say is not None else _to_stdout
    job = _name(str(settings["name"]) if settings and "name" in settings else name, estimator)
    request = record(estimator, inputs, job_name=source_name(estimator, job))
    place = Path(folder) if folder is not None else Path(f"nightspot-{job}")
    document = {
        "name": job,
        "sagemaker": _sagemaker(request, estimator, job, checkpoints, speak),
        "work": _work(work, request),
        "deadline": {"at": deadline, "timezone": timezone, **({"start": start} if start is not None else {})},
        "pools": _pools(pools, request),
    }
    file = _written(place, with_settings(document, settings or {}), request)
    mark = fingerprint_of(load_job(file))
    arguments = ["run", str(file), "--json", "--on-interrupt", "leave", *(["--fresh"] if fresh else [])]
    night = run_night(file, arguments, _environment(estimator), speak)
    if night.facts["fingerprint"] != mark:
        speak(CHANGED.format(run_id=night.run_id))
    return night


def _to_stdout(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _name(name: str | None, estimator: Any) -> str:
    if name is not None:
        return name
    base = getattr(estimator, "base_job_name", None) or Path(str(getattr(estimator, "entry_point", ""))).stem
    return job_name(str(base))


def _sagemaker(
    request: Mapping[str, Any], estimator: Any, name: str, checkpoints: str | None, say: Callable[[str], None]
) -> dict[str, Any]:
    table: dict[str, Any] = {"template": REQUEST_FILE}
    region = getattr(estimator.sagemaker_session, "boto_region_name", None)
    if region:
        table["region"] = region
    if checkpoints is None and "CheckpointConfig" not in request:
        bucket = "/".join(str(request["OutputDataConfig"]["S3OutputPath"]).split("/")[:3])
        checkpoints = f"{bucket}/nightspot-checkpoints/{name}"
        say(
            f"checkpoints go to {checkpoints}: the estimator has no checkpoint_s3_uri. The script must save to /opt/ml/checkpoints"
        )
    if checkpoints is not None:
        table["checkpoints"] = checkpoints
    return table


def _work(work: Union[str, Mapping[str, Any], None], request: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(work, str):
        return {"total": work}
    if work is not None:
        return dict(work)
    runtime_s = request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", SDK_MAX_RUN_S)
    if runtime_s == SDK_MAX_RUN_S:
        raise EstimatorError('how long training takes is not said: add work="4h", or give the estimator a max_run')
    return {"total": format_duration(runtime_s)}


def _pools(pools: Sequence[PoolWords] | None, request: Mapping[str, Any]) -> list[dict[str, Any]]:
    own = str(request["ResourceConfig"].get("InstanceType", ""))
    wanted = pools if pools is not None else [f"{market}:{own}" for market in MARKETS]
    if isinstance(wanted, (str, bytes)):
        raise EstimatorError('expected a list of pools: pools=["spot:ml.g5.xlarge", "on-demand:ml.g5.xlarge"]')
    return [_pool(words) for words in wanted]


def _pool(words: PoolWords) -> dict[str, Any]:
    if isinstance(words, Mapping):
        return {"backend": "sagemaker", **words}
    market, colon, instance_type = words.partition(":")
    if market not in MARKETS or not colon:
        raise EstimatorError(f'{words!r} is no pool: write "spot:ml.g5.xlarge" or "on-demand:ml.g5.xlarge"')
    return {"backend": "sagemaker", "market": market, "instance_type": instance_type}


def _written(place: Path, document: Mapping[str, Any], request: Any) -> Path:
    """The job file and its request, in their folder. Both are written anew by each call."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        (place / REQUEST_FILE).write_text(json.dumps(request, indent=2) + "\n", encoding="utf-8")
        (place / JOB_FILE).write_text(f"{WRITTEN}\n{job_text(document)}", encoding="utf-8")
    except OSError as error:
        raise EstimatorError(f"{place} cannot be written ({error.strerror}): name another folder=") from None
    return place / JOB_FILE


def _environment(estimator: Any) -> dict[str, str]:
    """The controller is another process: it finds the session's profile, or keys that were given in Python, in its environment."""
    session = estimator.sagemaker_session.boto_session
    region = getattr(session, "region_name", None)
    found = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region} if region else {}
    profile = getattr(session, "profile_name", None)
    credentials = session.get_credentials()
    if profile and profile != "default":
        found["AWS_PROFILE"] = profile
    elif credentials is not None and credentials.method == "explicit":
        found |= {"AWS_ACCESS_KEY_ID": credentials.access_key, "AWS_SECRET_ACCESS_KEY": credentials.secret_key}
        found |= {"AWS_SESSION_TOKEN": credentials.token} if credentials.token else {}
    return found
