"""Why AWS did not answer a question, by error code and never by its text."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import ParseError

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own, which is not Python's
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

# What a look at AWS may raise: its own errors, and answers that are not as they should be.
ERRORS = (BotoCoreError, ClientError, ResponseParserError, ParseError, OSError, ValueError, KeyError, TypeError)

DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "AccessDeniedError",
    "UnauthorizedOperation",
    "AuthorizationError",
    "403",
}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
INVALID = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "InvalidAccessKeyId",
    "AuthFailure",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "InvalidToken",
}  # fmt: skip
SKEWED = {"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"}
THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
    "PriorRequestNotComplete",
    "TransactionInProgressException",
    "RequestThrottled",
}  # fmt: skip
MISSING = {"NoSuchBucket", "NoSuchKey", "NoSuchEntity"}
# What a HEAD is answered has no body, and so no code but the status: a proxy could have said it.
BARE_MISSING = {"404", "NotFound"}
# Whoever answers does not have that operation: an emulator, but for a service that AWS has closed.
NOT_OFFERED = {"UnknownOperationException", "UnknownOperation", "InvalidAction", "NotImplemented"}
NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound)
NO_LOGIN = (SSOError, TokenRetrievalError)


def code_of(error: BaseException) -> str:
    """AWS's code; "" for an error that did not come from AWS."""
    if not isinstance(error, ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_missing(error: BaseException) -> bool:
    """Whether AWS itself says that there is no such thing."""
    code = code_of(error)
    if code in BARE_MISSING:
        return any(name.startswith("x-amz") for name in headers_of(error))
    return code in MISSING


def headers_of(answer: Any) -> dict[str, str]:
    """The HTTP headers of an answer, or of an error that is one."""
    response = getattr(answer, "response", answer)
    metadata = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
    return {str(name).lower(): str(value) for name, value in metadata.get("HTTPHeaders", {}).items()}


def reason(error: BaseException) -> str:
    """Why there is no answer, in a few words that go after a colon."""
    code = code_of(error)
    if code:
        return _of_code(error, code)
    if isinstance(error, NO_CREDENTIALS):
        return "there are no credentials"
    if isinstance(error, NO_LOGIN):
        return "the login has expired"
    if isinstance(error, NoRegionError):
        return "no region is set"
    if isinstance(error, (ConnectionError, HTTPClientError, OSError)):
        return "there is no connection, or no answer in time"
    return f"the answer makes no sense ({type(error).__name__})"


def _of_code(error: BaseException, code: str) -> str:
    operation = str(getattr(error, "operation_name", "") or "this")
    if code in DENIED:
        return f"these credentials may not call {operation}"
    if code in EXPIRED:
        return "the credentials have expired"
    if code in INVALID:
        return f"the credentials are not valid ({code})"
    if code in SKEWED:
        return f"this machine's clock is wrong ({code})"
    if code in THROTTLED:
        return "AWS asked to be asked less often"
    if code in NOT_OFFERED:
        return f"{operation} is not answered at this address ({code})"
    return f"{operation} was refused ({code})"
