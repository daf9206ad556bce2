"""The doctor as a whole, and its smaller looks: nothing hides anything, and it comes to an end."""

from __future__ import annotations

import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Iterator

import pytest

from nightspot.backends.aws.doctor import findings
from nightspot.backends.aws.instancetypes import instance_types
from nightspot.backends.aws.look import Case, fine
from nightspot.backends.aws.settingscheck import checkpoint_path, clock, limits, prices
from nightspot.model.capacity import Market
from nightspot.model.change import changed
from nightspot.night.ports import Finding, Kind
from tests.backends.aws.answers import ME, Answers, job, pool, quotas_of, request


def found(clients: Answers, look: Any, *pools: Any, hours: float = 2.0) -> list[Finding]:
    return findings(job(*pools, hours=hours), clients, looks=(("it", look),))


def test_a_good_night_on_a_real_server_has_nothing_fatal_and_says_what_it_could_not_see(
    account: Answers, home: Path
) -> None:
    account.by_operation["ListServiceQuotas"] = quotas_of(spot=1, od=1)
    said = findings(job(), account, home)
    assert [one for one in said if one.fatal or one.kind is Kind.WRONG] == []
    assert [one.what for one in said][:2] == [
        "the quota 'ml.g5.xlarge for spot training job usage' in us-east-1 is 1, and 0 are in use: enough for pool spot",
        "the quota 'ml.g5.xlarge for training job usage' in us-east-1 is 1, and 0 are in use: enough for pool od",
    ]
    assert all(one.remedy == "" for one in said if one.kind is Kind.FINE)
    assert len(said) == len(set(said))


def test_the_order_is_that_of_what_it_costs_to_be_surprised_however_long_each_look_takes(far: Answers) -> None:
    first_may_end = threading.Event()

    def slow(_: Case) -> Iterator[Finding]:
        assert first_may_end.wait(5.0)
        yield fine("quota")

    def quick(_: Case) -> Iterator[Finding]:
        yield fine("clock")
        first_may_end.set()

    said = findings(job(), far, looks=(("quota", slow), ("clock", quick)))
    assert [one.what for one in said] == ["quota", "clock"]


def test_a_look_that_breaks_hides_no_other_and_keeps_what_it_had_found(far: Answers) -> None:
    def breaks(_: Case) -> Iterator[Finding]:
        yield fine("half")
        raise RuntimeError("odd")

    said = findings(job(), far, looks=(("the moon", breaks), ("the sun", lambda _: [fine("shines")])))
    assert [one.what for one in said] == [
        "half",
        "the moon cannot be checked: a fault of nightspot's own (RuntimeError('odd'))",
        "shines",
    ]


def test_a_look_without_an_answer_ends_with_the_budget_and_says_so(far: Answers) -> None:
    never = threading.Event()

    def hangs(_: Case) -> Iterator[Finding]:
        yield fine("before")
        never.wait(60.0)

    said = findings(job(), far, looks=(("the moon", hangs), ("the sun", lambda _: [fine("shines")])), budget_s=0.2)
    (left,) = [one for one in threading.enumerate() if one.name == "doctor: the moon"]
    assert left.daemon, "else the command could not end"
    never.set()
    assert [one.what for one in said] == ["before", "the moon: there was no answer within 0.2 s", "shines"]
    assert said[1].kind is Kind.UNCHECKED


