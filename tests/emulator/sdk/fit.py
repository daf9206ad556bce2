"""What a team's notebook does, with the real SageMaker Python SDK v2, as it is. Prints one JSON line at the end."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sagemaker.pytorch import PyTorch


def main(bucket: str) -> None:
    estimator = PyTorch(
        entry_point="train.py",
        source_dir=str(Path(__file__).parent / "source"),
        role="arn:aws:iam::123456789012:role/training",
        framework_version="2.3.0",
        py_version="py311",
        instance_count=1,
        instance_type="ml.g5.xlarge",
        use_spot_instances=True,
        max_run=14400,
        max_wait=28800,
        checkpoint_s3_uri=f"s3://{bucket}/checkpoints/night-1",
        output_path=f"s3://{bucket}/out",
        hyperparameters={"epochs": 6, "lr": 0.5},
        metric_definitions=[{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
    )
    estimator.fit({"train": f"s3://{bucket}/data"})
    print("\n" + json.dumps({"job": estimator.latest_training_job.name, "model": estimator.model_data}))  # noqa: T201 - for the test


if __name__ == "__main__":
    main(sys.argv[1])
