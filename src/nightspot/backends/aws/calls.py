"""Calls to AWS: each with a budget of time, each error told apart by its code. boto3 is imported when the first call is made.

An error is either definite (`Rejected`: it was not done, and will not be) or it is `Unsure`. Credentials that have expired are dropped:
the next call finds whatever boto3's chain finds then.
"""

from __future__ import annotations

import importlib
import time
from enum import Enum
from typing import Any, Callable, Iterator, Mapping
from urllib.parse import urlsplit

from nightspot.errors import BackendError, UnknownBackendError, Unsure

CONNECT_S, READ_S = 3.0, 8.0
# Until then a try may begin; what has begun ends READ_S later at the latest.
BUDGET_S = 12.0
TRIES = 3
PAGES_MAX = 50
MISSING = "the sagemaker backend needs boto3, which is not installed: pip install 'nightspot[aws]'"


class Trouble(str, Enum):
    """What kind of error it is. The first five say nothing about whether it was done."""

    THROTTLED = "AWS asks to be asked less often"
    INTERNAL = "AWS has an error of its own"
    NETWORK = "there is no connection to AWS, or no answer in time"
    CREDENTIALS = "the credentials are missing, expired or not accepted"
    GARBLED = "AWS's answer makes no sense"
    NOT_FOUND = "there is no such thing"
    IN_USE = "something of that name exists already"
    QUOTA = "the account's quota does not allow it"
    CAPACITY = "there is no capacity"
    DENIED = "these credentials may not do that"
    INVALID = "AWS refuses the request as it is"


