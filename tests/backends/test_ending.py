"""How a training job's end is told: the model looked for, its copy made, and success believed only where it may be."""

from __future__ import annotations

import dataclasses
import json
import uuid
from typing import Any

import pytest

from nightspot.backends.aws.calls import Aws
from nightspot.backends.aws.ending import LIMIT, Ending
from nightspot.backends.aws.standing import End
from nightspot.backends.aws.store import Store
from nightspot.backends.aws.wrapped import Progress, progress_of
from nightspot.night.ports import Ended, EndKind
from tests.backends.emulated import BUCKET, REGION, Emulation
from tests.backends.specs import job, pool, spec
from tests.backends.test_model import archive, sha256
from tests.backends.test_standing import moment

ARN = "arn:aws:sagemaker:us-east-1:123456789012:training-job/a"


class Night:
    """A job that ended, with a model or without."""

    def __init__(self, emulation: Emulation) -> None:
        self.emulation, self.key = emulation, f"out/{uuid.uuid4().hex[:8]}/model.tar.gz"
        self.uri = f"s3://{BUCKET}/{self.key}"
        self.seen: dict[str, Any] = {"TrainingJobArn": ARN, "ModelArtifacts": {"S3ModelArtifacts": self.uri}}

    def ended(self, kind: EndKind = EndKind.SUCCEEDED, progress: Progress | None = None, **training: Any) -> Ended:
        asked = pool()
        store = Store(Aws(), REGION)
        end = End(kind, 1000.0, "as it was")
        return Ending(self.seen, end, store, spec(asked, job(asked, **training)), progress or Progress()).told()

    def put(self) -> None:
        self.emulation.put(self.key, archive({"model.pt": b"weights"}))


@pytest.fixture
def night(still: Emulation) -> Night:
    return Night(still)


def test_success_is_told_with_the_models_digest_and_where_it_lies(night: Night) -> None:
    night.put()
    ended = night.ended(artifact="model.pt")
    assert (ended.kind, ended.exit_code, ended.artifact_sha256) == (EndKind.SUCCEEDED, 0, sha256(b"weights"))
    assert ended.facts["model"] == night.uri


def test_a_model_that_is_not_there_has_no_digest(night: Night) -> None:
    assert night.ended(artifact="model.pt").artifact_sha256 is None
    night.put()
    ended = night.ended(artifact="best.pt")
    assert (ended.artifact_sha256, night.uri in ended.detail) == (None, True)


def test_a_model_that_cannot_be_read_is_a_failure_for_good(night: Night) -> None:
    night.emulation.put(night.key, b"no archive")
    ended = night.ended()
    assert (ended.kind, ended.final) == (EndKind.FAILED, True)
    assert "no whole archive" in ended.detail


def test_it_is_published_with_its_lineage(night: Night) -> None:
    night.put()
    target = f"s3://{BUCKET}/{night.key}.final"
    ended = night.ended(publish=target, fingerprint="f")
    assert ended.facts["published"] == target
    lineage = json.loads(Store(Aws(), REGION).read(f"{target}.lineage.json", 1 << 20) or b"")
    assert (lineage["training_job"], lineage["digest"], lineage["fingerprint"]) == (ARN, sha256(b"weights"), "f")


def test_what_cannot_be_published_has_failed_for_good_and_says_where_the_model_is(night: Night) -> None:
    night.put()
    ended = night.ended(publish="s3://no-such-bucket/final")
    assert (ended.kind, ended.final) == (EndKind.FAILED, True)
    assert night.uri in ended.detail


@pytest.mark.parametrize("kind", [EndKind.FAILED, EndKind.STOPPED, EndKind.TAKEN, EndKind.NO_CAPACITY])
def test_nothing_but_success_publishes(night: Night, kind: EndKind) -> None:
    night.put()
    ended = night.ended(kind, publish=f"s3://{BUCKET}/{night.key}.final")
    assert (ended.kind, ended.artifact_sha256, ended.detail, ended.at_utc) == (kind, None, "as it was", 1000.0)
    assert f"{night.key}.final" not in night.emulation.keys(night.key)


def test_a_program_that_says_that_starting_again_is_in_vain_is_believed(night: Night) -> None:
    assert night.ended(EndKind.FAILED, Progress(exit_code=78)).final
    assert not night.ended(EndKind.FAILED, Progress(exit_code=1)).final
    assert not night.ended(EndKind.STOPPED, Progress(exit_code=78)).final


def test_after_a_notice_only_what_says_done_is_done(night: Night) -> None:
    night.put()
    assert night.ended(progress=Progress(noticed=True)).kind is EndKind.TAKEN
    ended = night.ended(progress=Progress(noticed=True, done=True, metrics={"loss": 0.5}, facts={"data": "d"}))
    assert (ended.kind, ended.metrics["loss"], ended.facts["data"]) == (EndKind.SUCCEEDED, 0.5, "d")


@pytest.mark.parametrize("kind", [EndKind.FAILED, EndKind.SUCCEEDED])
def test_what_the_wrapper_ended_because_its_time_was_over_was_stopped_and_did_not_fail(
    night: Night, kind: EndKind
) -> None:
    night.put()
    limited = progress_of(b'{"notice": {"reason": "limit"}, "exit_code": 137}')
    assert limited == Progress(noticed=True, limited=True, exit_code=137)
    ended = night.ended(kind, limited, publish=f"s3://{BUCKET}/{night.key}.final")
    assert (ended.kind, ended.exit_code, ended.detail) == (EndKind.STOPPED, 137, LIMIT)
    assert night.ended(kind, dataclasses.replace(limited, done=True)).kind is kind
    assert night.ended(EndKind.FAILED, dataclasses.replace(limited, exit_code=78)).final


def test_the_programs_own_last_metrics_win_over_those_read_from_its_output(night: Night) -> None:
    night.put()
    data = [{"MetricName": "loss", "Value": 0.7, "Timestamp": moment(0)}]
    night.seen |= {"FinalMetricDataList": [*data, {**data[0], "MetricName": "epoch", "Value": 3.0}]}
    assert night.ended(progress=Progress(done=True, metrics={"loss": 0.5})).metrics == {"loss": 0.5, "epoch": 3.0}


def test_what_this_home_did_not_launch_is_told_and_not_published(night: Night) -> None:
    night.put()
    ending = Ending(night.seen, End(EndKind.SUCCEEDED, 1.0), Store(Aws(), REGION), None)
    assert ending.told().artifact_sha256 == sha256(b"weights")
    assert dataclasses.replace(ending, seen={}).told().kind is EndKind.SUCCEEDED
