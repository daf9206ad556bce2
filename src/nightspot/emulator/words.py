"""What a job's statuses are told with, and which of them a job that is stopped ends in. Not to be programmed on, says AWS."""

from __future__ import annotations

from nightspot.emulator.instance import Why

WORDS = {
    "Starting": "Starting the training job",
    "Launching": "Preparing the instances for training",
    "Pending": "Training job waiting for capacity",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Training job interrupted",
    "Restarting": "Restarting the training job",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job exceeded MaxWaitTimeInSeconds provided",
}
ENDS_IN = {
    Why.STOP: "Stopped",
    Why.MAX_PENDING: "Stopped",
    Why.MAX_WAIT: "MaxWaitTimeExceeded",
    Why.MAX_RUNTIME: "MaxRuntimeExceeded",
}
INTERNAL = "InternalServerError: We encountered an internal error. Please try again."
