"""SageMaker from where its users are: an estimator in a notebook, or a training job that has run.

    from nightspot.sagemaker import fit, record

    pools = ["spot:ml.g5.xlarge", "on-demand:ml.g5.xlarge"]
    night = fit(estimator, {"train": "s3://bucket/train"}, deadline="08:00", work="4h", pools=pools)
    request = record(estimator, {"train": "s3://bucket/train"}, path="request.json")

The SageMaker Python SDK (v2) is the caller's: nothing here imports it.
"""

from __future__ import annotations

from nightspot.sagemaker.errors import EstimatorError, NightNotRunError
from nightspot.sagemaker.fitting import fit
from nightspot.sagemaker.night import Night
from nightspot.sagemaker.recording import record

__all__ = ["EstimatorError", "Night", "NightNotRunError", "fit", "record"]
