"""From how SageMaker says that a job ended to what the loop is told: the model looked for, its digest, its copy under the final name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Mapping

from nightspot.backends.aws import model, standing
from nightspot.backends.aws.calls import Rejected
from nightspot.backends.aws.store import Store
from nightspot.backends.aws.wrapped import NOTHING, Progress
from nightspot.night.ports import Ended, EndKind, LaunchSpec

START_AGAIN_IN_VAIN = 78
LIMIT = "it reached the time after which it must not run"


@dataclass(frozen=True, slots=True)
class Ending:
    """One Attempt at its end. `spec` is None where this home never launched it: then nothing is published."""

    seen: Mapping[str, Any]
    end: standing.End
    store: Store
    spec: LaunchSpec | None
    progress: Progress = NOTHING

    def told(self) -> Ended:
        """How it ended. Unsure where the bucket does not answer: then it is asked again."""
        if self._by_limit:
            return Ended(EndKind.STOPPED, self.end.at_utc, self.progress.exit_code, detail=LIMIT)
        if self.end.kind is EndKind.SUCCEEDED:
            return self._finished_early() if self.progress.noticed and not self.progress.done else self._succeeded()
        in_vain = self.end.kind is EndKind.FAILED and self.progress.exit_code == START_AGAIN_IN_VAIN
        return Ended(
            self.end.kind,
            self.end.at_utc,
            self.progress.exit_code,
            metrics=self.progress.metrics,
            facts=self.progress.facts,
            detail=self.end.detail,
            final=in_vain,
        )

    @property
    def _by_limit(self) -> bool:
        """Whether the wrapper ended it, because its time was over: to SageMaker that looks like a failure of the program's."""
        by_itself = self.end.kind in (EndKind.SUCCEEDED, EndKind.FAILED)
        in_vain = self.progress.exit_code == START_AGAIN_IN_VAIN
        return self.progress.limited and by_itself and not (self.progress.done or in_vain)

    def _finished_early(self) -> Ended:
        """Told to end, a program that ends well has finished only where it says so: its model may be half a night's."""
        words = "it ended with success after a notice, and did not say that all was done"
        return Ended(EndKind.TAKEN, self.end.at_utc, self.progress.exit_code, detail=words)

    def _succeeded(self) -> Ended:
        metrics = {**standing.metrics(self.seen), **self.progress.metrics}
        ended = Ended(EndKind.SUCCEEDED, self.end.at_utc, 0, None, metrics, dict(self.progress.facts))
        uri = str((self.seen.get("ModelArtifacts") or {}).get("S3ModelArtifacts") or "")
        if not uri:
            return ended
        try:
            found = model.digest(self.store, uri, self.spec.job.training.artifact if self.spec is not None else None)
        except Rejected as error:
            return self._failed(ended, f"it completed, but its model cannot be read: {error}")
        if found is None:
            return replace(ended, detail=f"there is no such model in {uri}")
        facts = {**ended.facts, "model": uri, "digest": found.what}
        return self._published(replace(ended, artifact_sha256=found.value, facts=facts), uri)

    def _published(self, ended: Ended, uri: str) -> Ended:
        target = self.spec.job.training.publish if self.spec is not None else None
        if self.spec is None or target is None or not target.startswith("s3://"):
            return ended
        try:
            where = model.publish(self.store, uri, target, self._lineage(self.spec, ended, uri))
        except (Rejected, ValueError) as error:
            return self._failed(ended, f"the model lies in {uri}, and could not be published: {error}")
        return replace(ended, facts={**ended.facts, "published": where})

    def _failed(self, ended: Ended, detail: str) -> Ended:
        """For good: training again would end the same way."""
        return replace(ended, kind=EndKind.FAILED, detail=detail, final=True)

    def _lineage(self, spec: LaunchSpec, ended: Ended, uri: str) -> Mapping[str, Any]:
        return {
            "job": spec.job.name,
            "run_id": spec.run_id,
            "attempt": spec.number,
            "token": spec.token,
            "training_job": str(self.seen.get("TrainingJobArn", "")),
            "model": uri,
            "digest": ended.artifact_sha256,
            "digest_of": ended.facts.get("digest", ""),
            "fingerprint": spec.job.training.fingerprint,
            "instance_type": standing.instance_type(self.seen),
            "ended_utc": ended.at_utc,
        }
