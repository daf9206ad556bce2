"""Recall@k and nDCG@k over all items but those a user had in training, and the popularity baseline."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from data import Split

Floats = npt.NDArray[np.float32]
ScoreUsers = Callable[[int, int], Floats]  # (first_user, end_user) -> scores [end_user - first_user, items]

K = 10
USERS_AT_ONCE = 1024  # bounds the memory: a few [users, items] arrays of this many rows


def evaluate(score: ScoreUsers, split: Split, users: int, items: int, k: int = K) -> dict[str, float]:
    """Mean Recall@k and nDCG@k (0 to 1) over the users with held-out items; `users`, `items`: how many."""
    recalls, ndcgs = [], []
    for first in range(0, users, USERS_AT_ONCE):
        end = min(users, first + USERS_AT_ONCE)
        asked = split.held_out.mask(first, end, items)
        scores = np.where(split.train.mask(first, end, items), -np.inf, score(first, end))
        hits = np.take_along_axis(asked, best(scores, k), axis=1)
        held_out = asked.sum(axis=1)
        recalls.append(recall(hits, held_out)[held_out > 0])
        ndcgs.append(ndcg(hits, held_out)[held_out > 0])
    return {f"recall_at_{k}": _mean(recalls), f"ndcg_at_{k}": _mean(ndcgs)}


def best(scores: npt.NDArray[np.floating], k: int) -> npt.NDArray[np.int64]:
    """Items of the k highest scores, best first, ties by lower index: [users, items] -> int64 [users, k]."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def recall(hits: npt.NDArray[np.bool_], held_out: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Share of the held-out items that were recommended.

    hits: [users, k]; held_out: how many, [users] -> [users].
    """
    return np.asarray(hits.sum(axis=1) / np.maximum(held_out, 1))


def ndcg(hits: npt.NDArray[np.bool_], held_out: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Discounted gain, as a share of what a perfect list would gain.

    hits: [users, k], best first; held_out: how many, [users] -> [users].
    """
    discount = 1 / np.log2(np.arange(hits.shape[1]) + 2)
    ideal = np.cumsum(discount)[np.clip(held_out, 1, hits.shape[1]) - 1]
    return np.asarray((hits * discount).sum(axis=1) / ideal)


def popularity(split: Split, items: int) -> ScoreUsers:
    """Scores every item by how often it was chosen in training, the same for every user."""
    counts = np.bincount(split.train.items, minlength=items).astype(np.float32)
    return lambda first, end: np.broadcast_to(counts, (end - first, items))


def _mean(parts: list[npt.NDArray[np.float64]]) -> float:
    values = np.concatenate(parts)
    return float(values.mean()) if len(values) else 0.0
