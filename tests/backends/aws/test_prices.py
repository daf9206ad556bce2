"""Prices: from AWS's list, from what Spot cost before, from what was heard last; never in anybody's way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from nightspot.backends.aws.prices import FRESH_S, PRICE_FILE, SPOT_SHARE_ASSUMED, quote
from nightspot.model.capacity import Market
from nightspot.night.ports import Quote
from tests.backends.aws.answers import Answers, job, pool, request
from tests.backends.aws.test_quotas import summary, training

NOW_UTC = 1_800_000_000.0
JOB = job()


def product(usd: str, unit: str = "Hrs") -> str:
    """As the price list has it: JSON in a text."""
    term = {"priceDimensions": {"x.1": {"unit": unit, "pricePerUnit": {"USD": usd}}}}
    return json.dumps({"product": {}, "terms": {"OnDemand": {"x": term}}})


def listed(*products: str) -> dict[str, Any]:
    return {"FormatVersion": "aws_v1", "PriceList": list(products)}


def ask(
    clients: Answers, home: Path, market: Market = Market.ON_DEMAND, at_s: float = 0.0, **options: Any
) -> Quote | None:
    return quote(pool(market, **options), JOB, clients, home, NOW_UTC + at_s)


def usd(found: Quote | None) -> float:
    assert found is not None
    return found.usd_per_hour


@pytest.fixture
def priced(far: Answers) -> Answers:
    far.by_operation["GetProducts"] = listed(product("1.4080000000"))
    return far


def test_the_list_price_of_the_type_in_its_region_for_training(priced: Answers, home: Path) -> None:
    assert ask(priced, home) == Quote(1.408, "AWS's price list for us-east-1", NOW_UTC)
    ((service, _, asked),) = [call for call in priced.calls if call[1] == "GetProducts"]
    assert (service, asked["ServiceCode"]) == ("pricing", "AmazonSageMaker")
    assert {one["Field"]: one["Value"] for one in asked["Filters"]} == {
        "regionCode": "us-east-1",
        "instanceName": "ml.g5.xlarge",
        "component": "Training",
    }


def test_all_instances_of_the_attempt_are_counted(priced: Answers, home: Path) -> None:
    two = request(ResourceConfig={"InstanceType": "ml.g5.xlarge", "InstanceCount": 2})
    assert usd(ask(priced, home, template=two)) == pytest.approx(2 * 1.408)


def test_free_and_odd_entries_are_left_out_and_the_dearest_counts(far: Answers, home: Path) -> None:
    entries = [product("0.0"), product("9.0", unit="GB"), product("1.1"), product("1.3")]
    far.by_operation["GetProducts"] = listed(*entries)
    assert usd(ask(far, home)) == 1.3


def test_of_several_types_the_dearest_counts_and_one_without_a_price_leaves_all_open(far: Answers, home: Path) -> None:
    prices = {"ml.g5.xlarge": ["1.4"], "ml.g5.2xlarge": ["1.5"], "ml.p4d.24xlarge": []}

    def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
        (name,) = [one["Value"] for one in asked["Filters"] if one["Field"] == "instanceName"]
        return listed(*[product(usd) for usd in prices[name]])

    far.by_operation["GetProducts"] = answer
    assert usd(ask(far, home, instance_types=["ml.g5.2xlarge", "ml.g5.xlarge"])) == 1.5
    assert ask(far, home, instance_types=["ml.g5.xlarge", "ml.p4d.24xlarge"]) is None


def test_a_price_heard_today_is_not_asked_for_again(priced: Answers, home: Path) -> None:
    ask(priced, home)
    priced.by_operation["GetProducts"] = listed(product("7"))
    again = ask(priced, home, at_s=FRESH_S - 1)
    assert again == Quote(1.408, "AWS's price list for us-east-1", NOW_UTC)
    assert priced.names().count("GetProducts") == 1
    assert usd(ask(priced, home, at_s=FRESH_S)) == 7


@pytest.mark.parametrize(
    "failure",
    ["AccessDeniedException", EndpointConnectionError(endpoint_url="x"), NoCredentialsError(), listed(), listed("{")],
)
def test_where_aws_does_not_answer_the_last_price_is_given_with_its_age_else_none(
    priced: Answers, home: Path, failure: Any
) -> None:
    late_s = 40 * 86400.0
    assert ask(priced, home) is not None
    priced.by_operation["GetProducts"] = failure
    assert ask(priced, home, at_s=late_s) == Quote(1.408, "AWS's price list for us-east-1", NOW_UTC)
    (home / PRICE_FILE).unlink()
    assert ask(priced, home, at_s=late_s) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"us-east-1 ml.g5.xlarge": {"usd_per_hour": "x"}}'])
def test_a_price_file_that_makes_no_sense_is_as_good_as_none_and_is_replaced(
    priced: Answers, home: Path, text: str
) -> None:
    (home / PRICE_FILE).write_text(text)
    assert usd(ask(priced, home)) == 1.408
    assert json.loads((home / PRICE_FILE).read_text())["us-east-1 ml.g5.xlarge"]["usd_per_hour"] == 1.408


def test_a_home_that_is_not_there_costs_nothing_but_the_memory(priced: Answers, home: Path) -> None:
    assert usd(ask(priced, home / "absent")) == 1.408
    assert not (home / "absent").exists()


def test_other_types_and_regions_stay_in_the_file(priced: Answers, home: Path) -> None:
    ask(priced, home)
    ask(priced, home, region="eu-west-1")
    assert set(json.loads((home / PRICE_FILE).read_text())) == {"us-east-1 ml.g5.xlarge", "eu-west-1 ml.g5.xlarge"}


def test_a_private_rate_wins_and_nobody_is_asked(priced: Answers, home: Path) -> None:
    assert ask(priced, home, full_price_usd_per_hour=1.0) == Quote(1.0, "job file")
    assert "GetProducts" not in priced.names()


def test_spot_without_a_past_is_an_assumption_and_says_so(priced: Answers, home: Path) -> None:
    found = ask(priced, home, Market.SPOT)
    assert usd(found) == pytest.approx(1.408 * SPOT_SHARE_ASSUMED)
    assert found is not None
    assert found.source.endswith("of which Spot is assumed to cost 35%")


def past(**trainings: dict[str, Any]) -> dict[str, Any]:
    """Completed trainings of the account, by name (with _ for -)."""
    named = {name.replace("_", "-"): one for name, one in trainings.items()}
    return {
        "ListTrainingJobs": {"TrainingJobSummaries": [summary(name) for name in named]},
        "DescribeTrainingJob": lambda asked: named[asked["TrainingJobName"]],
    }


def trained(billed_s: int, spot: bool = True, name: str = "ml.g5.xlarge") -> dict[str, Any]:
    return {**training(spot, name=name), "BillableTimeInSeconds": billed_s, "TrainingTimeInSeconds": 1000}


def test_spot_costs_what_this_job_s_own_nights_paid_and_no_other_s(priced: Answers, home: Path) -> None:
    priced.by_operation |= past(
        rec_1=trained(300),
        rec_2=trained(500),
        rec_3=trained(1000, spot=False),
        rec_4=trained(10, name="ml.m5.large"),
        rec_5=training(spot=True),
        not_rec_6=trained(0),
    )
    found = ask(priced, home, Market.SPOT)
    assert usd(found) == pytest.approx(1.408 * 0.4)
    assert found is not None
    assert "this job's last 2 on Spot paid 40%" in found.source
    assert {params["TrainingJobName"] for _, name, params in priced.calls if name == "DescribeTrainingJob"} == {
        f"rec-{number}" for number in range(1, 6)
    }


def test_a_past_that_cannot_be_seen_leaves_the_assumption(priced: Answers, home: Path) -> None:
    priced.by_operation |= past(rec_1=trained(300))
    priced.by_operation["DescribeTrainingJob"] = "AccessDeniedException"
    assert usd(ask(priced, home, Market.SPOT)) == pytest.approx(1.408 * SPOT_SHARE_ASSUMED)
