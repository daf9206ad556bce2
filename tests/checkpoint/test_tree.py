"""What a checkpoint carries comes back with the same types and bits, or is refused by name."""

import json
import math
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nightspot.checkpoint import StateError, _numpy
from nightspot.checkpoint.tree import Decoder, Encoder

KEYS = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.tuples(st.integers(), st.text()))
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary())
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner),
        st.dictionaries(KEYS, inner).map(OrderedDict),
        st.lists(inner).map(lambda items: deque(items, 9)),
        st.frozensets(st.integers()),
        st.sets(st.text()),
    ),
    max_leaves=20,
)


def there_and_back(value: Any) -> Any:
    encoder = Encoder()
    text = json.dumps(encoder.encode(value, "it"), allow_nan=False)
    return Decoder(lambda told: encoder.tensors.by_key[told["key"]].clone()).decode(json.loads(text))


def exactly(value: Any) -> Any:
    """Equal only for equal types, order and bits: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    if isinstance(value, dict):
        return type(value), [(exactly(key), exactly(item)) for key, item in value.items()]
    if isinstance(value, (set, frozenset)):
        return type(value), value
    if isinstance(value, (list, tuple, deque)):
        return type(value), [exactly(item) for item in value]
    return type(value), value, isinstance(value, float) and math.copysign(1, value)


@given(TREES)
def test_a_tree_of_primitives_comes_back_with_the_same_types_order_and_bits(tree: Any) -> None:
    assert exactly(there_and_back(tree)) == exactly(tree)


def test_a_dict_that_uses_the_tag_as_a_key_is_not_mistaken() -> None:
    assert there_and_back({"!": "tensor", "at": 0}) == {"!": "tensor", "at": 0}


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_floats_that_json_does_not_know_come_back(value: float) -> None:
    assert repr(there_and_back(value)) == repr(value)


def test_a_counter_stays_a_counter() -> None:
    back = there_and_back({"milestones": Counter({30: 1, 60: 2})})
    assert type(back["milestones"]) is Counter
    assert back["milestones"] == Counter({30: 1, 60: 2})


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array([], dtype=np.int8),
        np.array(["a", "bc"]),
        np.array([1, 2], dtype=">i4"),
        np.array("2026-01-01", dtype="M8[s]"),
    ],
)
def test_arrays_come_back_writable_and_equal(array: Any) -> None:
    back = there_and_back(array)
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert back.flags.writeable


def test_a_scalar_of_numpy_stays_one() -> None:
    back = there_and_back(np.float64(0.1))
    assert type(back) is np.float64
    assert back == np.float64(0.1)


def test_a_text_of_numpy_without_letters_comes_back() -> None:
    back = there_and_back(np.str_(""))
    assert (type(back), back) == (np.str_, "")


def test_an_array_that_would_come_back_as_another_type_is_refused() -> None:
    """bfloat16 of ml_dtypes says of itself what numpy calls two bytes of nothing."""
    bfloat16 = SimpleNamespace(hasobject=False, fields=None, itemsize=2, str="<V2")
    with pytest.raises(StateError, match="numpy itself does not know"):
        _numpy.encode(SimpleNamespace(dtype=bfloat16, tobytes=lambda: b"ab"), "loop['scale']")


def test_torch_types_come_back() -> None:
    small = {"dtype": torch.bfloat16, "size": torch.Size([2, 3]), "device": torch.device("cpu")}
    back = there_and_back(small)
    assert back == small
    assert type(back["size"]) is torch.Size


def test_the_same_tensor_twice_stays_one_tensor() -> None:
    shared = torch.ones(3)
    back = there_and_back({"a": shared, "b": [shared]})
    assert back["a"] is back["b"][0]


def test_format_versions_of_modules_survive() -> None:
    state = torch.nn.BatchNorm1d(2).state_dict()
    assert there_and_back(state)._metadata == state._metadata  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", [Path("x"), object(), defaultdict(int), 1j, np.array([object()])])
def test_what_cannot_be_kept_is_refused_with_its_path(value: object) -> None:
    with pytest.raises(StateError, match=r"sampler\['queue'\]\[1\] is a"):
        Encoder().encode({"queue": [0, value]}, "sampler")


def test_a_value_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="shutil"):
        Decoder(lambda _: None).decode({"!": "shutil.rmtree", "path": "/"})
