"""Two nights of one name, deadline and bucket share a prefix: the second is refused before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

import pytest

from nightspot.backends.aws.doctor import LOOKS, findings
from nightspot.backends.aws.neighbours import neighbours
from nightspot.model.change import changed
from nightspot.night.ports import Finding, Kind
from tests.backends.aws.answers import BUCKET, Answers, job

RUN, OVER = "rec-29991125T0700Z", "rec-20201125T0700Z"
ARN = "arn:aws:sagemaker:us-east-1:123456789012:training-job/a"


def live(far: Answers, name: str, uri: str | None = None) -> None:
    """Somebody's training, in the account."""
    seen: dict[str, Any] = {
        "TrainingJobName": name,
        "TrainingJobArn": ARN,
        "ModelArtifacts": {"S3ModelArtifacts": ""},
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Training",
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {"VolumeSizeInGB": 1},
        "StoppingCondition": {},
        "CreationTime": 1.0,
        **({"CheckpointConfig": {"S3Uri": uri}} if uri is not None else {}),
    }

    def listed(asked: Mapping[str, Any]) -> Mapping[str, Any]:
        assert asked["NameContains"] == "rec-"
        one = {key: seen[key] for key in ("TrainingJobName", "TrainingJobArn", "TrainingJobStatus", "CreationTime")}
        return {"TrainingJobSummaries": [one] if asked["StatusEquals"] == "InProgress" else []}

    far.by_operation |= {"ListTrainingJobs": listed, "DescribeTrainingJob": seen}


def found(far: Answers, home: Path, time_scale: float = 1.0) -> list[Finding]:
    return findings(changed(job(), time_scale=time_scale), far, home, looks=(("it", neighbours),))


def test_a_colleagues_night_that_writes_where_tonights_would_is_fatal_with_a_remedy(far: Answers, home: Path) -> None:
    live(far, f"{RUN}-aaaa1111-001", f"s3://{BUCKET}/nightspot/{RUN}/")
    (one,) = found(far, home)
    assert one.fatal
    assert f"{RUN}-aaaa1111-001" in one.what
    assert "another `name`" in one.remedy
    assert ("the neighbours", neighbours) in LOOKS


def test_a_night_of_this_home_is_no_neighbour(far: Answers, home: Path) -> None:
    live(far, f"{RUN}-aaaa1111-002", f"s3://{BUCKET}/nightspot/{RUN}/")
    (home / "sagemaker" / f"{RUN}-aaaa1111-001").mkdir(parents=True)
    assert found(far, home) == []


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        (f"{RUN}-aaaa1111-001", f"s3://{BUCKET}/elsewhere/{RUN}/"),
        (f"{RUN}-aaaa1111-001", None),
        (f"{OVER}-aaaa1111-001", f"s3://{BUCKET}/nightspot/{OVER}/"),
        (f"my-{RUN}-aaaa1111-001", f"s3://{BUCKET}/nightspot/{RUN}/"),
        ("rec-99999999T9999Z-aaaa1111-001", f"s3://{BUCKET}/nightspot/rec-99999999T9999Z/"),
        ("rec-by-hand-001", f"s3://{BUCKET}/nightspot/rec/"),
    ],
)
def test_other_trainings_that_share_a_part_of_the_name_or_of_the_prefix_are_none(
    far: Answers, home: Path, name: str, uri: str | None
) -> None:
    live(far, name, uri)
    assert found(far, home) == []


def test_in_compressed_time_a_deadline_may_lie_anywhere(far: Answers, home: Path) -> None:
    live(far, f"{OVER}-aaaa1111-001", f"s3://{BUCKET}/nightspot/{OVER}/")
    assert [one.fatal for one in found(far, home, time_scale=60.0)] == [True]


def test_what_may_not_be_listed_is_said_to_be_unchecked(far: Answers, home: Path) -> None:
    far.by_operation["ListTrainingJobs"] = "AccessDeniedException"
    (one,) = found(far, home)
    assert (one.kind, one.fatal) == (Kind.UNCHECKED, False)
