"""Reading costs at another amount of work left: between two units of work, on a straight line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def worked(cost: Array, done: Array, out: Array) -> None:
    """out[level, ..., w] = cost[level, ..., w - done[level]]; nothing left costs nothing. 0 <= done <= 1.

    `out` may have one level more than `cost`: the last of `cost` then serves the last two of `out`.
    """
    levels = len(cost)
    by_level = done[:, None, None]
    out[..., 0] = 0.0
    step = cost[..., :-1] - cost[..., 1:]
    np.multiply(step, by_level[:levels], out=out[:levels, ..., 1:])
    out[:levels, ..., 1:] += cost[..., 1:]
    if len(out) > levels:
        np.multiply(step[-1], by_level[levels], out=out[levels, ..., 1:])
        out[levels, ..., 1:] += cost[-1, ..., 1:]


def more(cost: Array, again: float, slope: np.float32) -> Array:
    """cost[..., w + again]; beyond the last, on-demand's price for each unit. Nothing left stays nothing left."""
    whole, part = int(again), np.float32(again - int(again))
    far = np.empty((*cost.shape[:-1], cost.shape[-1] + whole + 1), np.float32)
    far[..., : cost.shape[-1]] = cost
    far[..., cost.shape[-1] :] = cost[..., -1:] + slope * np.arange(1, whole + 2, dtype=np.float32)
    moved: Array = far[..., whole:-1] + part * (far[..., whole + 1 :] - far[..., whole:-1])
    moved[..., 0] = 0.0
    return moved


def redone(cost: Array, redo: float) -> Array:
    """cost[..., w + redo], and no more than the last: what was not done cannot be lost. Nothing left stays nothing left."""
    last = cost.shape[-1] - 1
    whole, part = int(redo), np.float32(redo - int(redo))
    low = np.minimum(np.arange(last + 1) + whole, last)
    far = cost[..., low]
    moved: Array = far + part * (cost[..., np.minimum(low + 1, last)] - far)
    moved[..., 0] = 0.0
    return moved


def between(cost: Array, work: float) -> Array:
    """cost[..., work], for any work from 0 to the last."""
    index = min(int(work), cost.shape[-1] - 2)
    part = np.float32(work - index)
    found: Array = cost[..., index] + part * (cost[..., index + 1] - cost[..., index])
    return found
