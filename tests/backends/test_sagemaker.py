"""The backend against a real emulator: once for each token, ours and not ours, words, ends that AWS has forgotten."""

from __future__ import annotations

import dataclasses
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from nightspot.backends.aws.abilities import LAG_S
from nightspot.backends.aws.jobs import TrainingJobs
from nightspot.backends.aws.request import RUN_TAG, training_job
from nightspot.backends.registry import BackendContext
from nightspot.backends.sagemaker import SageMakerBackend
from nightspot.errors import Unsure
from nightspot.model.capacity import Market
from nightspot.model.events import RefusalReason
from nightspot.night.ports import Bill, EndKind, Handle, LaunchSpec, Refused, SavedCheckpoint
from tests.backends.emulated import BUCKET, Emulation, template
from tests.backends.specs import HOUR_S, job, pool, spec


class Account:
    """One account; homes that launch in it. Each test has a run of its own."""

    def __init__(self, emulation: Emulation, folder: Path) -> None:
        self.emulation, self.folder = emulation, folder
        self.run_id = f"night-{uuid.uuid4().hex[:8]}-20261125T0700Z"
        self.sagemaker = emulation.client("sagemaker")

    def home(self, name: str = "home") -> SageMakerBackend:
        now_utc = self.emulation.now_utc()
        return SageMakerBackend(BackendContext(self.folder / name, now_utc, now_utc, self.emulation.real_utc))

    def spec(self, nonce: str = "aaaa", number: int = 1, request: Any = None, **changes: Any) -> LaunchSpec:
        asked = pool(request if request is not None else template(), **changes)
        token = f"{self.run_id}-{nonce}-{number:03d}"
        not_after_utc = self.emulation.now_utc() + 8 * HOUR_S
        return spec(asked, run_id=self.run_id, token=token, number=number, not_after_utc=not_after_utc)

    def launched(self, asked: LaunchSpec, home: str = "home") -> Handle:
        handle = self.home(home).launch(asked, self.emulation.now_utc())
        assert isinstance(handle, Handle), handle
        return handle

    def refused(self, asked: LaunchSpec) -> Refused:
        """And it stays so, whoever asks, and nothing of it runs."""
        answer = self.home().launch(asked, self.emulation.now_utc())
        assert isinstance(answer, Refused), answer
        assert self.home().launch(asked, self.emulation.now_utc()) == answer
        assert list(self.home().live(self.run_id)) == []
        return answer

    def create(self, asked: LaunchSpec, **changes: Any) -> None:
        """As somebody else would, or a request whose answer was lost."""
        self.sagemaker.create_training_job(**{**training_job(asked, self.emulation.now_utc()), **changes})

    def status(self, token: str) -> str:
        return str(self.sagemaker.describe_training_job(TrainingJobName=token)["TrainingJobStatus"])

    def over(self, token: str) -> None:
        until_s = time.monotonic() + 60.0
        while self.status(token) in ("InProgress", "Stopping"):
            assert time.monotonic() < until_s
            time.sleep(0.1)


@pytest.fixture
def account(still: Emulation, tmp_path: Path) -> Account:
    return Account(still, tmp_path)


