"""docs/sagemaker.md shows what there is: its request loads, its line for a notebook can be called, and its facts have these names."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
from pathlib import Path

import nightspot.sagemaker
from nightspot.jobfile import load_job
from nightspot.sagemaker import Night, fit, record
from tests.jobfile.requests import NIGHT, night_in

MANUAL = (Path(__file__).parents[2] / "docs" / "sagemaker.md").read_text("utf-8")
PYTHON = "\n".join(re.findall(r"```python\n(.*?)```", MANUAL, re.DOTALL))


def block(kind: str, begin: str = "") -> str:
    """The first block of that kind that begins so."""
    found = re.search(rf"```{kind}\n({re.escape(begin)}.*?)```", MANUAL, re.DOTALL)
    assert found is not None
    return found[1]


def calls(name: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(ast.parse(PYTHON))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]


def test_the_request_by_hand_is_a_template_for_a_spot_night(tmp_path: Path) -> None:
    job_file = night_in(tmp_path, request=json.loads(block("json")))
    assert job_file.template is not None
    assert job_file.template.request["RoleArn"].endswith("role/training")


def test_the_pool_with_a_private_rate_loads(tmp_path: Path) -> None:
    text = NIGHT[: NIGHT.index("[[pools]]")] + block("toml", "[[pools]]") + NIGHT[NIGHT.rindex("[[pools]]") :]
    pool = load_job(night_in(tmp_path, text=text).path).document.pools[0]
    assert (pool.price, pool.full_price) == (0.45, 1.20)


def test_what_the_emulator_needs_loads_and_names_each_channel_of_the_request(tmp_path: Path) -> None:
    job_file = night_in(tmp_path, text=NIGHT + block("toml", "[emulator]"), request=json.loads(block("json")))
    table, template = load_job(job_file.path).document.emulator, job_file.template
    assert table is not None
    assert template is not None
    assert table.source == "src"
    assert list(table.data) == [channel["ChannelName"] for channel in template.request["InputDataConfig"]]


def test_the_lines_for_a_notebook_can_be_called_as_they_stand() -> None:
    for function, name in ((fit, "fit"), (record, "record")):
        (call,) = calls(name)
        named = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg}
        inspect.signature(function).bind(*call.args, **named)


def test_a_night_has_the_facts_that_the_manual_names() -> None:
    known = {field.name for field in dataclasses.fields(Night)} | {"completed"}
    used = set(re.findall(r"night\.(\w+)", PYTHON))
    listed = re.search(r"What comes back is a `Night`: (.*?)\.", MANUAL, re.DOTALL)
    assert listed is not None
    assert used | (set(re.findall(r"`(\w+)`", listed[1]))) <= known
    assert len(used) >= 4


def test_every_public_name_is_explained() -> None:
    for name in nightspot.sagemaker.__all__:
        assert inspect.getdoc(getattr(nightspot.sagemaker, name)), name
