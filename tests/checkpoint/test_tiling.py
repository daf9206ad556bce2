"""Boxes are a tensor, each element once, or they are refused."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from nightspot.checkpoint.errors import DamagedError
from nightspot.checkpoint.tiling import check_index

Box = tuple[tuple[int, ...], tuple[int, ...]]


def entry(shape: tuple[int, ...], boxes: list[Box]) -> dict[str, Any]:
    pieces = [{"file": "a.bin", "offset_bytes": 0, "offsets": list(o), "sizes": list(n)} for o, n in boxes]
    return {"dtype": "float32", "shape": list(shape), "pieces": pieces}


def refused(shape: tuple[int, ...], boxes: list[Box]) -> bool:
    try:
        check_index({"x": entry(shape, boxes)}, "step-000000001")
    except DamagedError as error:
        assert "step-000000001: its index" in str(error) and "x" in str(error)
        return True
    return False


def counted(shape: tuple[int, ...], boxes: list[Box]) -> bool:
    """Whether each element is in exactly one box, found out by looking at each."""
    times: dict[tuple[int, ...], int] = {}
    for offsets, sizes in boxes:
        for at in itertools.product(*(range(o, o + n) for o, n in zip(offsets, sizes, strict=True))):
            times[at] = times.get(at, 0) + 1
    return times == dict.fromkeys(itertools.product(*map(range, shape)), 1)


def cut(shape: tuple[int, ...], draw: random.Random) -> list[Box]:
    """The whole, cut again and again."""
    boxes: list[Box] = [((0,) * len(shape), shape)]
    for _ in range(draw.randrange(5)):
        offsets, sizes = boxes.pop(draw.randrange(len(boxes)))
        dim = draw.randrange(len(shape))
        first = draw.randrange(sizes[dim] + 1)
        for start, count in ((0, first), (first, sizes[dim] - first)):
            moved = (*offsets[:dim], offsets[dim] + start, *offsets[dim + 1 :])
            boxes.append((moved, (*sizes[:dim], count, *sizes[dim + 1 :])))
    return boxes


def test_it_agrees_with_counting_every_element() -> None:
    draw, verdicts = random.Random(4), []
    for _ in range(400):
        shape = tuple(draw.randint(1, 4) for _ in range(draw.randint(1, 3)))
        boxes = cut(shape, draw)
        if draw.random() < 0.6:  # one of them is moved, made smaller, or there twice
            offsets, sizes = boxes.pop(draw.randrange(len(boxes)))
            dim = draw.randrange(len(shape))
            count = draw.randint(0, shape[dim])
            start = draw.randint(0, shape[dim] - count)
            boxes.append(((*offsets[:dim], start, *offsets[dim + 1 :]), (*sizes[:dim], count, *sizes[dim + 1 :])))
        verdicts.append(counted(shape, boxes))
        assert refused(shape, boxes) != verdicts[-1], (shape, boxes)
    assert 100 < sum(verdicts) < 300


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (2,) * 20])
def test_a_tensor_in_one_piece_is_right_whatever_its_shape(shape: tuple[int, ...]) -> None:
    assert not refused(shape, [((0,) * len(shape), shape)])
    assert refused(shape, []) == (0 not in shape)


def test_an_index_that_would_take_for_ever_to_look_at_is_refused() -> None:
    shape = (2,) * 24
    boxes: list[Box] = [(tuple((at >> bit) & 1 for bit in range(24)), (1,) * 24) for at in range(50)]
    assert refused(shape, boxes)
