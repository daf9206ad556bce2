"""A night that is planned has one identity, whole paths, and can be in time."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.errors import JobFileError
from nightspot.jobfile import JobFile, PlannedNight, check_fits, load_job, plan_night
from nightspot.jobfile.pools import pool_ids
from nightspot.jobfile.pooltable import PoolTable
from nightspot.model.capacity import Bounds, Market
from nightspot.model.events import RunOpened
from nightspot.model.job import Checkpointing, Hooks, Limits, OnLimit, PolicyChoice, Work
from nightspot.night.codec import decode, encode
from tests.jobfile.files import EVENING_UTC, JOB, job_in, utc, written

RUN_ID = "demo-20261125T0700Z"
EVERYTHING = (
    "time_scale=60",
    "policy={name='timed-fallback'}",
    'artifact={path="out/{night}.pt",publish="models/{name}.pt"}',
    "directory=.",
    'environment={WHERE="{artifact}", NIGHT="{night}{{x}}"}',
    "deadline.reserve=10min",
    "deadline.extend=2h",
    "deadline.guard_pools=2",
    "deadline.miss_means=Yesterday's model.",
    "checkpoint={directory='{run_id}/c',interval='5min',pattern='c-*.pt'}",
    "limits={attempts=9,failures=2,cost=50,on_limit='stop',no_progress='1h'}",
    "hooks={success='a',failure='b',risk='c',risk_after='1min',risk_slack='2min'}",
    "training.hyperparameters={lr=0.1,deep={layers=[1,2]}}",
    "training.channels={train='data/{night}',far='s3://bucket/{name}'}",
    "training.sagemaker=true",
    "pools.spot.capacity={seed=7,scale='1h',first='up'}",
)


def planned(job_file: JobFile, now_utc: float = EVENING_UTC, suffix: str = "") -> PlannedNight:
    return plan_night(job_file, now_utc, suffix, lambda run_id: Path("/runs") / run_id)


def test_a_run_is_its_job_and_its_deadline_in_utc(tmp_path: Path) -> None:
    night = planned(job_in(tmp_path))
    assert (night.run_id, night.night_label) == (RUN_ID, "2026-11-25")
    assert (night.start_utc, night.deadline_utc) == (utc(2026, 11, 24, 19), utc(2026, 11, 25, 7))
    assert planned(job_in(tmp_path), suffix="-2").run_id == RUN_ID + "-2"
    assert planned(job_in(tmp_path, "deadline.at=08:00:30")).run_id == "demo-20261125T070030Z"


@settings(deadline=None)
@given(st.floats(utc(2026, 11, 24, 7), utc(2026, 11, 25, 6, 59)))
def test_all_night_long_the_same_file_is_the_same_night(
    tmp_path_factory: pytest.TempPathFactory, now_utc: float
) -> None:
    job_file = job_in(tmp_path_factory.getbasetemp())
    night = planned(job_file, now_utc)
    assert dataclasses.replace(night, market_now_utc=0.0) == dataclasses.replace(planned(job_file), market_now_utc=0.0)
    assert night.market_now_utc == now_utc


@settings(deadline=None)
@given(st.floats(utc(2026, 1, 1), utc(2027, 1, 1)), st.sampled_from(["", "deadline.at=2026-11-25T08:00:00"]))
def test_a_compressed_night_begins_at_once_and_has_its_whole_window_whatever_the_time(
    tmp_path_factory: pytest.TempPathFactory, now_utc: float, absolute: str
) -> None:
    job_file = job_in(tmp_path_factory.getbasetemp(), "time_scale=600", *filter(None, [absolute]))
    night = planned(job_file, now_utc)
    assert night.market_now_utc == night.start_utc
    assert 11 * 3600 <= night.deadline_utc - night.start_utc <= 13 * 3600
    check_fits(night.job, job_file.file, night.start_utc, night.deadline_utc)


def test_a_compressed_night_without_a_start_begins_now_and_cannot_lie_in_the_past(tmp_path: Path) -> None:
    path = written(tmp_path, JOB.replace('start = "20:00"\n', ""))
    night = planned(load_job(path, ["time_scale=60"]))
    assert night.market_now_utc == night.start_utc == EVENING_UTC
    with pytest.raises(JobFileError, match=r"deadline\.at = .* this was 10d11h ago"):
        planned(load_job(path, ["time_scale=60", "deadline.at=2026-11-14T08:00:00"]))


def test_placeholders_stand_for_this_night_and_literal_braces_stay(tmp_path: Path) -> None:
    words = "{night} {deadline} {run_id} {name} {run_folder} {checkpoint_dir} {artifact} {python} {{night}} {{{name}}}"
    training = planned(job_in(tmp_path, f"command={words}", "artifact=out/{night}.pt")).job.training
    assert training.command == (
        "2026-11-25",
        "20261125T0700Z",
        RUN_ID,
        "demo",
        f"/runs/{RUN_ID}",
        f"/runs/{RUN_ID}/checkpoints",
        str(tmp_path / "out/2026-11-25.pt"),
        sys.executable,
        "{night}",
        "{demo}",
    )


def test_paths_count_from_the_file_and_the_programs_own_from_its_directory(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    job = planned(job_in(tmp_path, *EVERYTHING, "directory=work")).job
    assert job.training.directory == str(tmp_path / "work")
    assert job.training.artifact == str(tmp_path / "work/out/2026-11-25.pt")
    assert job.training.publish == str(tmp_path / "models/demo.pt")
    assert job.checkpoint.directory == str(tmp_path / RUN_ID / "c")
    assert job.training.channels == {"train": str(tmp_path / "data/2026-11-25"), "far": "s3://bucket/demo"}


def test_without_a_folder_of_runs_the_folder_of_checkpoints_is_left_to_the_backend(tmp_path: Path) -> None:
    assert plan_night(job_in(tmp_path), EVENING_UTC).job.checkpoint.directory == ""


def test_every_setting_reaches_the_job(tmp_path: Path) -> None:
    job = planned(job_in(tmp_path, *EVERYTHING)).job
    assert job.policy == PolicyChoice("timed-fallback", {"wait_s": 3600.0})
    assert job.limits == Limits(9, 2, 50.0, OnLimit.STOP, 3600.0)
    assert job.hooks == Hooks("a", "b", "c", 60.0, 120.0)
    assert (job.tail_s, job.extend_s, job.guard_pools, job.time_scale) == (600.0, 7200.0, 2, 60.0)
    assert (job.miss_means, job.timezone) == ("Yesterday's model.", "Europe/Berlin")
    assert (job.checkpoint.interval_s, job.checkpoint.pattern) == (300.0, "c-*.pt")
    assert job.training.environment == {"WHERE": job.training.artifact, "NIGHT": "2026-11-25{x}"}
    assert job.training.hyperparameters == {"lr": 0.1, "deep": {"layers": [1, 2]}}
    assert job.training.sagemaker
    assert [(pool.id, pool.market, pool.price_usd_per_hour) for pool in job.pools] == [
        ("spot", Market.SPOT, 1.0),
        ("backup", Market.ON_DEMAND, 3.0),
    ]
    assert job.pools[0].options == {
        "capacity": {"seed": 7, "scale_s": 3600.0, "first": "up"},
        "launch_delay_s": 0.0,
        "notice_s": 120.0,
        "grace_s": 20.0,
    }


@pytest.mark.parametrize(
    ("said", "unit", "interval", "interval_s"),
    [
        ("auto", "epoch", "auto", 900.0),
        ("1h30m", "epoch", "", 5400.0),
        ("500 steps", "epoch", "500 steps", 900.0),
        ("500 steps", "step", "500 steps", 500 * 720.0),
        ("2 epochs", "epoch", "2 units", 1440.0),
        ("1 shard", "shard", "1 unit", 720.0),
        ("0.5 units", "shard", "0.5 units", 360.0),
    ],
)
def test_an_interval_reaches_the_job_as_it_is_asked_for_and_as_a_time_to_plan_with(
    tmp_path: Path, said: str, unit: str, interval: str, interval_s: float
) -> None:
    work = f"work={{units=2,unit='{unit}',each='12min'}}"
    checkpoint = planned(job_in(tmp_path, work, f"checkpoint.interval={said}")).job.checkpoint
    assert (checkpoint.interval, checkpoint.interval_s) == (interval, interval_s)


def test_each_run_has_a_folder_of_its_own_in_the_store(tmp_path: Path) -> None:
    night = planned(job_in(tmp_path, "checkpoint.store=s3://bucket/ck/"))
    assert night.job.checkpoint.store == f"s3://bucket/ck/{night.run_id}"
    assert planned(job_in(tmp_path)).job.checkpoint.store == ""


@pytest.mark.parametrize(
    "store", ["bucket/ck", "gs://bucket/ck", "s3://", "s3://B/x", "s3://bucket/a//b", "s3://bucket/../x"]
)
def test_a_store_that_is_no_address_in_a_bucket_is_refused(tmp_path: Path, store: str) -> None:
    with pytest.raises(JobFileError, match=r"checkpoint\.store.*expected the address of a folder in a bucket"):
        job_in(tmp_path, f"checkpoint.store={store}")


def test_a_store_and_a_pattern_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match="nobody uploads"):
        job_in(tmp_path, "checkpoint.store=s3://bucket/ck", "checkpoint.pattern=ckpt-*.pt")


def test_without_a_word_it_is_auto(tmp_path: Path) -> None:
    assert planned(job_in(tmp_path)).job.checkpoint == Checkpointing(
        directory=planned(job_in(tmp_path)).job.checkpoint.directory, interval="auto"
    )


def test_an_epoch_is_no_interval_where_the_job_counts_something_else(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match=r"'epochs' is neither .* which is 'shard'. Write it like .*2 shard"):
        job_in(tmp_path, "work={units=2,unit='shard',each='12min'}", "checkpoint.interval=2 epochs")


def test_two_are_held_at_once_only_where_the_job_file_says_so(tmp_path: Path) -> None:
    job = planned(job_in(tmp_path)).job
    assert (job.second_request, job.handover) == (False, False)
    job = planned(job_in(tmp_path, "policy.second_request=true", "policy.handover=true")).job
    assert (job.second_request, job.handover) == (True, True)


def test_a_planned_night_survives_the_journal(tmp_path: Path) -> None:
    night = planned(job_in(tmp_path, *EVERYTHING))
    opened = RunOpened(0.0, night.run_id, "n", night.job, night.start_utc, night.deadline_utc, 0.0, {})
    assert decode("RunOpened", encode(opened)) == opened


@pytest.mark.parametrize(
    ("table", "work"),
    [
        ({"total": "4h"}, Work(1.0, "job", 14400.0)),
        ({"units": 20, "each": "12min"}, Work(20.0, "unit", 720.0)),
        ({"units": 20, "unit": "epoch", "total": "4h"}, Work(20.0, "epoch", 720.0)),
        ({"units": 0.5, "each": "8h"}, Work(0.5, "unit", 28800.0)),
    ],
)
def test_work_is_units_and_how_long_each_takes(tmp_path: Path, table: dict[str, object], work: Work) -> None:
    setting = ", ".join([f"{key} = {value!r}" for key, value in table.items()])
    job = planned(job_in(tmp_path, f"work={{ {setting} }}")).job
    assert job.work == work
    assert job.extend_s == work.total_s, "without `extend`, a late training may take all its time again"


LOCAL_BOUNDS = [
    ((), Bounds(60, 30, 5, 10)),
    (("time_scale=60",), Bounds(180, 210, 30, 60)),
    (("pools.backup.launch_delay=2min", "pools.backup.grace=1min"), Bounds(180, 61.5, 5, 10)),
    (('pools.backup.bounds={lead="3min"}',), Bounds(180, 30, 5, 10)),
    (('pools.backup.bounds={lead="1s",stop="2s",refusal="3s",save="4s"}', "time_scale=60"), Bounds(1, 2, 3, 4)),
    (("pools.backup.backend=cloud", 'pools.backup.bounds={lead="10min"}'), Bounds(600, 120, 60, 60)),
]


@pytest.mark.parametrize(("changes", "bounds"), LOCAL_BOUNDS)
def test_bounds_are_those_of_the_manual(tmp_path: Path, changes: tuple[str, ...], bounds: Bounds) -> None:
    assert planned(job_in(tmp_path, *changes)).job.pool("backup").bounds == bounds


def test_a_trace_is_found_from_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "zone.json").write_text('{"metadata": {"gap_seconds": 600}, "data": [0, 1]}')
    job = planned(job_in(tmp_path, 'pools.spot.capacity={trace="zone.json", from=0.25}')).job
    assert job.pool("spot").options["capacity"] == {"trace": str(tmp_path / "zone.json"), "from": 0.25}


NAMES = st.sampled_from(["", "eu-central-1a", "eu-central-1b", "p3.2xlarge", "A Very Long Place " * 4])


@given(
    st.lists(st.tuples(NAMES, NAMES, st.sampled_from(["spot", "on-demand"])), min_size=1, max_size=12), st.booleans()
)
def test_pools_without_an_id_get_one_of_their_own(wanted: list[tuple[str, str, str]], named: bool) -> None:
    tables = [PoolTable.model_validate({"place": p, "instance_type": i, "market": m, "price": 1}) for p, i, m in wanted]
    taken = PoolTable.model_validate({"id": pool_ids(tables)[0], "market": "spot", "price": 1})
    ids = pool_ids([*tables, taken] if named else tables)
    assert len(set(ids)) == len(ids)
    assert all(PoolTable.model_validate({"id": id_, "market": "spot", "price": 1}).id == id_ for id_ in ids)


def test_pools_are_called_by_place_type_and_market(tmp_path: Path) -> None:
    path = written(
        tmp_path, JOB.replace('id = "spot"', 'place = "eu-1a"\ninstance_type = "p3.2x"').replace('id = "backup"', "")
    )
    assert [pool.id for pool in planned(load_job(path)).job.pools] == ["eu-1a-p3-2x-spot", "local-on-demand"]


def test_a_cost_cap_must_pay_for_the_dearest_on_demand_pool_and_spot_does_not_count(tmp_path: Path) -> None:
    cheap = '[[pools]]\nid = "cheap"\nmarket = "on-demand"\nprice = 2\n'
    path = written(tmp_path, JOB.replace("price = 1.0", "price = 100") + cheap)
    assert planned(load_job(path, ["limits.cost=12.06"])).job.limits.cost_usd == 12.06
    with pytest.raises(JobFileError, match="a night wholly on backup costs"):
        planned(load_job(path, ["limits.cost=10"]))


def test_a_cost_cap_that_pays_for_the_dearest_night_is_accepted_and_a_cent_less_is_not(tmp_path: Path) -> None:
    assert planned(job_in(tmp_path, "limits.cost=12.06")).job.limits.cost_usd == 12.06
    with pytest.raises(JobFileError, match=r"costs 12\.05 USD .* Allow at least 12\.06"):
        planned(job_in(tmp_path, "limits.cost=12.04"))


@settings(deadline=None)
@given(st.integers(1, 24 * 3600), st.integers(0, 4 * 3600), st.floats(0.25, 4), st.integers(0, 600))
def test_a_night_fits_exactly_if_start_up_work_reserve_and_reaction_do(
    tmp_path_factory: pytest.TempPathFactory, work_s: int, reserve_s: int, speed: float, margin_s: int
) -> None:
    settings = (f"work={{ total = '{work_s}s' }}", f"deadline.reserve={reserve_s}s", f"pools.backup.speed={speed}")
    night = planned(job_in(tmp_path_factory.getbasetemp(), *settings))
    need_s = 60 + work_s / speed + reserve_s + margin_s
    check_fits(night.job, "f", 0.0, need_s + 1e-6, margin_s)
    with pytest.raises(JobFileError, match="does not fit the window"):
        check_fits(night.job, "f", 0.0, need_s - 1e-3, margin_s)


def test_the_fastest_on_demand_pool_with_bounds_decides_whether_it_fits(tmp_path: Path) -> None:
    other = '[[pools]]\nid = "fast"\nmarket = "on-demand"\nprice = 9\nspeed = 4\n'
    night = planned(load_job(written(tmp_path, JOB + other)))
    check_fits(night.job, "f", 0.0, 3700.0)
    unmeasured = planned(load_job(written(tmp_path, JOB + other), ["pools.fast.backend=cloud"]))
    with pytest.raises(JobFileError, match="does not fit"):
        check_fits(unmeasured.job, "f", 0.0, 3700.0)


def fingerprint(folder: Path, *changes: str) -> str:
    return planned(job_in(folder, *changes)).job.training.fingerprint


def test_the_fingerprint_is_what_the_result_depends_on_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print(1)")
    before = fingerprint(tmp_path)
    same = ["name=other", "pools.spot.price=2", "deadline.at=09:00", "work.units=5", "policy=greedy", "time_scale=60"]
    assert {fingerprint(tmp_path, change) for change in same} == {before}
    other = [
        "command={python} train.py -v",
        "training.hyperparameters.lr=0.1",
        "training.channels.train=data",
        "pools.spot.world_size=2",
    ]
    (tmp_path / "train.py").write_text("print(2)")
    changed = [fingerprint(tmp_path)]
    (tmp_path / "train.py").write_text("print(1)")
    changed += [fingerprint(tmp_path, change) for change in other]
    assert len({before, *changed}) == 6
    assert fingerprint(tmp_path) == before


def test_the_fingerprint_is_the_same_in_another_folder_and_for_another_night(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train.py").write_text("print(1)")
    tomorrow = planned(job_in(tmp_path / "b"), EVENING_UTC + 86400, "-2").job.training.fingerprint
    assert fingerprint(tmp_path / "a") == tomorrow


def test_code_is_what_the_patterns_match_and_a_program_on_the_command_line_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/net.py").write_text("1")
    before = fingerprint(tmp_path, 'training.code=["src/**/*.py"]')
    (tmp_path / "train.py").write_text("not in the patterns")
    assert fingerprint(tmp_path, 'training.code=["src/**/*.py"]') == before
    (tmp_path / "src/net.py").write_text("2")
    assert fingerprint(tmp_path, 'training.code=["src/**/*.py"]') != before
    assert fingerprint(tmp_path, f'command=["python", "-c", "{"x" * 500}"]')
