"""The only module of the stores that touches boto3: a client, and what its errors mean."""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any

from nightspot.checkpoint.errors import ConfigError
from nightspot.checkpoint.store_errors import AbsentError, BusyError, DeniedError, StoreError, TakenError

CONNECT_S, READ_S = 5, 60
# What an answer's code or status says. What is in none of them is a StoreError: asking again changes nothing.
BUSY = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
BUSY |= {"OperationAborted", "ConditionalRequestConflict", "BadDigest", "IncompleteBody", "RequestTimeTooSkewed"}
BUSY |= {"XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "InternalError", "ServiceUnavailable"}
ABSENT = {"NoSuchKey", "NoSuchUpload", "NotFound", "404"}
TAKEN = {"PreconditionFailed", "412"}
DENIED = {
    "AccessDenied",
    "AllAccessDisabled",
    "NoSuchBucket",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
}
DENIED |= {"InvalidToken", "TokenRefreshRequired", "PermanentRedirect", "AccountProblem", "InvalidBucketName"}
BUSY_STATUS = (408, 429)
DENIED_STATUS = (301, 401, 403)
NOT_IMPLEMENTED = 501
# Of botocore's own exceptions: what a wrong set-up makes. All others are the network's.
SET_UP = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "NoRegionError", "TokenRetrievalError"}
SET_UP |= {
    "SSOTokenLoadError",
    "UnauthorizedSSOTokenError",
    "CredentialRetrievalError",
    "InvalidConfigError",
    "ConfigParseError",
}
SET_UP |= {"ParamValidationError", "InvalidEndpointConfigurationError", "UnknownServiceError"}


def require() -> None:
    """Raises ConfigError where boto3 is not installed."""
    if importlib.util.find_spec("boto3") is None:
        raise ConfigError("a bucket was given for checkpoints, and boto3 is not installed here: pip install boto3")


def client(connections: int, timeouts_s: tuple[float, float] = (CONNECT_S, READ_S)) -> Any:
    """An S3 client by boto3's chain of settings; retries are ours. timeouts_s: to connect, and to hear.

    Raises ConfigError, or DeniedError for a strange set-up.
    """
    require()
    try:
        made = _client(connections, timeouts_s, {})
        if str(made.meta.endpoint_url).startswith("https://"):
            # Encrypted, and each body has a checksum of its own: signing its SHA-256, too, would only cost time.
            made = _client(connections, timeouts_s, {"payload_signing_enabled": False})
    except Exception as error:
        raise trouble(error, "s3") from error
    return made


def _client(connections: int, timeouts_s: tuple[float, float], s3: dict[str, Any]) -> Any:
    boto3, config = importlib.import_module("boto3"), importlib.import_module("botocore.config")
    # Older boto3 reads neither variable itself.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None
    connect_s, read_s = timeouts_s
    usual: dict[str, Any] = {"connect_timeout": connect_s, "read_timeout": read_s, "max_pool_connections": connections}
    usual |= {"retries": {"total_max_attempts": 1}, "s3": s3}
    quiet = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    try:
        settings = config.Config(**usual, **quiet)
    except TypeError:  # before botocore 1.36, which added none of its own accord
        settings = config.Config(**usual)
    # A session of its own: boto3's default one must not be used by two threads at once.
    return boto3.session.Session().client("s3", region_name=region, endpoint_url=endpoint, config=settings)


def trouble(error: Exception, what: str) -> StoreError:
    """What an exception of boto3, botocore or the network means. `what`: the object or bucket it was about."""
    if isinstance(error, StoreError):
        return error
    answer = getattr(error, "response", None)
    if isinstance(answer, dict) and "Error" in answer:
        return _refusal(answer, what, error)
    words = f"{what}: {str(error) or type(error).__name__}"
    named = {kind.__name__ for kind in type(error).__mro__}
    return DeniedError(words) if named & (SET_UP | {"ImportError"}) else BusyError(words)


def _refusal(answer: dict[str, Any], what: str, error: Exception) -> StoreError:
    code = str(answer["Error"].get("Code", ""))
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    words = f"{what}: {code} {answer['Error'].get('Message', '') or error}"
    if code in DENIED:
        return DeniedError(words)
    if code in ABSENT:
        return AbsentError(words)
    if code in TAKEN:
        return TakenError(words)
    if code in BUSY or status in BUSY_STATUS or (status >= 500 and status != NOT_IMPLEMENTED):
        return BusyError(words)
    return DeniedError(words) if status in DENIED_STATUS else StoreError(words)