class Portal(BaseHTTPRequestHandler):
    """Answers for AWS, as the network of a hotel does."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - http.server looks for these names

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def test_what_somebody_else_says_in_aws_s_name_is_not_believed(home: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Portal) as portal:
        threading.Thread(target=portal.serve_forever, args=(0.05,), daemon=True).start()
        said = findings(job(), Answers(f"http://127.0.0.1:{portal.server_port}"), home)
        portal.shutdown()
    assert [one.what for one in said if one.kind is Kind.WRONG] == []
    assert not any("fault of nightspot" in one.what for one in said)


def test_without_a_network_each_look_says_so(home: Path) -> None:
    said = findings(job(), Answers("http://127.0.0.1:1"), home)
    assert [one.what for one in said if one.kind is Kind.WRONG] == []
    assert sum("no connection" in one.what for one in said) >= 10


def test_a_job_without_sagemaker_pools_is_not_asked_about(far: Answers) -> None:
    assert findings(job(changed(pool(), backend="local")), far) == []
    assert far.calls == []


def test_all_that_is_asked_is_answered_by_code_never_by_text(far: Answers) -> None:
    """Errors carry no text here: every look must do with codes."""
    assert all(one.what for one in findings(job(), far))


@pytest.mark.parametrize("path", ["/opt/ml/model", "/opt/ml/model/ck", "/opt/ml/checkpoints/../model", "/opt/ml"])
def test_checkpoints_in_the_model_s_folder_are_fatal(far: Answers, path: str) -> None:
    there = pool(template=request(CheckpointConfig={"S3Uri": "s3://b/c", "LocalPath": path}))
    assert [one.fatal for one in found(far, checkpoint_path, there)] == [True]


@pytest.mark.parametrize("config", [{"S3Uri": "s3://b/c"}, {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/models"}])
def test_checkpoints_beside_the_model_are_fine(far: Answers, config: dict[str, str]) -> None:
    beside = pool(template=request(CheckpointConfig=config))
    assert [one.kind for one in found(far, checkpoint_path, beside)] == [Kind.FINE]


def test_a_misspelt_instance_type_is_warned_of_with_the_nearest_and_a_new_one_is_not_fatal(far: Answers) -> None:
    misspelt = changed(pool(), instance_type="ml.g5.xlarg")
    new = changed(pool(Market.ON_DEMAND), instance_type="ml.zz99.metal-96xl")
    several = pool(instance_types=["ml.g5.xlarge", "ml.p4d.24xlarg"])
    near, strange, one_of = found(far, instance_types, misspelt, new, several)
    assert {one.kind for one in (near, strange, one_of)} == {Kind.WRONG}
    assert not any(one.fatal for one in (near, strange, one_of))
    assert near.remedy.startswith("Did you mean ml.g5.xlarge? ")
    assert strange.remedy.startswith("AWS refuses"), "nothing is near"
    assert "asks for ml.p4d.24xlarg," in one_of.what
    assert found(far, instance_types)[0].kind is Kind.FINE
    assert far.calls == [], "known without a network"


def test_limits_that_are_shorter_than_the_work_are_warned_of(far: Answers) -> None:
    stopping = {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 5400}
    both = [pool(market, request(StoppingCondition=stopping)) for market in Market]
    said = [one.what for one in found(far, limits, *both) if one.kind is Kind.WRONG]
    assert said == [
        "max_run (MaxRuntimeInSeconds) is 1h, and the work takes 2h on pool spot",
        "max_wait (MaxWaitTimeInSeconds) is 1h30min, and the work takes 2h on pool spot",
        "max_run (MaxRuntimeInSeconds) is 1h, and the work takes 2h on pool od",
    ]
    quick = [changed(one, speed=3.0) for one in both]
    assert {one.kind for one in found(far, limits, *quick)} == {Kind.FINE}


@pytest.mark.parametrize(("off_s", "kind"), [(0, Kind.FINE), (-50, Kind.FINE), (-90, Kind.WRONG), (4000, Kind.WRONG)])
def test_the_clock_is_compared_with_the_date_of_an_answer(
    far: Answers, monkeypatch: pytest.MonkeyPatch, off_s: float, kind: Kind
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    far.date = formatdate(1_800_000_000.0 - off_s, usegmt=True)
    (only,) = found(far, clock)
    assert only.kind is kind
    if kind is Kind.WRONG:
        assert ("slow" if off_s < 0 else "fast") in only.what


def test_an_error_tells_the_time_too_and_without_a_date_nothing_is_guessed(far: Answers) -> None:
    far.by_operation["GetCallerIdentity"] = "ExpiredToken"
    far.date = formatdate(1.0, usegmt=True)
    assert "fast" in found(far, clock)[0].what
    far.date = None
    assert found(far, clock)[0].kind is Kind.UNCHECKED
    far.by_operation["GetCallerIdentity"] = ME
    assert found(far, clock)[0].kind is Kind.UNCHECKED


def test_who_says_what_it_costs_is_said(far: Answers, home: Path) -> None:
    told = changed(pool(price_known=True), price_usd_per_hour=0.61)
    private = pool(Market.ON_DEMAND, full_price_usd_per_hour=1.5)
    said = findings(job(told, private, pool()), far, home, looks=(("it", prices),))
    assert [one.what for one in said] == [
        "pool spot costs 0.61 USD an hour, by the job file",
        "pool od costs about 1.5 USD an hour (job file)",
        "what pool spot costs is not known: the bill cannot be told",
    ]
    assert said[-1].kind is Kind.UNCHECKED


def test_prices_that_an_emulator_does_not_know_are_one_line(account: Answers, home: Path) -> None:
    (only,) = findings(job(), account, home, looks=(("it", prices),))
    assert (only.kind, only.what.partition(" is")[0]) == (Kind.UNCHECKED, "what the pools spot, od cost")
    assert only.what.endswith("An emulator has no price list")
