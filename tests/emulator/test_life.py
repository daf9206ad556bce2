"""What becomes of a job: by capacity, limits, signals and faults. The machines have no program; the API is real.

So is the clock; but where something has to come before or after something else, the test says when: `leap`, in ticks of real minutes.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from nightspot.emulator.book import Book
from nightspot.emulator.folder import StateFolder
from nightspot.emulator.settings import Delays, Faults, Settings, Weather
from nightspot.emulator.weather import Sky
from nightspot.market import ALWAYS as ALWAYS_THERE
from nightspot.market import Generator
from nightspot.model.capacity import Market
from tests.emulator.stage import Stage, stage, statuses

NEVER = Weather("never")
G5, SPOT = "ml.g5.xlarge", Market.SPOT
TICK_S = 36_000.0  # ten real minutes: no test waits for the end of one, it leaps there
LONG_S = 1_000_000


def spans(*ticks: int) -> Weather:
    """Capacity by ticks: 1 is there, 0 is not. At its end it begins again."""
    document = {"metadata": {"gap_seconds": TICK_S}, "data": list(ticks)}
    return Weather("trace", name="trace", trace_text=json.dumps(document))


def did(at: Stage, name: str) -> list[list[str]]:
    return [machine.did for machine in at.fleet.of(name)]


def test_on_demand_trains_uploads_and_is_billed_in_full(tmp_path: Path) -> None:
    with stage(tmp_path, spot=NEVER) as at:
        at.create("fine", hyper={"run_real_s": "0.5"})
        job = at.over("fine")
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed")
        assert statuses(job) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
        assert job["TrainingTimeInSeconds"] == job["BillableTimeInSeconds"] >= 30
        assert job["ModelArtifacts"]["S3ModelArtifacts"] == "s3://bucket/fine/output/model.tar.gz"
        assert job["FinalMetricDataList"][0]["Value"] == 0.5
        assert did(at, "fine") == [["download", "start", "close", "upload", "discard"]]


def test_transitions_follow_each_other_without_a_gap_in_market_time(tmp_path: Path) -> None:
    with stage(tmp_path, time_scale=600.0) as at:
        at.create("told", hyper={"run_real_s": "0.2"})
        job = at.over("told")
        transitions = job["SecondaryStatusTransitions"]
        for before, after in pairwise(transitions):
            assert before["EndTime"] == after["StartTime"]
        assert transitions[0]["StartTime"] == job["CreationTime"]
        assert transitions[-1]["EndTime"] == job["TrainingEndTime"] == job["LastModifiedTime"]
        assert all(one["StatusMessage"] for one in transitions)
        # 0.2 real seconds of training are two market minutes.
        training = transitions[statuses(job).index("Training")]
        assert (training["EndTime"] - training["StartTime"]).total_seconds() >= 120


def test_spot_is_billed_by_its_factor(tmp_path: Path) -> None:
    with stage(tmp_path, spot_factor=0.3, spot_factors={"ml.g6.xlarge": 0.5}) as at:
        for name, kind in (("usual", G5), ("dearer", "ml.g6.xlarge")):
            at.create(name, spot=True, instance_type=kind, hyper={"run_real_s": "1"})
        for name, factor in (("usual", 0.3), ("dearer", 0.5)):
            job = at.over(name)
            assert job["BillableTimeInSeconds"] == pytest.approx(factor * job["TrainingTimeInSeconds"], abs=1)


def test_spot_that_never_came_ends_as_stopped_and_not_as_failed(tmp_path: Path) -> None:
    with stage(tmp_path, spot=NEVER) as at:
        at.create("queued", spot=True)
        assert at.until("queued", "Pending")["TrainingJobStatus"] == "InProgress"
        at.leap(7200)
        job = at.over("queued")
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
        assert statuses(job) == ["Starting", "Pending", "Stopping", "MaxWaitTimeExceeded"]
        assert not {"TrainingStartTime", "TrainingEndTime", "TrainingTimeInSeconds", "FailureReason"} & set(job)
        assert did(at, "queued") == []


def test_an_interrupted_job_starts_again_on_a_new_instance(tmp_path: Path) -> None:
    with stage(tmp_path, spot=NEVER, markets={(G5, SPOT): spans(1, 0, 1, 1)}) as at:
        at.create("tough", spot=True, run_s=LONG_S, wait_s=LONG_S, hyper={"run_real_s": "600,0"})
        at.until("tough", "Training")
        at.leap(TICK_S)
        at.until("tough", "Pending")
        at.leap(TICK_S)
        job = at.over("tough")
        assert job["TrainingJobStatus"] == "Completed"
        shown = [one for one in statuses(job) if one != "Pending"]
        first = ["Starting", "Downloading", "Training", "Interrupted"]
        assert shown == [*first, "Starting", "Downloading", "Training", "Uploading", "Completed"]
        assert did(at, "tough") == [
            ["download", "start", "terminate", "kill", "discard"],
            ["download", "start", "close", "upload", "discard"],
        ]
        held = [
            one
            for one in job["SecondaryStatusTransitions"]
            if one["Status"] in ("Downloading", "Training", "Uploading")
        ]
        held_s = sum((one["EndTime"] - one["StartTime"]).total_seconds() for one in held)
        assert job["TrainingTimeInSeconds"] == pytest.approx(held_s, abs=2)


def test_a_script_that_ends_well_on_an_interruptions_signal_has_not_completed(tmp_path: Path) -> None:
    """It saved and left: that is no model. What it had not finished is trained on the next instance."""
    with stage(tmp_path, markets={(G5, SPOT): spans(1, 0)}) as at:
        at.create("polite", spot=True, run_s=LONG_S, wait_s=LONG_S, hyper={"code_on_sigterm": "0"})
        at.until("polite", "Training")
        at.leap(TICK_S)
        job = at.until("polite", "Interrupted", "Pending", "Completed")
        assert job["TrainingJobStatus"] == "InProgress"
        assert at.until("polite", "Pending", "Completed")["SecondaryStatus"] == "Pending"


def test_capacity_may_go_without_a_signal(tmp_path: Path) -> None:
    with stage(tmp_path, markets={(G5, SPOT): spans(1, 0)}, faults=Faults(no_signal=True)) as at:
        at.create("silent", spot=True, run_s=LONG_S, wait_s=LONG_S)
        at.until("silent", "Training")
        at.leap(TICK_S)
        at.until("silent", "Interrupted", "Pending")
        assert did(at, "silent") == [["download", "start", "kill", "discard"]]


def test_on_demand_waits_for_capacity_and_is_not_taken_back(tmp_path: Path) -> None:
    markets = {(G5, Market.ON_DEMAND): spans(0, 1, 0, 0)}
    with stage(tmp_path, markets=markets) as at:
        at.create("dear", run_s=LONG_S)
        at.until("dear", "Pending")
        at.leap(TICK_S)
        at.until("dear", "Training")
        at.leap(TICK_S)  # nothing is there any more: for whoever asks now
        at.fleet.of("dear")[0].code = 0
        job = at.over("dear")
        assert statuses(job) == ["Starting", "Pending", "Downloading", "Training", "Uploading", "Completed"]


def test_of_preferred_types_the_first_with_capacity_is_selected(tmp_path: Path) -> None:
    with stage(tmp_path, markets={(G5, Market.ON_DEMAND): NEVER}) as at:
        preferences = [{"InstanceType": name} for name in (G5, "ml.g6.xlarge", "ml.p3.2xlarge")]
        resources = {"InstancePreferences": preferences, "InstanceCount": 1, "VolumeSizeInGB": 1}
        at.create("choosy", ResourceConfig=resources, hyper={"run_real_s": "0"})
        job = at.over("choosy")
        assert job["ResourceConfig"] == {
            **resources,
            "SelectedInstanceType": "ml.g6.xlarge",
            "SelectedInstanceCount": 1,
        }


def test_max_runtime_gives_sigterm_and_uploads_what_there_is(tmp_path: Path) -> None:
    with stage(tmp_path) as at:
        at.create("endless", run_s=7200)
        at.until("endless", "Training")
        at.leap(7200)
        job = at.over("endless")
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
        assert statuses(job)[-3:] == ["Stopping", "Uploading", "MaxRuntimeExceeded"]
        assert did(at, "endless") == [["download", "start", "terminate", "close", "upload", "discard"]]
        assert job["ModelArtifacts"]["S3ModelArtifacts"]


def test_max_runtime_spans_all_incarnations(tmp_path: Path) -> None:
    """No incarnation runs for as long as that; together they do."""
    run_s = int(1.5 * TICK_S)
    with stage(tmp_path, markets={(G5, SPOT): spans(1, 0)}, faults=Faults(no_signal=True)) as at:
        at.create("again", spot=True, run_s=run_s, wait_s=LONG_S)
        at.until("again", "Training")
        at.leap(TICK_S)
        at.until("again", "Pending")
        at.leap(TICK_S)
        at.until("again", "Training")
        at.leap(run_s - TICK_S)
        job = at.over("again")
        assert job["SecondaryStatus"] == "MaxRuntimeExceeded"
        assert statuses(job).count("Training") == 2
        assert job["TrainingTimeInSeconds"] >= run_s - 1


def test_max_wait_counts_waiting_and_running(tmp_path: Path) -> None:
    with stage(tmp_path, markets={(G5, SPOT): spans(0, 1, 1, 1)}) as at:
        at.create("late", spot=True, run_s=int(2 * TICK_S), wait_s=int(2 * TICK_S))
        at.until("late", "Pending")
        at.leap(TICK_S)
        at.until("late", "Training")
        at.leap(TICK_S)
        job = at.over("late")
        assert job["SecondaryStatus"] == "MaxWaitTimeExceeded"
        assert "Training" in statuses(job)
        assert job["TrainingTimeInSeconds"] < 2 * TICK_S


def test_max_pending_ends_the_wait_of_accelerated_types_only(tmp_path: Path) -> None:
    condition = {"MaxRuntimeInSeconds": 3600, "MaxPendingTimeInSeconds": 1800}
    markets = {(kind, Market.ON_DEMAND): NEVER for kind in (G5, "ml.m5.large")}
    with stage(tmp_path, time_scale=1800.0, markets=markets) as at:
        at.create("cpu", StoppingCondition=condition, instance_type="ml.m5.large")
        at.create("gpu", StoppingCondition=condition)
        assert at.over("gpu")["SecondaryStatus"] == "Stopped"
        assert at.job("cpu")["SecondaryStatus"] == "Pending"


@pytest.mark.parametrize("ignores", ["", "yes"])
def test_a_stopped_job_has_its_grace_then_uploads_what_it_has(tmp_path: Path, ignores: str) -> None:
    # Two market minutes: two seconds for the script that needs all of them, minutes for the one that ends at once and only has to be seen.
    with stage(tmp_path, time_scale=60.0 if ignores else 0.6, delays=Delays(*[0.1] * 5)) as at:
        at.create("stopped", hyper={"ignores_sigterm": ignores})
        at.until("stopped", "Training")
        at.client().stop_training_job(TrainingJobName="stopped")
        assert at.job("stopped")["TrainingJobStatus"] == "Stopping"
        at.client().stop_training_job(TrainingJobName="stopped")
        job = at.over("stopped")
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
        assert statuses(job)[-4:] == ["Training", "Stopping", "Uploading", "Stopped"]
        assert did(at, "stopped") == [["download", "start", "terminate", "close", "upload", "discard"]]
        stopping = job["SecondaryStatusTransitions"][-3]
        assert bool(ignores) == ((stopping["EndTime"] - stopping["StartTime"]).total_seconds() >= 119)
        with pytest.raises(ClientError, match="is in status Stopped"):
            at.client().stop_training_job(TrainingJobName="stopped")


def test_a_job_may_be_stopped_while_it_waits(tmp_path: Path) -> None:
    with stage(tmp_path, spot=NEVER) as at:
        at.create("waits", spot=True)
        at.until("waits", "Pending")
        at.client().stop_training_job(TrainingJobName="waits")
        job = at.over("waits")
        assert statuses(job) == ["Starting", "Pending", "Stopping", "Stopped"]
        assert did(at, "waits") == []


def test_a_job_may_be_stopped_while_it_downloads(tmp_path: Path) -> None:
    with stage(tmp_path, delays=Delays(1.0, 3600.0, 1.0, 1.0, 1.0)) as at:
        at.create("loads")
        at.until("loads", "Downloading")
        at.client().stop_training_job(TrainingJobName="loads")
        assert statuses(at.over("loads")) == ["Starting", "Downloading", "Stopping", "Stopped"]
        assert did(at, "loads") == [["download", "kill", "discard"]]


def test_a_stop_during_the_upload_leaves_the_model_and_no_completion(tmp_path: Path) -> None:
    with stage(tmp_path, delays=Delays(1.0, 1.0, 7200.0, 1.0, 1.0)) as at:
        at.create("nearly", hyper={"run_real_s": "0"})
        at.until("nearly", "Uploading")
        at.client().stop_training_job(TrainingJobName="nearly")
        at.leap(7200)
        job = at.over("nearly")
        assert (job["TrainingJobStatus"], statuses(job)[-3:]) == ("Stopped", ["Uploading", "Stopping", "Stopped"])
        assert job["ModelArtifacts"]["S3ModelArtifacts"]


def test_a_program_that_fails_is_failed_with_its_reason(tmp_path: Path) -> None:
    with stage(tmp_path) as at:
        at.create("bad", hyper={"run_real_s": "0", "exit_code": "1"}, RetryStrategy={"MaximumRetryAttempts": 3})
        job = at.over("bad")
        assert (job["TrainingJobStatus"], job["FailureReason"]) == ("Failed", "AlgorithmError: the script says no")
        assert statuses(job)[-2:] == ["Uploading", "Failed"]
        assert len(at.fleet.of("bad")) == 1


def test_bad_data_is_the_clients_error(tmp_path: Path) -> None:
    with stage(tmp_path) as at:
        at.create("empty", hyper={"bad_data": "no objects there"})
        job = at.over("empty")
        assert (job["TrainingJobStatus"], job["FailureReason"]) == ("Failed", "ClientError: no objects there")
        assert did(at, "empty") == [["download", "kill", "discard"]]


def test_a_bucket_that_takes_no_model_is_the_clients_error_except_of_a_stopped_job(tmp_path: Path) -> None:
    with stage(tmp_path) as at:
        at.create("no-bucket", hyper={"run_real_s": "0", "bad_bucket": "no such bucket"})
        at.create("stopped", hyper={"bad_bucket": "no such bucket"})
        at.until("stopped", "Training")
        at.client().stop_training_job(TrainingJobName="stopped")
        assert at.over("no-bucket")["FailureReason"] == "ClientError: no such bucket"
        job = at.over("stopped")
        assert (job["TrainingJobStatus"], job.get("FailureReason"), job.get("ModelArtifacts")) == (
            "Stopped",
            None,
            None,
        )


def test_what_is_over_stays_so_though_its_disk_cannot_be_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stage(tmp_path) as at:
        at.create("messy", hyper={"run_real_s": "0", "stuck_disk": "the disk is stuck"})
        at.over("messy")
    assert "the disk is stuck" in capsys.readouterr().err
    assert [(record.status, record.secondary) for record in Book(StateFolder(tmp_path).book).jobs()] == [
        ("Completed", "Completed")
    ]


def test_internal_errors_are_retried_as_often_as_the_request_allows(tmp_path: Path) -> None:
    with stage(tmp_path, time_scale=3600.0, faults=Faults(internal_error=1.0)) as at:
        at.create("unlucky", RetryStrategy={"MaximumRetryAttempts": 2}, run_s=86400)
        at.create("once", run_s=86400)
        job, once = at.over("unlucky"), at.over("once")
        assert job["FailureReason"].startswith("InternalServerError: ")
        assert statuses(job).count("Restarting") == 2
        assert statuses(job).count("Training") == 3
        assert statuses(once) == ["Starting", "Downloading", "Training", "Failed"]


def test_several_jobs_live_at_once(tmp_path: Path) -> None:
    with stage(tmp_path) as at:
        for number in range(8):
            at.create(f"job-{number}", hyper={"run_real_s": "0.2"})
        assert {at.over(f"job-{number}")["TrainingJobStatus"] for number in range(8)} == {"Completed"}


def test_a_restart_goes_on_where_it_was_and_running_jobs_have_lost_their_instance(tmp_path: Path) -> None:
    spot: dict[str, Any] = {"spot": True, "hyper": {"run_real_s": "0.5"}}
    with stage(tmp_path) as at:
        at.create("done", **spot, Tags=[{"Key": "a", "Value": "b"}])
        arn = at.over("done")["TrainingJobArn"]
        at.create("runs", spot=True, hyper={"run_real_s": "600"})
        at.create("waits", spot=True, instance_type="ml.g6.xlarge")
        before = at.until("runs", "Training")
    machine = at.fleet.of("runs")[0]
    assert machine.did[-2:] == ["kill", "discard"]
    with stage(tmp_path) as again:
        assert again.job("done")["SecondaryStatus"] == "Completed"
        assert again.client().list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
        job = again.until("runs", "Training")
        assert statuses(job)[:4] == ["Starting", "Downloading", "Training", "Interrupted"]
        assert job["CreationTime"] == before["CreationTime"]
        assert again.fleet.of("runs")[0].record.incarnation == 2
        with pytest.raises(ClientError, match="ResourceInUse"):
            again.create("done")


def test_no_job_begins_when_the_emulator_is_about_to_end(tmp_path: Path) -> None:
    with stage(tmp_path) as at:
        at.emulator.jobs.close()
        with pytest.raises(ClientError, match="ServiceUnavailable"):
            at.create("too-late")
        assert at.emulator.world.book.jobs() == []


def test_a_new_time_scale_does_not_move_market_time(tmp_path: Path) -> None:
    with stage(tmp_path, time_scale=3600.0) as at:
        before_utc = at.emulator.world.clock.now_utc()
    with stage(tmp_path, time_scale=1.0) as again:
        now_utc = again.emulator.world.clock.now_utc()
        assert before_utc <= now_utc < before_utc + 3600 * 60


def test_a_spec_means_the_same_capacity_wherever_it_is_given(tmp_path: Path) -> None:
    """From the market start of the state on; one for a single pool goes before the one for all of Spot."""
    own = {("ml.g6.xlarge", SPOT): Weather("generator", seed=8), (G5, Market.ON_DEMAND): Weather("generator", seed=7)}
    sky = Sky(Settings(state=tmp_path, spot=Weather("generator", seed=7), markets=own), 1e9)
    assert sky.trace(G5, SPOT) == sky.trace(G5, Market.ON_DEMAND) == Generator(7).trace(1e9)
    assert sky.trace("ml.g6.xlarge", SPOT) == Generator(8).trace(1e9)
    assert sky.trace("ml.g6.xlarge", Market.ON_DEMAND) == ALWAYS_THERE
