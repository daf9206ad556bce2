"""How our wrapper comes to run inside a training image: repacked with the user's own source, uploaded, and named in the request.

The training toolkit then runs `nightspot_entry.py` in the place of the user's program, with the same arguments. See nightspot/inside/.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from typing import Any, Mapping

from nightspot.backends.aws import sourcedir, wheel
from nightspot.backends.saving import saving_environment
from nightspot.errors import BackendError
from nightspot.night.ports import LaunchSpec

SUBMIT_DIR, PROGRAM = "sagemaker_submit_directory", "sagemaker_program"
CHECKPOINT_DIR = "/opt/ml/checkpoints"
PREFIX, SCRIPT, SOURCE = "NIGHTSPOT_", "NIGHTSPOT_SCRIPT", "NIGHTSPOT_SOURCE"
ENVIRONMENT_MAX, VALUE_CHARACTERS_MAX = 100, 512
WITHOUT = "Set wrapper = false in the job file to train without nightspot's wrapper"
# Launchers that start the program several times on each machine: a wrapper around each of them would be several wrappers.
LAUNCHERS = (
    "sagemaker_mpi_enabled",
    "sagemaker_torch_distributed_enabled",
    "sagemaker_pytorch_ddp_enabled",
    "sagemaker_pytorch_xla_multi_worker_enabled",
    "sagemaker_distributed_dataparallel_enabled",
    "sagemaker_parameter_server_enabled",
    "sagemaker_multi_worker_mirrored_strategy_enabled",
)


def travelling(
    request: Mapping[str, Any],
    spec: LaunchSpec,
    s3: Any,
    *,
    checkpoints_uri: str,
    control_uri: str,
    time_scale: float = 1.0,
    not_after_real_utc: float | None = None,
) -> dict[str, Any]:
    """The new, whole `HyperParameters` and `Environment` of a CreateTrainingJob request, so that our wrapper runs the user's program.

    Nothing else of the request changes: `{**request, **travelling(...)}`. Repacks and uploads the source once for each content; called
    again, it finds it there (two HEAD requests).

    request: the template, with the user's source in `sagemaker_submit_directory` (on S3) and its program in `sagemaker_program`.
    s3: a boto3 S3 client. checkpoints_uri: of the Run, `s3://BASE/RUN_ID/`, the same as in CheckpointConfig.S3Uri.
    control_uri: of the Attempt, `s3://BASE/RUN_ID-control/TOKEN/`; the repacked source goes beside it, `s3://BASE/RUN_ID-control/code/...`.
    time_scale: of the emulator's market time; intervals told to the training process are real seconds.
    not_after_real_utc: when nothing of it may run any more, by a real clock; None: nobody says so.

    Raises BackendError where this template cannot carry a wrapper (see `why_not`), or its source cannot take one in: no retry helps.
    botocore's errors come through as they are.
    """
    why = why_not(request)
    if why is not None:
        raise BackendError(why)
    program, source_uri = program_of(request), source_of(request)
    bundle_uri = upload(s3, source_uri, program, _code_prefix(control_uri))
    ours = _environment(request, spec, time_scale, not_after_real_utc) | {
        "NIGHTSPOT_CHECKPOINTS": checkpoints_uri.rstrip("/") + "/",
        "NIGHTSPOT_CONTROL": control_uri.rstrip("/") + "/",
        SCRIPT: program,
        SOURCE: source_uri,
    }
    changed = {SUBMIT_DIR: json.dumps(bundle_uri), PROGRAM: json.dumps(sourcedir.entry_name(program))}
    return {
        "HyperParameters": {**request["HyperParameters"], **changed},
        "Environment": _merged(request.get("Environment") or {}, ours),
    }


def why_not(request: Mapping[str, Any]) -> str | None:
    """Why the wrapper cannot travel with such a template, and what to do; None if it can. Looks at the request only."""
    parameters = request.get("HyperParameters") or {}
    if SUBMIT_DIR not in parameters or PROGRAM not in parameters:
        return f"the template has no {SUBMIT_DIR} and {PROGRAM}: its code is in the image, or comes in another way. {WITHOUT}."
    if not source_of(request).startswith("s3://"):
        return f"the template's {SUBMIT_DIR} is {source_of(request)!r}: expected an s3:// archive. {WITHOUT}."
    if program_of(request) in sourcedir.ENTRIES:
        return (
            f"the template's {PROGRAM} is {program_of(request)}: it is a request that nightspot itself sent. "
            "Take the template from a job that was started without nightspot."
        )
    if (request.get("AlgorithmSpecification") or {}).get("ContainerEntrypoint"):
        return f"the template has a ContainerEntrypoint: it decides what is run, not {PROGRAM}. {WITHOUT}."
    for launcher in LAUNCHERS:
        if _plain(parameters.get(launcher)) is True:
            return (
                f"the template has {launcher}: the launcher would start the wrapper once for each process. {WITHOUT}."
            )
    return None


def program_of(request: Mapping[str, Any]) -> str:
    """The user's program, relative to the source's root."""
    return str(_plain(request["HyperParameters"][PROGRAM]))


def source_of(request: Mapping[str, Any]) -> str:
    """Where the user's source is."""
    return str(_plain(request["HyperParameters"][SUBMIT_DIR]))