def test_the_job_says_whose_it_is(account: Account) -> None:
    handle = account.launched(account.spec())
    seen = account.sagemaker.describe_training_job(TrainingJobName=handle.token)
    found = account.sagemaker.list_tags(ResourceArn=seen["TrainingJobArn"])["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in found}[RUN_TAG] == account.run_id
    assert seen["EnableManagedSpotTraining"]
    assert account.home().find(handle.token) == handle


def test_a_quota_of_nothing_is_a_refusal_of_its_own(account: Account) -> None:
    answer = account.refused(account.spec(instance_type="ml.p4d.24xlarge"))
    assert answer.reason is RefusalReason.QUOTA
    assert "quota" in answer.message


def test_a_request_that_aws_refuses_is_invalid_with_aws_s_words(account: Account) -> None:
    answer = account.refused(account.spec(request={**template(), "OutputDataConfig": {"S3OutputPath": "nowhere"}}))
    assert answer.reason is RefusalReason.INVALID
    assert "s3OutputPath" in answer.message


@pytest.mark.parametrize("request_", [{"ResourceConfig": {"InstanceGroups": [{}]}}, {"RoleArn": 7}])
def test_a_template_of_which_no_request_can_be_made_is_invalid(account: Account, request_: Any) -> None:
    assert account.refused(account.spec(request=request_)).reason is RefusalReason.INVALID


def test_a_wrapper_that_cannot_travel_is_a_refusal_that_says_why(account: Account) -> None:
    without = {key: value for key, value in template().items() if key != "HyperParameters"}
    answer = account.refused(account.spec(request=without, options={"wrapper": True}))
    assert answer.reason is RefusalReason.INVALID
    assert "wrapper = false" in answer.message
    gone = template() | {
        "HyperParameters": template()["HyperParameters"] | {"sagemaker_submit_directory": f"s3://{BUCKET}/none"}
    }
    assert (
        account.refused(account.spec(number=2, request=gone, options={"wrapper": True})).reason is RefusalReason.INVALID
    )


def test_a_token_that_is_no_name_is_refused_and_not_found(account: Account) -> None:
    for token in ("a" * 64, "../../x", "a_b"):
        asked = dataclasses.replace(account.spec(), token=token)
        answer = account.home().launch(asked, account.emulation.now_utc())
        assert isinstance(answer, Refused)
        assert account.home().find(token) is None


def test_a_launch_whose_answer_was_lost_is_adopted(account: Account) -> None:
    asked = account.spec()
    account.home()._note(asked.token).intend(asked, account.emulation.now_utc())
    account.create(asked)
    found = account.home().find(asked.token)
    assert found == account.launched(asked) == Handle(asked.token, asked.pool.id, asked.token)
    assert list(account.emulation.jobs()).count(asked.token) == 1


def test_a_job_of_our_name_that_is_not_ours_is_refused_and_left_alone(account: Account) -> None:
    asked = account.spec()
    account.create(asked, Tags=[{"Key": RUN_TAG, "Value": "somebody-else"}])
    answer = account.refused(asked)
    assert answer.reason is RefusalReason.INVALID
    assert "not of run" in answer.message
    assert account.home().find(asked.token) is None
    assert account.status(asked.token) == "InProgress"


def test_a_colleagues_night_of_the_same_name_and_deadline_is_not_ours_to_stop(account: Account) -> None:
    mine, theirs = account.spec("aaaa"), account.spec("bbbb")
    handle = account.launched(mine)
    account.launched(theirs, "their-home")
    assert list(account.home().live(account.run_id)) == [handle]
    assert list(account.home("a-new-home").live(account.run_id)) == []


def test_a_request_carried_out_after_it_was_given_up_is_listed_so_that_it_is_stopped(account: Account) -> None:
    asked = account.spec()
    account.home()._note(asked.token).intend(asked, account.emulation.now_utc())
    assert account.home().find(asked.token) is None
    account.create(asked)
    (stranger,) = account.home().live(account.run_id)
    account.home().tell(stranger, "stop", account.emulation.now_utc())
    assert account.status(asked.token) in ("Stopping", "Stopped")


def test_another_home_finds_what_this_one_launched_and_follows_it(account: Account) -> None:
    handle = account.launched(account.spec())
    found = account.home("other").find(handle.token)
    assert found is not None
    account.home("other").tell(found, "stop", account.emulation.now_utc())
    account.over(handle.token)
    ended = account.home("other").poll(found, 0, account.emulation.now_utc()).ended
    assert ended is not None
    assert ended.kind is EndKind.NO_CAPACITY


def test_words_lie_beside_the_checkpoints_where_the_wrapper_listens(account: Account) -> None:
    asked = account.spec(options={"wrapper": True})
    handle = account.launched(asked)
    for word in ("checkpoint", "go", "stop", "stop"):
        account.home().tell(handle, word, account.emulation.now_utc())
    prefix = f"ck/{account.run_id}-control/{asked.token}/"
    assert {f"{prefix}{word}" for word in ("checkpoint", "go", "stop")} <= set(account.emulation.keys(prefix))
    with pytest.raises(ValueError, match="no word"):
        account.home().tell(handle, "hurry", account.emulation.now_utc())


def test_the_wrapper_is_told_when_its_time_is_over_by_a_real_clock(account: Account) -> None:
    now_utc = account.emulation.now_utc()
    asked = dataclasses.replace(account.spec(options={"wrapper": True}), not_after_utc=now_utc + 8 * HOUR_S)
    compressed = BackendContext(account.folder / "home", now_utc, now_utc, 5000.0, 60.0)
    sent = SageMakerBackend(compressed)._request(asked, now_utc)
    assert float(sent["Environment"]["NIGHTSPOT_NOT_AFTER"]) == pytest.approx(5000.0 + 8 * 60.0)


def test_a_stop_does_not_depend_on_the_bucket(account: Account) -> None:
    handle = account.launched(account.spec())
    note = account.home()._note(handle.token)
    intent = note.intent
    assert intent is not None
    nowhere = {**intent.spec.pool.options, "checkpoints": "s3://no-such-bucket/ck", "wrapper": True}
    other = dataclasses.replace(intent.spec, pool=dataclasses.replace(intent.spec.pool, options=nowhere))
    (note.folder / "intent.json").unlink()
    note.intend(other, intent.asked_utc)
    with pytest.raises(Unsure):
        account.home().tell(handle, "checkpoint", account.emulation.now_utc())
    account.home().tell(handle, "stop", account.emulation.now_utc())
    assert account.status(handle.token) in ("Stopping", "Stopped")


def test_a_deleted_job_is_lost_but_one_that_is_young_may_just_not_be_seen_yet(account: Account) -> None:
    asked = account.spec()
    handle = account.launched(asked)
    account.home().tell(handle, "stop", account.emulation.now_utc())
    account.over(handle.token)
    account.sagemaker.delete_training_job(TrainingJobName=handle.token)
    with pytest.raises(Unsure):
        account.home().poll(handle, 0, account.emulation.now_utc())
    later_utc = account.emulation.now_utc() + LAG_S + 1
    ended = account.home().poll(handle, 0, later_utc).ended
    assert ended is not None
    assert (ended.kind, account.home().poll(handle, 0, later_utc + 60).ended) == (EndKind.LOST, ended)


def test_what_was_launched_and_is_not_there_is_unsure(account: Account) -> None:
    asked = account.spec()
    account.home()._note(asked.token).intend(asked, account.emulation.now_utc())
    with pytest.raises(Unsure):
        account.home().poll(Handle(asked.token, asked.pool.id, asked.token), 0, account.emulation.now_utc() + HOUR_S)


def test_what_never_began_costs_nothing_and_what_is_not_known_costs_nobody_knows_what(account: Account) -> None:
    refused = account.spec(instance_type="ml.p4d.24xlarge")
    account.refused(refused)
    now_utc = account.emulation.now_utc()
    assert account.home().bill(Handle(refused.token, refused.pool.id), now_utc) == Bill(0.0, 0.0)
    assert account.home("other").bill(Handle(refused.token, refused.pool.id), now_utc) is None
    intended = account.spec(number=2)
    account.home()._note(intended.token).intend(intended, now_utc)
    assert account.home().bill(Handle(intended.token, intended.pool.id), now_utc) is None


def test_a_metric_tells_how_far_it_is_and_never_goes_back(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = account.launched(account.spec(options={"progress": "metric", "progress_metric": "epoch"}))
    describe = TrainingJobs.describe
    told = [0.0]

    def with_metric(jobs: TrainingJobs, name: str) -> Any:
        metric = {"MetricName": "epoch", "Value": told[0]}
        return {**(describe(jobs, name) or {}), "FinalMetricDataList": [metric]}

    monkeypatch.setattr(TrainingJobs, "describe", with_metric)
    units = []
    for value in (2.0, 7.0, 3.0, 1e6):  # the job has 10: more counts something else
        told[0] = value
        report = account.home().poll(handle, 0, account.emulation.now_utc())
        units.append(report.units_done)
        assert not [news for news in report.news if isinstance(news, SavedCheckpoint)]
    assert units == [2.0, 7.0, 7.0, 7.0]


def test_a_disk_that_fails_is_unsure_and_nothing_is_launched(account: Account) -> None:
    (account.folder / "home").write_text("a file where a folder should be")
    asked = account.spec()
    with pytest.raises(Unsure):
        account.home().launch(asked, account.emulation.now_utc())
    assert asked.token not in account.emulation.jobs()


def test_check_finds_a_name_too_long_and_time_that_cannot_be_compressed(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightspot.backends.aws.doctor.LOOKS", ())
    monkeypatch.setattr("nightspot.backends.aws.doctor.findings.__defaults__", (None, (), 1.0))
    sound = dataclasses.replace(job(pool(template())), time_scale=60.0)
    assert list(account.home().check(sound)) == []
    long = dataclasses.replace(sound, name="a" * 31)
    assert [finding.fatal for finding in account.home().check(long)] == [True]
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert [finding.fatal for finding in account.home().check(sound)] == [True]
    assert list(account.home().check(dataclasses.replace(sound, time_scale=1.0))) == []


def test_a_price_is_never_an_error(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    on_demand = pool(template(), Market.ON_DEMAND)
    assert account.home().quote(on_demand, job(on_demand)) is None
