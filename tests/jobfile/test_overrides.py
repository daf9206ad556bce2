"""`--set key=value` changes one key, for one command, and says where it cannot."""

from __future__ import annotations

import copy
import sys
from datetime import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightspot.errors import JobFileError
from nightspot.jobfile import apply_overrides
from nightspot.jobfile.tomltext import parse_value, show
from tests.jobfile.files import job_in

DOCUMENT: dict[str, Any] = {
    "name": "demo",
    "policy": "greedy",
    "artifact": "model.pt",
    "work": {"units": 20, "each": "12min"},
    "pools": [{"id": "spot", "price": 1}, {"id": "0", "price": 2}, {"price": 3}],
    "training": {"code": ["a.py", "b.py"], "policy": "mine"},
}
PLAIN = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def at(document: Any, *path: Any) -> Any:
    for part in path:
        document = document[part]
    return document


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("work.units=5", ("work", "units"), 5),
        (" work . units = 5 ", ("work", "units"), 5),
        ("work.each=1h", ("work", "each"), "1h"),
        ("name=other=one", ("name",), "other=one"),
        ("name=", ("name",), ""),
        ('name="quoted"', ("name",), "quoted"),
        ("deadline.at=08:00", ("deadline", "at"), "08:00"),
        ("deadline.at=08:00:00", ("deadline", "at"), time(8)),
        ("pools.spot.price=9.5", ("pools", 0, "price"), 9.5),
        ("pools.2.price=9", ("pools", 2, "price"), 9),
        ("pools.0.price=9", ("pools", 1, "price"), 9),
        ("pools.1={ id = 'new' }", ("pools", 1), {"id": "new"}),
        ("training.code.1=c.py", ("training", "code", 1), "c.py"),
        ("training.hyperparameters.layers=[1, 2]", ("training", "hyperparameters", "layers"), [1, 2]),
        ("policy.k0=2", ("policy",), {"name": "greedy", "k0": 2}),
        ("artifact.publish=out.pt", ("artifact",), {"path": "model.pt", "publish": "out.pt"}),
        ("command=python train.py --epochs 3", ("command",), "python train.py --epochs 3"),
        ("name=1\nwork = 3", ("name",), "1\nwork = 3"),
    ],
)
def test_one_key_is_changed_and_nothing_else(override: str, path: tuple[Any, ...], value: Any) -> None:
    before = copy.deepcopy(DOCUMENT)
    changed = apply_overrides(DOCUMENT, [override])
    assert at(changed, *path) == value
    assert before == DOCUMENT
    rest = {key: item for key, item in changed.items() if key != path[0]}
    assert rest == {key: item for key, item in DOCUMENT.items() if key != path[0]}


def test_later_settings_see_earlier_ones() -> None:
    changed = apply_overrides({}, ["policy=reserve", "policy.k0=1", "policy.k0=2"])
    assert changed == {"policy": {"name": "reserve", "k0": 2}}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "work.units",
            "--set: the setting = 'work.units': expected key=value. Write, for example, --set work.units=5.",
        ),
        ("=5", "--set: the setting = '=5': expected key=value"),
        ("work..units=5", "expected key=value"),
        ("a." * 40 + "b=1", "expected key=value"),
        (
            "pools.none.price=1",
            "--set: pools = 'none': the list has nothing of that id or number. There are: 0, 1, 2, spot, 0.",
        ),
        ("pools.3.price=1", "--set: pools = '3': the list has nothing"),
        ("pools.-1.price=1", "--set: pools = '-1': the list has nothing"),
        ("pools." + "9" * 5000 + ".price=1", "the list has nothing"),
        ("name.first=x", "--set: name = 'demo': this is one value, with no keys below it. Set it as a whole: name=..."),
        ("training.policy.k0=1", "--set: training.policy = 'mine': this is one value"),
        ("work.units=0x" + "F" * 5000, "--set: work.units = ...: this is too large a number"),
        ("work.units=" + "[" * 40 + "]" * 40, "this is nested more than"),
    ],
)
def test_a_setting_that_has_no_place_says_so(override: str, said: str) -> None:
    with pytest.raises(JobFileError) as caught:
        apply_overrides(DOCUMENT, [override])
    assert said in str(caught.value)


def test_a_setting_is_checked_like_the_file(tmp_path: Path) -> None:
    assert job_in(tmp_path, "work.units=5").document.work.units == 5
    with pytest.raises(JobFileError, match=r"night\.toml: work\.units = 'many': expected a number"):
        job_in(tmp_path, "work.units=many")


@given(PLAIN)
def test_a_value_as_toml_writes_it_is_read_back(value: Any) -> None:
    assert parse_value(show(value)) == value


@given(st.text())
def test_any_text_is_a_value(text: str) -> None:
    assert parse_value(text) is not None


def test_deeply_nested_text_is_just_a_text() -> None:
    text = "[" * sys.getrecursionlimit()
    assert parse_value(text) == text
