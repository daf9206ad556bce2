"""The JSON Schema is what an editor believes: it marks no right file, and every key that is none. The manual names each key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Iterator, get_args

import pytest
from pydantic import BaseModel

from nightspot.errors import JobFileError
from nightspot.jobfile import apply_overrides, job_schema, load_job, starter
from nightspot.jobfile.document import Document
from nightspot.jobfile.placeholders import MEANINGS
from nightspot.jobfile.reference import reference
from nightspot.jobfile.tomltext import read_document, show
from tests.jobfile.files import JOB, written
from tests.jobfile.requests import NIGHT, REQUEST
from tests.jobfile.schemas import faults
from tests.jobfile.test_load import BLOCKS, MANUAL, whole, with_request
from tests.jobfile.test_plan import EVERYTHING

SCHEMA = job_schema()


def as_json(value: Any) -> Any:
    """TOML's times are texts to an editor."""
    return json.loads(json.dumps(value, default=lambda item: item.isoformat()))


def marks(path: Path, *settings: str) -> list[str]:
    """What an editor would mark in that file, if those settings stood in it."""
    document = apply_overrides(read_document(path, path.name), settings)
    return list(faults(as_json(document), SCHEMA, SCHEMA))


def tables(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """Every table of the job file, and where it stands."""
    yield path, model
    for name, field in model.model_fields.items():
        for inner in models(field.annotation):
            yield from tables(inner, (*path, field.alias or name))


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models(inner)


TABLES = list(tables(Document))
KEYS = [((*path, field.alias or name), field) for path, model in TABLES for name, field in model.model_fields.items()]


def test_the_walk_over_the_keys_finds_them_all() -> None:
    assert {".".join(path) for path, _ in TABLES} >= {"", "work", "pools", "pools.bounds", "pools.capacity", "policy"}
    assert len(KEYS) > 60


@pytest.mark.parametrize("text", [JOB, starter(), *[whole(block) for block in BLOCKS]])
def test_an_editor_marks_nothing_in_a_file_that_loads(tmp_path: Path, text: str) -> None:
    path = written(with_request(tmp_path, text), text)
    load_job(path)
    assert marks(path) == []


def named(path: tuple[str, ...]) -> str:
    """A key as `--set` names it."""
    return ".".join(path).replace("pools.", "pools.0.")


OF_SAGEMAKER = ("pools.0.instance_types", "pools.0.full_price")
# What a key needs beside it to make sense.
BESIDE = {
    "pools.0.options": "pools.0.backend=cloud",
    "sagemaker.progress_metric": 'sagemaker.overrides.AlgorithmSpecification.MetricDefinitions=[{Name="epoch",Regex="(.*)"}]',
    "artifact.publish": "artifact.path=model.pt",
    "policy.wait": "policy.name=timed-fallback",
    "policy.k0": "policy.name=reserve",
    "policy.k1": "policy.name=reserve",
    "pools.0.capacity.from": "pools.0.capacity.trace=traces/zone-a.json",
    **{f"pools.0.bounds.{key}": "pools.0.bounds.lead=1min" for key in ("stop", "refusal", "save")},
    **{
        f"pools.0.capacity.{key}": "pools.0.capacity.seed=1"
        for key in ("loss", "recovery", "scale", "warm_up", "first")
    },
}


@pytest.mark.parametrize(("path", "field"), KEYS, ids=[".".join(path) for path, _ in KEYS])
def test_every_example_of_a_key_loads_and_an_editor_agrees(tmp_path: Path, path: tuple[str, ...], field: Any) -> None:
    for folder, name in (("traces", "zone-a.json"), ("src", "net.py"), (".", "train.py"), ("training", "x")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text('{"metadata": {"gap_seconds": 600}, "data": [0, 1]}')
    assert field.examples, "an error about this key could not say how to write it"
    key = named(path)
    (tmp_path / "request.json").write_text(json.dumps(REQUEST))
    text = NIGHT if key.startswith("sagemaker") or key in OF_SAGEMAKER else JOB
    text = JOB.replace('each = "12min"', "") if key == "work.total" else text
    settings = ["pools.0.market=on-demand", "pools.0.instance_type="] if key == "pools.0.instance_types" else []
    settings += [*filter(None, [BESIDE.get(key)]), f"{key}={show(field.examples[0])}"]
    load_job(written(tmp_path, text), settings)
    assert marks(written(tmp_path, text), *settings) == []


@pytest.mark.parametrize("path", [path for path, _ in TABLES], ids=[".".join(path) or "top" for path, _ in TABLES])
def test_an_editor_marks_an_unknown_key_in_every_table(tmp_path: Path, path: tuple[str, ...]) -> None:
    beside = BESIDE.get(named((*path, "stop")), BESIDE.get(named((*path, "loss")), "artifact.path=model.pt"))
    assert marks(written(tmp_path), beside) == []
    assert marks(written(tmp_path), beside, f"{named((*path, 'bogus'))}=1") != []


@pytest.mark.parametrize(
    "right_and_wrong",
    [
        ("price = 1.0", "price = -1"),
        ('market = "spot"', 'market = "rented"'),
        ('each = "12min"', "each = 12"),
        ('each = "12min"', 'each = "soon"'),
        ("units = 20", "units = true"),
        ('name = "demo"', 'name = "My Demo"'),
        ('at = "08:00"', ""),
        ('command = "{python} train.py"', "command = []"),
    ],
)
def test_an_editor_marks_what_the_tool_refuses(tmp_path: Path, right_and_wrong: tuple[str, str]) -> None:
    path = written(tmp_path, JOB.replace(*right_and_wrong))
    assert marks(path) != []
    with pytest.raises(JobFileError):
        load_job(path)


def test_a_file_with_everything_in_it_is_right_for_an_editor_too(tmp_path: Path) -> None:
    assert marks(written(tmp_path), *EVERYTHING) == []


def test_the_manual_shows_every_key_just_as_the_tool_knows_it() -> None:
    assert MANUAL.endswith(reference()), "write it again: reference() is the end of docs/job-file.md"
    for path, field in KEYS:
        assert f"| `{path[-1]}` |" in MANUAL or f"[{path[-1]}]" in MANUAL
        assert field.description, "an editor has nothing to show for this key"


def test_the_manual_shows_every_placeholder_just_as_the_tool_knows_it() -> None:
    rows = dict(re.findall(r"^\| `\{(\w+)\}` \| (.*) \|$", MANUAL, re.MULTILINE))
    assert rows == MEANINGS


def test_a_default_in_the_schema_is_what_the_tool_uses(tmp_path: Path) -> None:
    defaults = {key: value.get("default") for key, value in SCHEMA["$defs"]["DeadlineTable"]["properties"].items()}
    text = JOB.replace(
        "[deadline]", f"[deadline]\nreserve = {show(defaults['reserve'])}\nguard_pools = {defaults['guard_pools']}"
    )
    assert load_job(written(tmp_path, text)).document == load_job(written(tmp_path)).document
