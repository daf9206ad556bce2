"""What a DescribeTrainingJob answer means."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from nightspot.backends.aws import standing
from nightspot.model.attempt import Phase
from nightspot.night.ports import EndKind

START_UTC = 1_700_000_000.0


def moment(after_s: float) -> datetime:
    return datetime.fromtimestamp(START_UTC + after_s, timezone.utc)


def seen(*course: tuple[str, float], status: str = "InProgress", **more: Any) -> dict[str, Any]:
    """A job that went through those statuses, each with the seconds since the start at which it began."""
    ends = [after_s for _, after_s in course[1:]]
    history = []
    for (name, after_s), end_s in zip(course, [*ends, None][: len(course)], strict=True):
        entry = {"Status": name, "StartTime": moment(after_s)}
        history.append(entry if end_s is None else {**entry, "EndTime": moment(end_s)})
    secondary = course[-1][0] if course else "Starting"
    standard = {"SecondaryStatus": secondary, "CreationTime": moment(0), "SecondaryStatusTransitions": history}
    return {"TrainingJobStatus": status, **standard, **more}


def said(answer: dict[str, Any]) -> list[tuple[str, int, float]]:
    return [(one.phase.value, one.incarnation, one.at_utc - START_UTC) for one in standing.stands(answer)]


SPOT_NIGHT = (
    ("Starting", 0),
    ("Pending", 10),
    ("Downloading", 100),
    ("Training", 160),
    ("Interrupted", 500),
    ("Restarting", 520),
    ("Starting", 530),
    ("Downloading", 900),
    ("Training", 960),
)


def test_an_interruption_begins_a_new_incarnation_back_in_the_queue() -> None:
    assert said(seen(*SPOT_NIGHT)) == [
        ("queued", 1, 0),
        ("booting", 1, 100),
        ("training", 1, 160),
        ("queued", 2, 500),
        ("booting", 2, 900),
        ("training", 2, 960),
    ]


def test_a_restart_after_an_internal_error_is_one_too() -> None:
    course = [
        ("Starting", 0),
        ("Downloading", 1),
        ("Training", 2),
        ("Starting", 3),
        ("Downloading", 4),
        ("Training", 5),
    ]
    assert [(phase, number) for phase, number, _ in said(seen(*course))][-2:] == [("booting", 2), ("training", 2)]


def test_what_is_interrupted_in_the_queue_stays_the_same_incarnation() -> None:
    assert said(seen(("Starting", 0), ("Interrupted", 5), ("Restarting", 6), ("Pending", 7))) == [("queued", 1, 0)]


def test_transitions_that_come_twice_count_once() -> None:
    answer = seen(*SPOT_NIGHT)
    twice = {**answer, "SecondaryStatusTransitions": [*answer["SecondaryStatusTransitions"]] * 2}
    assert said(twice) == said(answer)


def test_statuses_that_nobody_knows_yet_change_nothing() -> None:
    course = [("Starting", 0), ("Daydreaming", 3), ("Downloading", 5), ("Updating", 6), ("Training", 7), ("Musing", 9)]
    answer = seen(*course, status="Pondering")
    assert [phase for phase, _, _ in said(answer)] == ["queued", "booting", "training"]
    assert standing.end(answer) is None


def test_a_job_without_any_history_waits() -> None:
    assert said(seen()) == [("queued", 1, 0)]


NEVER = (("Starting", 0), ("Pending", 5), ("Stopping", 50))
HELD = (("Starting", 0), ("Downloading", 5), ("Training", 9), ("Stopping", 50))
TAKEN = (("Starting", 0), ("Downloading", 5), ("Training", 9), ("Interrupted", 40), ("Starting", 41), ("Stopping", 50))


@pytest.mark.parametrize(
    ("course", "last", "kind"),
    [
        (NEVER, "Stopped", EndKind.NO_CAPACITY),
        (NEVER, "MaxWaitTimeExceeded", EndKind.NO_CAPACITY),
        (HELD, "Stopped", EndKind.STOPPED),
        (HELD, "MaxRuntimeExceeded", EndKind.STOPPED),
        (HELD, "MaxWaitTimeExceeded", EndKind.STOPPED),
        (HELD, "SomethingNew", EndKind.STOPPED),
        (TAKEN, "Stopped", EndKind.TAKEN),
        (TAKEN, "MaxWaitTimeExceeded", EndKind.TAKEN),
    ],
)
def test_stopped_is_never_a_success(course: tuple[tuple[str, float], ...], last: str, kind: EndKind) -> None:
    found = standing.end(seen(*course, (last, 60), status="Stopped"))
    assert found is not None
    assert (found.kind, found.at_utc) == (kind, START_UTC + 60)
    assert ("MaxWaitTimeInSeconds" in found.detail) == (last == "MaxWaitTimeExceeded")
    assert ("MaxRuntimeInSeconds" in found.detail) == (last == "MaxRuntimeExceeded")


BEFORE = (("Starting", 0), ("Failed", 9))
WITHIN = (("Starting", 0), ("Downloading", 1), ("Training", 2), ("Failed", 9))


@pytest.mark.parametrize(
    ("course", "reason", "kind", "words"),
    [
        (BEFORE, "CapacityError: Unable to provision", EndKind.NO_CAPACITY, "no capacity"),
        (WITHIN, "CapacityError: Unable to provision", EndKind.TAKEN, "no capacity"),
        (WITHIN, "InternalServerError: We encountered", EndKind.FAILED, "an error of its own"),
        (BEFORE, "ResourceLimitExceeded: quota", EndKind.FAILED, "quota"),
        (WITHIN, "ClientError: Data download failed", EndKind.FAILED, "its data or its settings"),
        (WITHIN, "AlgorithmError: ExecuteUserScriptError", EndKind.FAILED, "the program failed"),
        (WITHIN, "There was a CapacityError: today", EndKind.FAILED, "it failed"),
        (BEFORE, "", EndKind.FAILED, "before it had an instance"),
    ],
)
def test_failures_are_told_apart_by_the_code_in_front_and_by_nothing_else(
    course: tuple[tuple[str, float], ...], reason: str, kind: EndKind, words: str
) -> None:
    found = standing.end(seen(*course, status="Failed", FailureReason=reason))
    assert found is not None
    assert found.kind is kind
    assert words in found.detail
    assert reason in found.detail


def test_completed_is_a_success_when_training_ended() -> None:
    found = standing.end(seen(*WITHIN[:3], ("Completed", 9), status="Completed", TrainingEndTime=moment(12)))
    assert found is not None
    assert (found.kind, found.at_utc) == (EndKind.SUCCEEDED, START_UTC + 12)


@pytest.mark.parametrize("status", ["InProgress", "Stopping", "Deleting", "Elsewhere"])
def test_what_has_not_ended_has_no_end(status: str) -> None:
    assert standing.end(seen(*HELD, status=status)) is None


def test_held_is_the_time_on_instances_and_only_grows() -> None:
    answer = seen(*SPOT_NIGHT)
    assert standing.held_s(answer, START_UTC + 1000) == (500 - 100) + (1000 - 900)
    spans = [standing.held_s(answer, START_UTC + after_s) for after_s in range(0, 1200, 50)]
    assert spans == sorted(spans)
    assert standing.held_s(seen(*NEVER, ("Stopped", 60)), START_UTC + 90) == 0


def test_what_is_billed_is_aws_s_word_and_nothing_where_nothing_was_had() -> None:
    ended = seen(*HELD, ("Stopped", 60), status="Stopped")
    assert standing.billable_s(ended) is None
    assert standing.billable_s({**ended, "BillableTimeInSeconds": 17}) == 17.0
    assert standing.billable_s(seen(*NEVER, ("Stopped", 60), status="Stopped")) == 0.0
    assert standing.billable_s(seen(*HELD)) is None


def test_the_type_that_was_chosen_counts() -> None:
    assert standing.instance_type({"ResourceConfig": {"InstanceType": "ml.a"}}) == "ml.a"
    assert standing.instance_type({"ResourceConfig": {"SelectedInstanceType": "ml.b"}}) == "ml.b"


def test_of_a_metric_the_last_value_counts() -> None:
    data = [{"MetricName": "epoch", "Value": value, "Timestamp": moment(value)} for value in (3.0, 1.0, 2.0)]
    assert standing.metrics({"FinalMetricDataList": data}) == {"epoch": 3.0}
    assert standing.metrics({}) == {}


def test_phases_are_those_of_the_loop() -> None:
    assert set(standing.PHASES.values()) == {Phase.QUEUED, Phase.BOOTING, Phase.TRAINING, Phase.STOPPING}
