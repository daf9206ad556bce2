"""A past training job becomes a night: the request is its own, and each number says where it comes from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest

from nightspot.backends.aws.calls import Aws
from nightspot.jobfile import JobFile, check_fits, load_job, plan_night
from nightspot.jobfile.requestmodel import create_training_job
from nightspot.sagemaker import init
from nightspot.sagemaker.describing import request_of
from nightspot.sagemaker.init import files
from nightspot.sagemaker.measures import base_name, high, past_job, spot_share, work_s
from nightspot.sagemaker.onboarding import Onboarded, onboard
from nightspot.sagemaker.pastjobs import Heard
from tests.jobfile.files import EVENING_UTC
from tests.jobfile.requests import RECORDED
from tests.sagemaker.past import NAME, described, heard, spot


def written(folder: Path, known: Heard, name: str = "") -> JobFile:
    """The files that `init` writes, read again."""
    texts = files(onboard(known), name)
    (folder / "request.json").write_text(texts["request"])
    (folder / "nightspot.toml").write_text(texts["job"])
    return load_job(folder / "nightspot.toml")


def said(job: Onboarded) -> str:
    return " ".join(job.warnings)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        (NAME, "recommender"),
        ("recommender-2026-11-23-20-00-00", "recommender"),
        ("recommender-20261125T0700Z-0123abcd-001", "recommender"),
        ("recommender-20261125T070030Z-2-0123abcd-012", "recommender"),
        ("two-words-17", "two-words"),
        ("by-hand", "by-hand"),
    ],
)
def test_the_names_of_one_training_have_a_base_in_common(name: str, base: str) -> None:
    assert base_name(name) == base


def test_a_high_value_is_the_95th_percentile_of_enough_and_the_longest_and_more_of_few() -> None:
    assert high([]) is None
    assert high([100.0]) == 120.0
    assert high([50.0, 100.0]) == 120.0
    assert high([float(n) for n in range(1, 101)]) == 95.0
    assert high([1.0, 2.0, 3.0, 4.0, 5.0]) == 5.0


def test_spans_come_from_transitions_each_counted_once() -> None:
    job = described()
    job["SecondaryStatusTransitions"] = [
        *reversed(job["SecondaryStatusTransitions"]),
        job["SecondaryStatusTransitions"][3],
    ]
    seen = past_job(job)
    assert (seen.lead_s, seen.training_s, seen.uploading_s) == (240.0, 7200.0, 90.0)
    assert (seen.completed, seen.spot, seen.interruptions, seen.epochs) == (True, False, 0, 3.0)


def test_an_interrupted_job_counts_all_its_training_and_its_first_start_up() -> None:
    spans = (("Starting", 100), ("Training", 1000), ("Interrupted", 50), ("Starting", 500), ("Training", 3000))
    seen = past_job(spot("a-1", *spans))
    assert (seen.lead_s, seen.training_s, seen.interruptions, seen.spot) == (100.0, 4000.0, 1, True)


def test_a_job_that_never_trained_has_no_start_up_and_teaches_no_work() -> None:
    seen = past_job(described("a-1", ("Starting", 900), TrainingJobStatus="Stopped"))
    assert (seen.lead_s, seen.training_s) == (None, 0.0)
    assert work_s([seen], 3.0) == []


def test_work_of_other_numbers_of_epochs_is_scaled_to_ours() -> None:
    short = past_job(described("a-1", HyperParameters={"epochs": "1"}))
    plain = past_job(described("a-2", HyperParameters={"lr": "0.1"}))
    assert work_s([short, plain], 3.0) == [21600.0, 7200.0]
    assert work_s([short], None) == [7200.0]


def test_the_share_that_spot_paid_is_weighed_by_time_and_unknown_without_spot() -> None:
    one = past_job(spot("a-1", TrainingTimeInSeconds=1000, BillableTimeInSeconds=500))
    two = past_job(spot("a-2", TrainingTimeInSeconds=3000, BillableTimeInSeconds=700))
    assert spot_share([one, two, past_job(described())]) == (0.3, 2)
    assert spot_share([past_job(described())]) is None
    assert spot_share([past_job(spot("a-1", TrainingTimeInSeconds=None))]) is None


def test_the_request_has_only_fields_that_creating_takes_and_none_of_one_attempt() -> None:
    request = request_of(spot(NAME, Tags=[{"Key": "a", "Value": "b"}], VpcConfig={}))
    shape = create_training_job()
    assert shape is not None
    assert set(request) <= set(shape.members)
    gone = {"TrainingJobName", "StoppingCondition", "EnableManagedSpotTraining", "Tags", "VpcConfig", "TrainingJobArn"}
    assert not gone & set(request)
    kept = (
        "AlgorithmSpecification",
        "HyperParameters",
        "InputDataConfig",
        "RoleArn",
        "OutputDataConfig",
        "Environment",
    )
    assert {key: request[key] for key in kept} == {key: RECORDED[key] for key in kept}


def test_the_type_that_sagemaker_chose_is_the_type_and_a_warm_pool_is_not_taken_over() -> None:
    resources = {
        "InstancePreferences": [{"InstanceType": "ml.g5.xlarge"}, {"InstanceType": "ml.g6.xlarge"}],
        "SelectedInstanceType": "ml.g6.xlarge",
        "InstanceCount": 2,
        "VolumeSizeInGB": 30,
        "KeepAlivePeriodInSeconds": 600,
    }
    known = heard(described(ResourceConfig=resources))
    assert request_of(known.job)["ResourceConfig"] == {
        "InstanceType": "ml.g6.xlarge",
        "InstanceCount": 2,
        "VolumeSizeInGB": 30,
    }
    assert onboard(known).instance_type == "ml.g6.xlarge"


def test_an_attempt_of_ours_gives_back_the_users_own_source_and_the_base_of_its_checkpoints() -> None:
    run_id = "recommender-20261125T0700Z"
    parameters = {**RECORDED["HyperParameters"], "sagemaker_program": '"nightspot_entry.py"'}
    variables = {"FOO": "1", "NIGHTSPOT_SCRIPT": "train.py", "NIGHTSPOT_SOURCE": "s3://bkt/own/sourcedir.tar.gz"}
    uri = f"s3://bkt/ck/{run_id}"
    job = onboard(
        heard(
            spot(
                f"{run_id}-0123abcd-001",
                HyperParameters=parameters,
                Environment=variables,
                CheckpointConfig={"S3Uri": uri, "LocalPath": "/opt/ml/checkpoints"},
            )
        )
    )
    assert job.request["HyperParameters"]["sagemaker_program"] == '"train.py"'
    assert job.request["HyperParameters"]["sagemaker_submit_directory"] == '"s3://bkt/own/sourcedir.tar.gz"'
    assert job.request["Environment"] == {"FOO": "1"}
    assert (job.checkpoints, job.wrapper, job.name) == ("s3://bkt/ck", True, "recommender")


def test_the_night_is_planned_with_what_was_measured(tmp_path: Path) -> None:
    siblings = [described(f"recommender-2026-11-2{n}-20-00-00-123") for n in range(4)]
    night = plan_night(written(tmp_path, heard(described(), *siblings)), EVENING_UTC)
    check_fits(night.job, "nightspot.toml", night.start_utc, night.deadline_utc)
    job = night.job
    assert (job.name, job.work.units, job.work.unit, job.work.total_s) == ("recommender", 3.0, "epoch", 7200.0)
    bounds = [pool.bounds.lead_s for pool in job.pools if pool.bounds is not None]
    assert bounds == [600.0, 300.0], "Spot was never measured; on-demand took four minutes, and five is the least"
    assert job.tail_s == 600.0
    assert [pool.instance_type for pool in job.pools] == ["ml.g5.xlarge", "ml.g5.xlarge"]
    assert job.pools[0].options["region"] == "eu-central-1"


def test_jobs_on_other_machines_teach_nothing() -> None:
    other = {**RECORDED["ResourceConfig"], "InstanceType": "ml.p5.48xlarge"}
    slow = (("Starting", 3000.0), ("Training", 99999.0))
    job = onboard(heard(described(), described("recommender-1", *slow, ResourceConfig=other)))
    assert job.work.seconds == 8640.0
    assert job.work.why == "the longest of 1 job, and a fifth more"


def test_prices_are_estimates_with_their_source_or_left_to_be_looked_up(tmp_path: Path) -> None:
    known = heard(spot(NAME), described("recommender-1"), price=1.5)
    job_file = written(tmp_path, known)
    prices = [pool.price for pool in job_file.document.pools]
    assert prices == [pytest.approx(0.45), 1.5]
    text = (tmp_path / "nightspot.toml").read_text()
    assert "an estimate: 1 Spot job of these paid 30% of the on-demand price" in text
    assert "a price list, 2026-11-24" in text
    without = written(tmp_path, heard(spot(NAME), price=None))
    assert [pool.price for pool in without.document.pools] == [None, None]
    no_spot = written(tmp_path, heard(described(), price=1.5))
    assert [pool.price for pool in no_spot.document.pools] == [None, 1.5]


def test_a_job_that_never_saved_is_given_a_place_and_a_loud_warning(tmp_path: Path) -> None:
    known = heard(described())
    job_file = written(tmp_path, known)
    assert job_file.document.sagemaker is not None
    assert job_file.document.sagemaker.checkpoints == "s3://bkt/nightspot-checkpoints/recommender"
    assert "NEVER SAVED A CHECKPOINT" in said(onboard(known))
    text = re.sub(r"\n#\s+", " ", (tmp_path / "nightspot.toml").read_text())
    assert f"# WARNING: {NAME} NEVER SAVED A CHECKPOINT to a bucket." in text
    saving = onboard(heard(spot(NAME), files=("ckpt-0001.pt",)))
    assert "NEVER SAVED" not in said(saving)


@pytest.mark.parametrize(
    ("names", "progress", "pattern"),
    [
        (("MANIFEST.json", "model.safetensors"), "manifests", None),
        (("ckpt-0001.pt", "ckpt-0003.pt", "best.pt"), "files", "ckpt-*.pt"),
        (("ckpt-0001.pt", "ckpt-4800.pt"), "none", None),
        (("last.pt",), "none", None),
        ((), "none", None),
    ],
)
def test_what_lies_in_the_checkpoint_folder_says_what_tells_progress(
    tmp_path: Path, names: tuple[str, ...], progress: str, pattern: str | None
) -> None:
    known = heard(spot(NAME), files=names)
    document = written(tmp_path, known).document
    assert document.sagemaker is not None
    assert (document.sagemaker.progress, document.checkpoint.pattern) == (progress, pattern)
    assert ("Nothing tells how far training is" in said(onboard(known))) == (progress == "none")


def test_a_container_without_a_script_gets_no_wrapper(tmp_path: Path) -> None:
    known = heard(spot(NAME, HyperParameters={"max_depth": "5"}))
    document = written(tmp_path, known).document
    assert document.sagemaker is not None
    assert document.sagemaker.wrapper is False
    assert document.work.units is None
    assert "Our wrapper cannot travel with this job" in said(onboard(known))


def test_without_a_completed_job_only_its_limit_is_known_and_that_is_said(tmp_path: Path) -> None:
    known = heard(spot(NAME, ("Starting", 100), TrainingJobStatus="Failed"))
    assert written(tmp_path, known).document.work.total == 3600.0
    assert "None of these jobs was completed" in said(onboard(known))


def test_a_long_training_opens_the_window_earlier_and_one_longer_than_a_night_is_said(tmp_path: Path) -> None:
    start = written(tmp_path, heard(described(NAME, ("Starting", 60), ("Training", 10 * 3600)))).document.deadline.start
    assert str(start) == "13:00:00"
    assert "little room for Spot" in said(onboard(heard(described(NAME, ("Training", 20 * 3600)))))


def test_the_users_own_limits_are_left_out_and_told(tmp_path: Path) -> None:
    written(tmp_path, heard(described()))
    text = (tmp_path / "nightspot.toml").read_text()
    assert "# Its limits then (MaxRuntimeInSeconds 3600, MaxWaitTimeInSeconds 7200)" in text
    assert "StoppingCondition" not in json.loads((tmp_path / "request.json").read_text())


@pytest.mark.parametrize("name", ["A_b.C", "x" * 63, "-", "17"])
def test_any_jobs_name_makes_a_file_that_loads(tmp_path: Path, name: str) -> None:
    assert written(tmp_path, heard(described(name))).name
    assert written(tmp_path, heard(described(name)), name="Shop Window").name == "shop-window"


def test_every_option_that_is_commented_out_is_right_where_it_stands(tmp_path: Path) -> None:
    written(tmp_path, heard(spot(NAME)))
    text = (tmp_path / "nightspot.toml").read_text()
    options = [line for line in text.splitlines() if re.match(r"# (\w+ = |\[(hooks|emulator)\])", line)]
    assert len(options) >= 10
    open_: Any = text
    for line in options:
        if not re.search("risk|source|data|hooks", line):
            (tmp_path / "one.toml").write_text(text.replace(line, line[2:]))
            load_job(tmp_path / "one.toml")
        open_ = open_.replace(line, line[2:])
    (tmp_path / "all.toml").write_text(open_)
    document = load_job(tmp_path / "all.toml").document
    assert document.hooks.risk is not None
    assert document.emulator is not None
    assert document.emulator.data == {"train": "data/train"}


def test_it_is_short_enough_to_read(tmp_path: Path) -> None:
    written(tmp_path, heard(described(), spot("recommender-1"), price=1.5))
    lines = (tmp_path / "nightspot.toml").read_text().splitlines()
    assert len(lines) < 95
    assert max(len(line) for line in lines) <= 140


class PriceList:
    """AWS's price list, with one price in it."""

    def plain_client(self, _service: str, _region: str, /) -> PriceList:
        return self

    def get_products(self, **_asked: Any) -> dict[str, Any]:
        dimension = {"unit": "Hrs", "pricePerUnit": {"USD": "1.5"}}
        product = {"terms": {"OnDemand": {"a": {"priceDimensions": {"b": dimension}}}}}
        return {"PriceList": [json.dumps(product)]}


def test_the_list_price_is_of_all_instances_and_a_home_is_not_needed(tmp_path: Path) -> None:
    resources = {**RECORDED["ResourceConfig"], "InstanceCount": 4}
    known = heard(described(ResourceConfig=resources))
    priced = init.with_price(known, tmp_path / "no home yet", cast("Aws", PriceList()))
    assert priced.price_usd_per_hour == 6.0
    assert priced.price_source.startswith("AWS's price list for eu-central-1, 20")


def test_without_a_price_list_the_night_is_planned_all_the_same(
    tmp_path: Path, no_aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert init.with_price(heard(described()), tmp_path, Aws()).price_usd_per_hour is None
