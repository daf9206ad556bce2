"""The CreateTrainingJob request that an estimator of the SageMaker SDK (v2) would send, caught before it is sent.

The SDK does all it ever does: it packs and uploads the source, and fills in its defaults. The call itself is stopped inside boto3, by the
event system of the session's own client, and only in this thread. Nothing is patched, and nothing is started.
"""

from __future__ import annotations

import copy
import json
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Iterator, Union

from nightspot.sagemaker.errors import EstimatorError

EVENT = "before-parameter-build.sagemaker.CreateTrainingJob"
NOT_AWS = (
    "this estimator's session is a local one, or of a pipeline: it sends no CreateTrainingJob request. "
    "Give the estimator an ordinary sagemaker.Session()"
)


class _NotSent(BaseException):
    """The call ends here. No Exception: nothing on the way may take it for a failure of AWS's."""


def record(
    estimator: Any, inputs: Any = None, *, job_name: str | None = None, path: Union[str, Path, None] = None
) -> dict[str, Any]:
    """The request that `estimator.fit(inputs)` would send, whole; also written to `path` as JSON, if one is given.

    `estimator` is any estimator of the SageMaker SDK v2, `inputs` what its `fit` takes. The source is uploaded as ever, under `job_name`
    or the SDK's own name for the job. Spot, limits, checkpoints and retries are as the estimator has them. Raises EstimatorError where
    nothing would be sent, and whatever the SDK itself raises.
    """
    caught: list[dict[str, Any]] = []
    with _nothing_is_sent(estimator, caught), suppress(_NotSent):
        estimator.fit(inputs, wait=False, job_name=job_name)  # the SDK itself may swallow what ends the call
    if not caught:
        raise EstimatorError(NOT_AWS)
    if path is not None:
        Path(path).write_text(json.dumps(caught[0], indent=2) + "\n", encoding="utf-8")
    return caught[0]


@contextmanager
def _nothing_is_sent(estimator: Any, caught: list[dict[str, Any]]) -> Iterator[None]:
    owner = threading.get_ident()

    def catch(params: dict[str, Any], **_event: Any) -> None:
        if threading.get_ident() == owner:
            caught.append(copy.deepcopy(params))
            raise _NotSent

    events = _events(estimator)
    events.register_last(EVENT, catch)
    try:
        yield
    finally:
        events.unregister(EVENT, catch)


def _events(estimator: Any) -> Any:
    """The event system of the client that would send it."""
    session = getattr(estimator, "sagemaker_session", None)
    if session is None:
        raise EstimatorError(f"{type(estimator).__name__} is no estimator of the SageMaker SDK v2: it has no session")
    events = getattr(getattr(getattr(session, "sagemaker_client", None), "meta", None), "events", None)
    if events is None:
        raise EstimatorError(NOT_AWS)
    return events
