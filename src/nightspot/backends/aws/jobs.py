"""The few SageMaker calls that a night needs, in one region."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping

from nightspot.backends.aws.calls import Aws, Rejected, Trouble, whole
from nightspot.backends.aws.request import RUN_TAG
from nightspot.errors import Unsure

Answer = Mapping[str, Any]
OPEN = ("InProgress", "Stopping")
ENDED = ("Completed", "Failed", "Stopped")
_REST_OF_NAME = re.compile(r"[A-Za-z0-9]+-\d{3,}")


@dataclass(frozen=True, slots=True)
class TrainingJobs:
    """Every call raises Unsure where AWS gave no answer that says something."""

    aws: Aws
    region: str

    def create(self, request: Answer) -> str:
        """The new job's ARN. Rejected where AWS says no."""
        answer = self.aws.call("sagemaker", self.region, "create_training_job", **request)
        return str(whole(answer, "TrainingJobArn")["TrainingJobArn"])

    def describe(self, name: str) -> Answer | None:
        """The job of that name, which must be a name; None where AWS says that there is none.

        The API says ValidationException for that: with a name that is one, it can mean nothing else.
        """
        try:
            answer: Answer = self.aws.call("sagemaker", self.region, "describe_training_job", TrainingJobName=name)
        except Rejected as error:
            if error.trouble is Trouble.NOT_FOUND or error.code == "ValidationException":
                return None
            raise Unsure(str(error)) from error
        whole(answer, "TrainingJobArn", "TrainingJobStatus", "CreationTime")
        return answer

    def listed(self, name: str) -> bool:
        """Whether a list shows it, in whatever state."""
        return name in self._names(NameContains=name)

    def stop(self, name: str) -> bool:
        """Ask it to end. What has ended is left as it is. False where there is no such job to be seen."""
        try:
            self.aws.call("sagemaker", self.region, "stop_training_job", TrainingJobName=name)
        except Rejected as error:
            seen = self.describe(name)
            if seen is not None and seen["TrainingJobStatus"] not in (*ENDED, "Stopping", "Deleting"):
                raise Unsure(str(error)) from error
            return seen is not None
        return True

    def live(self, run_id: str) -> list[str]:
        """Names of what has begun and not ended, by name of that Run and no other."""
        found = {name for status in OPEN for name in self._names(NameContains=run_id, StatusEquals=status)}
        return sorted(name for name in found if of_run(name, run_id))

    def is_of_run(self, seen: Answer, run_id: str, checkpoint_uri: str | None) -> bool:
        """Whether a job of our name is ours: it has the Run's tag; where none can be read, the Run's own checkpoint prefix."""
        try:
            pages = self.aws.pages("sagemaker", self.region, "list_tags", ResourceArn=seen["TrainingJobArn"])
            tags = {tag["Key"]: tag["Value"] for page in pages for tag in whole(page, "Tags")["Tags"]}
        except Rejected:
            tags = {}
        if RUN_TAG in tags:
            return bool(tags[RUN_TAG] == run_id)
        return checkpoint_uri is not None and (seen.get("CheckpointConfig") or {}).get("S3Uri") == checkpoint_uri

    def _names(self, **where: str) -> list[str]:
        try:
            pages = list(self.aws.pages("sagemaker", self.region, "list_training_jobs", MaxResults=100, **where))
        except Rejected as error:
            raise Unsure(str(error)) from error
        found = [job for page in pages for job in whole(page, "TrainingJobSummaries")["TrainingJobSummaries"]]
        return [str(job["TrainingJobName"]) for job in found]


def of_run(name: str, run_id: str) -> bool:
    """Whether a token is of that Run: what follows its id is a nonce and a number."""
    return name.startswith(f"{run_id}-") and _REST_OF_NAME.fullmatch(name, len(run_id) + 1) is not None


def run_key(token: str) -> str:
    """What all Attempts of one night share: the token without the Attempt's number."""
    return token.rpartition("-")[0] or token
