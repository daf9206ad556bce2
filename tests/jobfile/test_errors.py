"""Whatever is wrong is said in one sentence: file, key, value, what was expected, what to do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.errors import ExitCode, JobFileError
from nightspot.jobfile import check_fits, job_schema, load_job, plan_night
from tests.jobfile.files import EVENING_UTC, JOB, written
from tests.jobfile.requests import NIGHT, request_in

# setting | key that is named | part of what is said
WRONG = """
name=                               | name | Call it 'my-model'.
name=My Model!                      | name | Call it 'my-model'.
name=-x                             | name | Call it 'x'.
name=2026                           | name | expected a text in quotes. Write, for example: name = "recommender".
command=                            | command | there is nothing to run
command=[]                          | command | there is nothing to run
command=[""]                        | command | there is nothing to run
command=[1]                         | command | expected a command
command=true                        | command | expected a command
command="python 'train"             | command | cannot be split into words (No closing quotation)
command=["a\\u0000"]                | command | cannot hold a NUL
command={pyhton} x                  | command | there is no placeholder '{pyhton}' here. Did you mean 'python'?
command={                           | command | a lone '{'. Literal braces are doubled: {{ and }}.
command=}                           | command | a lone '}'
command={artifact}                  | command | {artifact} is not set. Name the file
command={run_folder}                | command | {run_folder} is not set
command={checkpoint_dir}            | command | {checkpoint_dir} is not set
directory=nowhere                   | directory | there is no such folder
directory=night.toml                | directory | there is no such folder
directory=~nobody-here/x            | directory | there is no such home folder
directory=                          | directory | expected a text that is not empty
environment.A=1                     | environment.A | Write, for example: environment = { OMP_NUM_THREADS = "4" }.
environment.A={night                | environment.A | a lone '{'
environment={"A=B"="x"}             | environment."A=B" | holds no '='
environment={""="x"}                | environment."" | is not empty
environment={A="\\u0000"}           | environment.A | NUL
time_scale=0                        | time_scale | must be at least 1
time_scale=0.5                      | time_scale | must be at least 1
time_scale=1e9                      | time_scale | must be at most 1000000
time_scale=nan                      | time_scale | expected a finite number
policy=gready                       | policy | there is no policy of that name. Did you mean 'greedy'?
policy=3                            | policy | expected a text in quotes
policy.name=best                    | policy.name | Known here: greedy, on-demand, planned, reserve
policy.wait=1h                      | policy.wait | the policy 'planned' has no such option, but 'timed-fallback' has
policy.k0=-1                        | policy.k0 | must be at least 0
artifact=                           | artifact | expected a text that is not empty
artifact={}                         | artifact.path | it is required. Add it, for example: path = "model.pt".
artifact={python}.pt                | artifact | there is no placeholder '{python}' here
artifact={path="m",publish="{x}"}   | artifact.publish | there is no placeholder '{x}' here
artifact=~nobody-here/x             | artifact | there is no such home folder
work=4h                             | work | expected a table. Write, for example: work = { total = "4h" }.
work={}                             | work.total | how long the work takes is not said
work.units=-3                       | work.units | must be greater than 0. Write, for example: units = 20.
work.units=0                        | work.units | must be greater than 0
work.units=true                     | work.units | expected a number
work.units=many                     | work.units | expected a number
work.units=nan                      | work.units | expected a finite number
work.units=1e400                    | work.units | expected a finite number
work.units=0xFFFFFFFFFFFFFFFFFF     | work.units | this is too large a number
work.total=4h                       | work.total | `each` and `total` say the same thing twice
work={units=20}                     | work.total | how long the work takes is not said
work={each="4h"}                    | work.units | `each` needs a number of units
work={unit="step",total="4h"}       | work.units | how many of 'step' there are is not said
work.each=12                        | work.each | a bare number has no unit. Say which: "12min", "12s" or "12h".
work.each=nan                       | work.each | a bare number has no unit. Say which: "12min"
work.each=true                      | work.each | expected a duration in words
work.each=-12min                    | work.each | it cannot be negative
work.each=0s                        | work.each | must be longer than nothing
work.each=12 moons                  | work.each | 'moons' is no unit of time
work.each=2y                        | work.each | 'y' is no unit of time
work.each=400d                      | work.each | that is more than a year
work.each=45min                     | work | does not fit the window of 12h. It is 3h1min too long
deadline={}                         | deadline.at | it is required. Add it, for example: at = "08:00".
deadline.at=24:00                   | deadline.at | expected a time of day from 00:00 to 23:59
deadline.at=8am                     | deadline.at | expected a time of day
deadline.at=800                     | deadline.at | this is no time of day
deadline.at=2026-11-25              | deadline.at | this is a date without a time of day
deadline.at=2026-02-30T08:00        | deadline.at | expected a time of day
deadline.at=0001-01-01T00:00:00     | deadline.at | this year is not meant
deadline.at=9999-12-31T23:59:59Z    | deadline.at | this year is not meant
deadline.at=2026-11-20T08:00:00Z    | deadline.at | this was 4d10h ago. Write a later one
deadline.start=2026-11-26T08:00:00Z | deadline.start | does not open before its deadline
deadline.start=07:00                | work | does not fit the window of 1h
deadline.timezone=Berlin            | deadline.timezone | Did you mean 'Europe/Berlin'?
deadline.timezone=utc               | deadline.timezone | Did you mean 'UTC'?
deadline.timezone=New York          | deadline.timezone | Did you mean 'America/New_York'?
deadline.timezone=Mars              | deadline.timezone | Write one like "Europe/Berlin", or "UTC".
deadline.timezone=../../etc/passwd  | deadline.timezone | there is no IANA time zone of that name
deadline.timezone=1                 | deadline.timezone | expected a text in quotes
deadline.reserve=9h                 | work | + reserve 9h does not fit the window of 12h
deadline.reserve=-1s                | deadline.reserve | it cannot be negative
deadline.guard_pools=0              | deadline.guard_pools | must be at least 1
deadline.guard_pools=1.5            | deadline.guard_pools | expected a whole number
deadline.guard_pools=true           | deadline.guard_pools | expected a whole number
deadline.zone=UTC                   | deadline.zone | there is no such key here. Did you mean 'timezone'?
deadline.policy=greedy              | deadline.policy | belongs at the top, before the first [table].
units=20                            | units | A key of that name belongs under [work].
price=3                             | price | A key of that name belongs under [[pools]].
polcy=greedy                        | polcy | Did you mean 'policy'?
pools=[]                            | pools | expected at least one
pools=3                             | pools | expected a list
pools.0=3                           | pools[0] | expected a table
pools.0.prise=1                     | pools[0].prise | there is no such key here. Did you mean 'price'?
pools.0.price=-1                    | pools[0].price | must be at least 0. Write, for example: price = 3.06.
pools.1.price="3"                   | pools[1].price | expected a number
pools.1.price=true                  | pools[1].price | expected a number
pools.1.price=inf                   | pools[1].price | expected a finite number
pools.1.speed=0                     | pools[1].speed | must be greater than 0
pools.1.speed=0.25                  | work | work of 4h at speed 0.25 + start-up 1min does not fit the window of 12h
pools.1.world_size=0                | pools[1].world_size | must be at least 1
pools.1.id=spot                     | pools[1].id | another pool has that id. Give each its own.
pools.1.id=Spot A                   | pools[1].id | Call it 'spot-a'.
pools.0.market=spott                | pools[0].market | expected 'spot' or 'on-demand'
pools.1.market=spot                 | pools | there is no on-demand pool, so no deadline can be kept
pools.1.backend=cloud               | pools[1].bounds | the guard must know how long an on-demand pool takes to start
pools.0.options={a=1}               | pools[0].options | Use capacity, launch_delay, notice, grace.
pools.0.bounds={}                   | pools[0].bounds.lead | it is required
pools.0.bounds.lead=3               | pools[0].bounds.lead | a bare number has no unit
pools.0.capacity=sometimes          | pools[0].capacity | expected 'always' or 'never'
pools.0.capacity={}                 | pools[0].capacity | expected either `trace` or `seed`
pools.0.capacity={seed=1,from=0.5}  | pools[0].capacity.from | this belongs to `trace`
pools.0.capacity={trace="x",loss=1} | pools[0].capacity.loss | this belongs to `seed`
pools.0.capacity={sed=1}            | pools[0].capacity.sed | Did you mean 'seed'?
pools.0.capacity={seed=-1}          | pools[0].capacity.seed | must be at least 0
pools.0.capacity={seed=1,scale="0s"} | pools[0].capacity.scale | must be longer than nothing
pools.0.capacity={trace="no.json"}  | pools[0].capacity.trace | there is no such file
pools.0.capacity={trace="."}        | pools[0].capacity.trace | this is not a file
pools.0.capacity={trace="~nobody-here/x"} | pools[0].capacity.trace | there is no such home folder
checkpoint.interval=15              | checkpoint.interval | a bare number has no unit
checkpoint.interval=0s              | checkpoint.interval | must be longer than nothing
checkpoint.interval=0 steps         | checkpoint.interval | steps are counted whole, from 1. Write "auto", or it like
checkpoint.interval=1.5 steps       | checkpoint.interval | steps are counted whole
checkpoint.interval=0 epochs        | checkpoint.interval | must be more than nothing
checkpoint.interval=0 jobs          | checkpoint.interval | must be more than nothing
checkpoint.interval=often           | checkpoint.interval | expected how often to save. Write "auto", or it like "15min"
checkpoint.interval=                | checkpoint.interval | expected a duration, but it is empty
checkpoint.interval=2 fortnights    | checkpoint.interval | 'fortnights' is neither a unit of time nor what [work] counts
checkpoint.pattern=ckpt.pt          | checkpoint.pattern | expected a file name with a * in it
checkpoint.pattern=a/*.pt           | checkpoint.pattern | expected a file name
checkpoint.directory=ckpts          | checkpoint.directory | each run needs a folder of its own. Put {run_id} into it.
checkpoint.directory={night}        | checkpoint.directory | each run needs a folder of its own
checkpoint.directory={{run_id}}     | checkpoint.directory | each run needs a folder of its own
checkpoint.directory={artifact}/{run_id} | checkpoint.directory | there is no placeholder '{artifact}' here
limits.attempts=0                   | limits.attempts | must be at least 1
limits.cost=0                       | limits.cost | must be greater than 0
limits.cost=12                      | limits.cost | a night wholly on backup costs 12.05 USD (4h1min at 3 USD an hour). Allow at least 12.06
limits.on_limit=halt                | limits.on_limit | expected 'alert' or 'stop'
limits.no_progress=0s               | limits.no_progress | must be longer than nothing
hooks.risk=                         | hooks.risk | Fill it in, or leave the key out.
hooks.risk=["a"]                    | hooks.risk | expected a text in quotes
training.sagemaker=1                | training.sagemaker | expected true or false. Write, for example: sagemaker = true.
training.hyperparameters=3          | training.hyperparameters | expected a table
training.hyperparameters={lr=nan}   | training.hyperparameters.lr | expected finite numbers
training.hyperparameters={a={b=[inf]}} | training.hyperparameters.a | expected finite numbers
training.hyperparameters={day=2026-11-25} | training.hyperparameters.day | A date or a time stands in quotes.
training.channels={"a b"="x"}       | training.channels."a b" | a channel's name is 1 to 64 letters, digits
training.channels={a_b="x","A-B"="y"} | training.channels.A-B | the channel 'a_b' would have the same variable
training.channels={train=""}        | training.channels.train | expected a text that is not empty
training.channels={train="{python}"} | training.channels.train | there is no placeholder '{python}' here
training.code=train.py              | training.code | expected a list
training.code=["none.py"]           | training.code[0] | no file matches it
training.code=["."]                 | training.code[0] | this is no pattern of files
training.code=["**x"]               | training.code[0] | this is no pattern of files
training.code=["../x.py"]           | training.code[0] | code lies below the job's directory
training.code=["/etc/hosts"]        | training.code[0] | code lies below the job's directory
"""
TABLE = [tuple(part.strip() for part in line.split(" | ")) for line in WRONG.strip().splitlines()]


def refusal(path: Path, *overrides: str) -> JobFileError:
    """What a night of that file is refused with."""
    with pytest.raises(JobFileError) as caught:
        job_file = load_job(path, overrides)
        night = plan_night(job_file, EVENING_UTC)
        check_fits(night.job, job_file.file, night.start_utc, night.deadline_utc)
    return caught.value


@pytest.mark.parametrize(("setting", "field", "said"), TABLE, ids=[row[0] for row in TABLE])
def test_a_wrong_setting_names_file_key_value_and_remedy(tmp_path: Path, setting: str, field: str, said: str) -> None:
    path = written(tmp_path)
    error = refusal(path, setting)
    assert (error.field, error.exit_code) == (field, ExitCode.BAD_JOB_FILE)
    assert said in str(error)
    assert error.file in (str(path), "--set")
    assert error.remedy.endswith((".", "?")), "a remedy is a sentence"
    assert "\n" not in str(error)
    assert error.value is not None or "missing" in str(error)


# text of the whole file | where | what is said
BROKEN = [
    ("", "name", "nothing is set in this file. `nightspot init` writes a whole one."),
    ("# later\n", "name", "nothing is set in this file"),
    (b'name = "a"\nunit = "\xe4"\n', "line 2", r"line 2 = b'\xe4': this is not UTF-8. Save the file as UTF-8."),
    ("\ufffe", "line 1", "this is not TOML"),
    ('name = "a"\nat = 08:00\n', "line 2", 'Put it in quotes: at = "08:00".'),
    ("each = 12min  # an epoch", "line 1", 'Put it in quotes: each = "12min".'),
    ("unit = epoch", "line 1", 'Put it in quotes: unit = "epoch".'),
    ('name == "x"', "line 1", "Invalid value (at line 1, column 7). Correct that line"),
    ('a = 1\nname = "x', "line 2", "Unterminated string"),
    ("a = 1\n\na = 2\nb = 3\n", "line 3", "Cannot overwrite a value"),
    ("name: yaml\n", "line 1", "this is not TOML"),
    ('{"name": "json"}', "line 1", "this is not TOML"),
    ("\0", "line 1", "this is not TOML"),
    ("x = " + "[" * 3000, "line 1", "this is not TOML"),
    ("x = " + "1" * 5000, "line 1", "this is not TOML"),
    ("x = 0x" + "F" * 6000, "x", "this is too large a number"),
    ("a." * 3000 + "b = 1", "a.a", "this is nested more than 32 deep"),
    ("#" * (1 << 20) + "#", "", "this is larger than 1 MiB"),
    ('"" = 1\n' + JOB, '""', "there is no such key here"),
    ('"a.b" = 1\n' + JOB, '"a.b"', '"a.b" = 1: there is no such key here'),
    ('name = "a"\ncommand = "b"\n', "work", "it is required. Add it, for example: work = { total ="),
    ('work = { total = "4h" }\nnmae = "x"', "nmae", "Did you mean 'name'? (3 more to correct after this one.)"),
]


@pytest.mark.parametrize(("text", "field", "said"), BROKEN, ids=[f"{row[0][:24]!r}" for row in BROKEN])
def test_a_broken_file_names_the_line_and_what_to_do(tmp_path: Path, text: str | bytes, field: str, said: str) -> None:
    path = tmp_path / "night.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    error = refusal(path)
    assert error.field == field
    assert said in str(error)
    assert "\n" not in str(error)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    secret = written(tmp_path, name="secret.toml")
    os.mkfifo(tmp_path / "pipe")
    secret.chmod(0)
    said = {
        "none.toml": "the file is missing: there is no such file. Write one with `nightspot init`",
        ".": "this is a folder",
        "pipe": "this is not a regular file",
        "a\0b": "it cannot be read",
        "x" * 300: "it cannot be read (File name too long)",
    }
    if os.geteuid() != 0:
        said["secret.toml"] = "it cannot be read (Permission denied)"
    for name, expected in said.items():
        assert expected in str(refusal(tmp_path / name))


def test_a_home_that_nobody_has_is_an_error_wherever_a_path_stands(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match="no such home folder"):
        load_job("~nobody-here/night.toml")
    for setting in ("checkpoint.directory=~nobody-here/{run_id}", "training.channels.train=~nobody-here/data"):
        assert "no such home folder" in str(refusal(written(tmp_path), setting))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "this is not JSON"),
        (b"\xff", "pools[0].capacity.trace = '{path}': it cannot be read (it is not UTF-8)"),
        (b"[]", "this is not an object"),
        (b'{"metadata": {"gap_seconds": 0}, "data": [1]}', "zone.json: metadata.gap_seconds = 0"),
        (b'{"metadata": {"gap_seconds": 600}, "data": [1, 2]}', "zone.json: data[1] = 2"),
        (b'{"metadata": {"gap_seconds": 600}}', "zone.json: data is missing"),
    ],
)
def test_a_trace_that_is_none_is_refused_before_the_night(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "zone.json").write_bytes(content)
    error = refusal(written(tmp_path), 'pools.0.capacity={trace="zone.json"}')
    assert said.format(path=tmp_path / "zone.json") in str(error) if b"\xff" in content else said in str(error)


TEMPLATES = (
    "command=x",
    "environment.A=",
    "artifact=",
    "artifact={path='m',publish='",
    "checkpoint.directory={run_id}",
)


@pytest.mark.parametrize("setting", [*TEMPLATES, "training.channels.train="])
def test_a_placeholder_that_cannot_be_is_found_before_a_night_is_planned(tmp_path: Path, setting: str) -> None:
    end = "'}" if setting.endswith("publish='") else ""
    with pytest.raises(JobFileError, match=r"there is no placeholder '\{moon\}' here"):
        load_job(written(tmp_path), [f"{setting}{{moon}}{end}"])


def test_time_is_compressed_on_local_pools_only(tmp_path: Path) -> None:
    error = refusal(written(tmp_path), "time_scale=60", "pools.0.backend=cloud")
    assert (error.field, error.value) == ("pools[0].backend", "cloud")
    assert "time is compressed on local pools only. Use time_scale = 1." in str(error)


def test_a_local_setting_on_another_backend_is_refused(tmp_path: Path) -> None:
    for setting in ("capacity=always", "notice=2min", "grace=2min", "launch_delay=1min"):
        key = setting.partition("=")[0]
        error = refusal(written(tmp_path), "pools.0.backend=cloud", f"pools.0.{setting}")
        assert (error.field, error.expected) == (f"pools[0].{key}", "only a local pool has this")


def test_a_value_is_shown_as_toml_writes_it_and_a_long_one_is_cut(tmp_path: Path) -> None:
    assert "work.units = true:" in str(refusal(written(tmp_path), "work.units=true"))
    assert "deadline.at = 2026-11-25:" in str(refusal(written(tmp_path), "deadline.at=2026-11-25"))
    assert 'name = ["a", { b = 1 }]:' in str(refusal(written(tmp_path), 'name=["a", {b=1}]'))
    assert len(str(refusal(written(tmp_path), f"name={'x' * 5000}"))) < 300


def test_a_setting_of_sagemaker_pools_on_another_backend_is_refused(tmp_path: Path) -> None:
    for setting in ('instance_types=["ml.g5.xlarge"]', "full_price=0"):
        error = refusal(written(tmp_path), f"pools.0.{setting}")
        assert (error.field, error.expected) == (
            f"pools[0].{setting.partition('=')[0]}",
            "only a SageMaker pool has this",
        )


@pytest.mark.parametrize(
    ("line", "field"), [('command = "{python} train.py"', "command"), ("price = 3.0", "pools[1].price")]
)
def test_what_only_sagemaker_can_do_without_is_required_elsewhere(tmp_path: Path, line: str, field: str) -> None:
    error = refusal(written(tmp_path, JOB.replace(line, "")))
    assert (error.field, error.value, error.expected) == (field, None, "it is required")


def leaves(schema: dict[str, Any]) -> list[str]:
    """Every key of the job file, as `--set` names it."""
    keys = []
    for key, value in schema["properties"].items():
        reference = json.dumps(value).partition('"$ref": "#/$defs/')[2].partition('"')[0]
        below = leaves({**job_schema()["$defs"][reference]}) if reference else []
        keys += [key, *[f"{key}.0.{leaf}" if key == "pools" else f"{key}.{leaf}" for leaf in below]]
    return keys


NASTY = [
    "nan",
    "-1",
    "true",
    "[]",
    "{}",
    "x\0",
    "2026-01-01",
    "1e308",
    "''",
    "[[1]]",
    "{a={b=1}}",
    "\u2603",
    "-0.0",
    "~",
    "{",
    "9" * 18,
]


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(leaves(job_schema())), st.sampled_from(NASTY) | st.text(max_size=8), st.sampled_from([JOB, NIGHT])
)
def test_no_value_of_any_key_is_worse_than_a_refusal(tmp_path_factory: Any, key: str, value: str, text: str) -> None:
    path = written(request_in(tmp_path_factory.getbasetemp()), text, "nasty.toml")
    try:
        plan_night(load_job(path, [f"{key}={value}"]), EVENING_UTC)
    except JobFileError as error:
        assert error.field
        assert error.expected
        assert "\n" not in str(error)