def unbundled(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request as it was before `travelling`, for a template made of a job that nightspot ran; any other request as it is."""
    environment = request.get("Environment") or {}
    if SCRIPT not in environment or SOURCE not in environment:
        return dict(request)
    before = {SUBMIT_DIR: json.dumps(environment[SOURCE]), PROGRAM: json.dumps(environment[SCRIPT])}
    kept = {name: value for name, value in environment.items() if not name.startswith(PREFIX)}
    made = {**request, "HyperParameters": {**request["HyperParameters"], **before}, "Environment": kept}
    return made if kept else {name: value for name, value in made.items() if name != "Environment"}


def upload(s3: Any, source_uri: str, program: str, prefix_uri: str) -> str:
    """The S3 URI of the source at `source_uri` with our wheel and entry in it: made and uploaded unless it is there.

    The key names the contents that went in, so nobody ever finds another bundle under it. Raises what `travelling` raises.
    """
    source, prefix = _split(source_uri), _split(prefix_uri)
    ours = sourcedir.additions(wheel.build(), program)
    facts = s3.head_object(Bucket=source[0], Key=source[1])
    named = [source_uri, facts["ETag"], str(facts["ContentLength"]), *(a.name + a.sha256 for a in ours)]
    key = f"{prefix[1]}{hashlib.sha256(json.dumps(named).encode()).hexdigest()[:32]}/sourcedir.tar.gz"
    if not _exists(s3, prefix[0], key):
        with tempfile.TemporaryFile() as packed, tempfile.TemporaryFile() as made:
            # The key names this very content: it must not be another by now.
            body = s3.get_object(Bucket=source[0], Key=source[1], IfMatch=facts["ETag"])["Body"]
            shutil.copyfileobj(body, packed, sourcedir.BLOCK_BYTES)
            packed.seek(0)
            sourcedir.repack(packed, made, ours)
            made.seek(0)
            s3.upload_fileobj(made, prefix[0], key)
    return f"s3://{prefix[0]}/{key}"


def _exists(s3: Any, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except s3.exceptions.ClientError as error:
        # Without leave to list the bucket, S3 says 403 of what is not there; an upload then shows what is true.
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 404):
            return False
        raise
    return True


def _environment(
    request: Mapping[str, Any], spec: LaunchSpec, time_scale: float, not_after_real_utc: float | None
) -> dict[str, str]:
    local = (request.get("CheckpointConfig") or {}).get("LocalPath") or CHECKPOINT_DIR
    ours = {
        "NIGHTSPOT_RUN_ID": spec.run_id,
        "NIGHTSPOT_ATTEMPT": str(spec.number),
        "NIGHTSPOT_TOKEN": spec.token,
        "NIGHTSPOT_ROLE": spec.role.value,
        "NIGHTSPOT_CHECKPOINT_DIR": local,
        **saving_environment(spec, time_scale),
    }
    if spec.job.checkpoint.pattern:
        ours |= {
            "NIGHTSPOT_CHECKPOINT_PATTERN": spec.job.checkpoint.pattern,
            "NIGHTSPOT_UNITS": repr(spec.job.work.units),
        }
    if spec.job.training.fingerprint:
        ours["NIGHTSPOT_FINGERPRINT"] = spec.job.training.fingerprint
    if not_after_real_utc is not None:
        ours["NIGHTSPOT_NOT_AFTER"] = repr(not_after_real_utc)
    return ours


def _merged(theirs: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """Raises BackendError where SageMaker would not take them all."""
    merged = {name: value for name, value in theirs.items() if not name.startswith(PREFIX)} | dict(ours)
    if len(merged) > ENVIRONMENT_MAX:
        raise BackendError(
            f"the template's Environment has {len(merged) - len(ours)} variables, ours are {len(ours)}: "
            f"SageMaker takes {ENVIRONMENT_MAX}. {WITHOUT}, or take variables out."
        )
    for name, value in ours.items():
        if len(value) > VALUE_CHARACTERS_MAX:
            raise BackendError(f"{name} has {len(value)} characters, SageMaker takes {VALUE_CHARACTERS_MAX}: {value}")
    return merged


def _code_prefix(control_uri: str) -> str:
    return control_uri.rstrip("/").rpartition("/")[0] + "/code/"


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not (uri.startswith("s3://") and bucket and key):
        raise BackendError(f"{uri!r}: expected s3://BUCKET/KEY")
    return bucket, key


def _plain(value: Any) -> Any:
    """A hyperparameter as the toolkit reads it: JSON, or the text itself."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
