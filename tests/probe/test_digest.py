"""Digests: equal for equal bits, and different for any changed one."""

from __future__ import annotations

import random
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from nightspot.drill import record_probe

sys.path.insert(0, str(record_probe.FOLDER))
from nightspot_probe import digest

LARGE = digest.WHOLE_BYTES // 4 * 3  # float32 values: three times what is hashed whole


class Pair(NamedTuple):
    left: Any
    right: Any


def of(value: Any) -> str:
    return digest.of_values(torch, value)


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        torch.float64,
        torch.bfloat16,
        torch.float16,
        torch.int64,
        torch.uint8,
        torch.bool,
        torch.complex64,
    ],
)
def test_tensors_of_every_dtype_count_by_their_bits(dtype: torch.dtype) -> None:
    one = torch.arange(12).to(dtype)
    assert of(one) == of(one.clone())
    assert of(one) != of(one.flip(0))
    assert of(one) != of(one.reshape(3, 4))


def test_views_count_by_what_is_seen_of_them() -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    assert of(whole[:, 1]) == of(whole[:, 1].clone())
    assert of(whole.t()) == of(whole.t().contiguous())
    numbers = torch.tensor([1 + 2j])
    assert of(numbers.conj()) == of(torch.tensor([1 - 2j]))


def test_minus_zero_and_nans_are_told_apart() -> None:
    assert of(torch.tensor([0.0])) != of(torch.tensor([-0.0]))
    assert of(torch.tensor([float("nan")])) == of(torch.tensor([float("nan")]))


def test_sparse_and_empty_tensors_count() -> None:
    sparse = torch.tensor([1.0, 0.0, 2.0]).to_sparse()
    assert of(sparse) == of(sparse.clone())
    assert of(sparse) != of(sparse * 2)
    rows = torch.eye(3).to_sparse_csr()
    assert of(rows) == of(rows.clone()) and of(rows) != of(rows * 2)
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    assert of(nested) == of(nested.clone()) and of(nested) != of(nested * 2)
    assert of(torch.empty(0)) != of(torch.empty(0, 1))
    assert of(torch.empty(3, device="meta")) == of(torch.empty(3, device="meta"))


def test_one_changed_value_of_a_large_tensor_changes_the_digest() -> None:
    large = torch.zeros(LARGE)
    before = of([large])
    for at in (0, 1, LARGE // 2 + 17, LARGE - 1):
        large[at] = 1e-30
        assert of([large]) != before
        large[at] = 0
    assert of([large]) == before


def test_a_large_tensor_that_begins_askew_counts_too() -> None:
    odd = torch.arange(LARGE + 1, dtype=torch.float32)[1:]
    assert of([odd]) == of([odd.clone()])


def test_containers_count_by_kind_order_and_content() -> None:
    value = {"a": [1, 2.5, "x", None, True, b"y"], "b": (torch.ones(2), np.arange(3))}
    same = {"a": [1, 2.5, "x", None, True, b"y"], "b": (torch.ones(2), np.arange(3))}
    assert of(value) == of(same)
    assert of([1, 2]) != of([2, 1])
    assert of([1]) != of((1,)) and of([[1], 2]) != of([1, [2]])
    assert of({"a": 1, "b": 2}) == of({"b": 2, "a": 1}), "a saved state may come back in another order"
    assert of(Pair(1, 2)) != of(Pair(1, 3))
    assert of({1, 2, 3}) == of({3, 2, 1})


def test_objects_count_by_their_attributes() -> None:
    class Batch:
        def __init__(self, inputs: torch.Tensor) -> None:
            self.inputs = inputs

    assert of(Batch(torch.ones(2))) == of(Batch(torch.ones(2)))
    assert of(Batch(torch.ones(2))) != of(Batch(torch.zeros(2)))


def test_a_value_inside_itself_comes_to_an_end() -> None:
    value: list[Any] = [1]
    value.append(value)
    assert of(value) == of(value)


def test_reading_random_states_moves_none_and_tells_them_apart() -> None:
    first = digest.of_random_states(torch)
    assert digest.of_random_states(torch) == first
    names = [part.partition("=")[0] for part in first.split()]
    assert names == ["python", "numpy", "torch"]
    for name, draw in (("python", random.random), ("numpy", np.random.random), ("torch", lambda: torch.rand(1))):
        before = dict(part.split("=") for part in digest.of_random_states(torch).split())
        draw()
        after = dict(part.split("=") for part in digest.of_random_states(torch).split())
        assert {one for one in before if before[one] != after[one]} == {name}