UNSURE = {Trouble.THROTTLED, Trouble.INTERNAL, Trouble.NETWORK, Trouble.CREDENTIALS, Trouble.GARBLED}
CODES: dict[Trouble, frozenset[str]] = {
    Trouble.THROTTLED: frozenset(
        {"Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded"}
        | {"SlowDown", "RequestThrottled", "RequestThrottledException", "BandwidthLimitExceeded", "PriorRequestNotComplete"}
    ),
    Trouble.CREDENTIALS: frozenset(
        {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired", "RequestTimeTooSkewed"}
        | {"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "InvalidToken", "AuthFailure"}
        | {"SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "MissingAuthenticationToken"}
        | {"MissingAuthenticationTokenException", "NotAuthorized", "RequestInTheFuture"}
        | {"400"}  # of a HEAD, whose answer has no body: S3 says so of a token that has expired
    ),
    Trouble.INTERNAL: frozenset(
        {"InternalFailure", "InternalError", "InternalServerError", "InternalServerException", "ServiceUnavailable"}
        | {"ServiceUnavailableException", "RequestTimeout", "RequestTimeoutException", "500", "502", "503", "504"}
    ),
    Trouble.NOT_FOUND: frozenset({"ResourceNotFound", "ResourceNotFoundException", "NoSuchKey", "NoSuchBucket", "NotFound", "404"}),
    Trouble.IN_USE: frozenset({"ResourceInUse", "ResourceInUseException", "ConflictException"}),
    Trouble.QUOTA: frozenset(
        {"ResourceLimitExceeded", "ResourceLimitExceededException", "LimitExceededException", "ServiceQuotaExceededException"}
    ),
    Trouble.CAPACITY: frozenset({"CapacityError", "InsufficientInstanceCapacity", "InsufficientCapacityException"}),
    Trouble.DENIED: frozenset(
        {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403", "OptInRequired"}
    ),
}  # fmt: skip


# An answer without a body has its status for a code. A proxy's is no word of AWS's: that carries headers of its own.
BARE = frozenset({"403", "404", "NotFound"})
AWS_HEADER = "x-amz"


class Rejected(BackendError):  # noqa: N818 - an answer, not a fault
    """AWS said no, and means it. `code` is its own.

    `after_lost`: an earlier try of the same call got no answer, and may have been carried out.
    """

    def __init__(self, trouble: Trouble, code: str, words: str, *, after_lost: bool = False) -> None:
        super().__init__(words)
        self.trouble, self.code, self.after_lost = trouble, code, after_lost


class OverBudgetError(Exception):
    """The time for this call is spent: no further try is begun."""


def require_boto3() -> None:
    """UnknownBackendError, with the remedy, where boto3 is missing."""
    try:
        importlib.import_module("boto3")
    except ImportError as error:
        raise UnknownBackendError(MISSING) from error


class Aws:
    """Clients by service and region, all of one boto3 session. `budget_s` is real time."""

    def __init__(self, budget_s: float = BUDGET_S) -> None:
        self._budget_s = budget_s
        self._session: Any = None
        self._made: dict[tuple[str, str], Any] = {}
        self._until_s = float("inf")
        self._lost = False

    def client(self, service: str, region: str) -> Any:
        """A boto3 client; region "" is boto3's own. botocore's errors where that cannot be had."""
        if (service, region) not in self._made:
            client = self._new_session().client(service, region_name=region or None, config=_config())
            client.meta.events.register("before-send", self._in_budget)
            client.meta.events.register("response-received", self._heard)
            self._made[service, region] = client
        return self._made[service, region]

    def plain_client(self, service: str, region: str, /) -> Any:
        """A client that knows nothing of budgets, for who has a budget of their own: any thread may use it."""
        return self._new_session().client(service, region_name=region or None, config=_config())

    def call(self, service: str, region: str, operation: str, /, **parameters: Any) -> Any:
        """One operation, by its Python name. Raises Unsure or Rejected, each with its own words, and nothing else."""
        return self.within(lambda: getattr(self.client(service, region), operation)(**parameters), operation)

    def pages(self, service: str, region: str, operation: str, /, **parameters: Any) -> Iterator[Any]:
        """All pages of a listing that hands on a NextToken. Raises as `call` does; Unsure for one without an end."""
        token: dict[str, Any] = {}
        for _ in range(PAGES_MAX):
            page = self.call(service, region, operation, **parameters, **token)
            yield page
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}
        raise Unsure(f"{operation}: more than {PAGES_MAX} pages")

    def within(self, act: Callable[[], Any], what: str, budget_s: float | None = None) -> Any:
        """Do something with clients of ours within the budget. Old credentials are tried anew once, in a new session."""
        require_boto3()
        self._until_s = time.monotonic() + (self._budget_s if budget_s is None else budget_s)
        self._lost = False
        try:
            return self._tried(act)
        except Exception as error:
            raise _said(error, what, after_lost=self._lost) from error
        finally:
            self._until_s = float("inf")

    def _tried(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except Exception as error:
            if _trouble(error) is not Trouble.CREDENTIALS:
                raise
        self.forget()
        return act()

    def forget(self) -> None:
        """Drop the session: the next call reads credentials anew."""
        self._session = None
        self._made.clear()

    def loopback(self, service: str, region: str) -> bool:
        """Whether that service is on this machine: an emulator. False where no client can be had."""
        try:
            host = urlsplit(self.client(service, region).meta.endpoint_url).hostname or ""
        except Exception:
            return False
        return host in ("localhost", "::1") or host.startswith("127.")

    def _new_session(self) -> Any:
        require_boto3()
        if self._session is None:
            self._session = importlib.import_module("boto3").Session()
        return self._session

    def _in_budget(self, **_event: Any) -> None:
        if time.monotonic() > self._until_s:
            raise OverBudgetError

    def _heard(self, response_dict: Mapping[str, Any] | None = None, **_event: Any) -> None:
        """After each try. No answer, or an error of AWS's own, leaves open whether it was done."""
        if response_dict is None or int(response_dict["status_code"]) >= 500:
            self._lost = True


def whole(answer: Any, *wanted: str) -> Any:
    """The answer, if it has what AWS promises: half a body is read as an answer without fields. Unsure where it has not."""
    missing = [name for name in wanted if name not in answer]
    if missing:
        raise Unsure(f"{Trouble.GARBLED.value}: it has no {missing[0]}")
    return answer


def _config() -> Any:
    return importlib.import_module("botocore.config").Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"mode": "standard", "total_max_attempts": TRIES},
        user_agent_extra="nightspot",
    )


def _said(error: Exception, what: str, *, after_lost: bool) -> Exception:
    """In our own words: Unsure or Rejected. What is neither AWS's nor the network's is a fault of ours, and stays one."""
    trouble = _trouble(error)
    if trouble is None:
        return error
    code = code_of(error)
    words = f"{what}: {trouble.value}" + (f" ({code})" if code else "") + _detail(error, trouble)
    return Unsure(words) if trouble in UNSURE else Rejected(trouble, code, words, after_lost=after_lost)


def _detail(error: Exception, trouble: Trouble) -> str:
    """AWS's own sentence, for people only: nothing is ever decided on it."""
    if trouble in UNSURE:
        return ""
    response = getattr(error, "response", None)
    text = str(response.get("Error", {}).get("Message", "")) if isinstance(response, dict) else str(error)
    return f": {' '.join(text.split())[:300]}" if text else ""


def code_of(error: BaseException) -> str:
    """AWS's code; "" for an error that did not come from AWS."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _trouble(error: BaseException) -> Trouble | None:
    """None for what is neither AWS's, nor botocore's, nor the network's."""
    faults = importlib.import_module("botocore.exceptions")
    if isinstance(error, faults.ClientError):
        return _answered(code_of(error), error.response.get("ResponseMetadata", {}))
    if isinstance(error, (faults.ParamValidationError, faults.NoRegionError, faults.InvalidRegionError)):
        return Trouble.INVALID
    if isinstance(error, _credential_faults(faults)):
        return Trouble.CREDENTIALS
    network = (faults.HTTPClientError, faults.ConnectionError, faults.IncompleteReadError, OverBudgetError, OSError)
    if isinstance(error, network):
        return Trouble.NETWORK
    garbled = (faults.BotoCoreError, importlib.import_module("botocore.parsers").ResponseParserError)
    transfer = importlib.import_module("boto3.exceptions").Boto3Error
    return Trouble.GARBLED if isinstance(error, (*garbled, transfer)) else None


def _credential_faults(faults: Any) -> tuple[type[BaseException], ...]:
    names = (
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "TokenRetrievalError",
        "SSOError",
        "ProfileNotFound",
    )
    return tuple(getattr(faults, name) for name in names)


def _answered(code: str, metadata: Mapping[str, Any]) -> Trouble:
    headers = metadata.get("HTTPHeaders") or {}
    if code in BARE and not any(str(name).lower().startswith(AWS_HEADER) for name in headers):
        return Trouble.GARBLED
    return _trouble_of(code, int(metadata.get("HTTPStatusCode", 0)))


def _trouble_of(code: str, status: int) -> Trouble:
    for trouble, codes in CODES.items():
        if code in codes:
            return trouble
    if status == 429:
        return Trouble.THROTTLED
    if status >= 500:
        return Trouble.INTERNAL
    return Trouble.INVALID if 400 <= status < 500 else Trouble.GARBLED
