"""Recall and nDCG against cases worked out by hand."""

import math

import numpy as np
import pytest

from data import Pairs, Split
from metrics import best, evaluate, ndcg, popularity, recall


def pairs(*some: tuple[int, int]) -> Pairs:
    columns = np.array(sorted(some), dtype=np.int64).reshape(-1, 2)
    return Pairs(columns[:, 0], columns[:, 1])


def test_best_lists_high_scores_first_and_breaks_ties_by_index() -> None:
    assert best(np.array([[0.1, 0.9, 0.5, 0.9]]), 3).tolist() == [[1, 3, 2]]


def test_recall_and_ndcg_of_known_lists() -> None:
    hits = np.array([[True, False, True], [False, False, False], [True, True, True]])
    held_out = np.array([4, 1, 3])
    assert recall(hits, held_out).tolist() == [0.5, 0, 1]
    one_and_three = (1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2)  # ranks 1 and 3 of an ideal 1, 2, 3
    assert ndcg(hits, held_out) == pytest.approx([one_and_three, 0, 1])


def test_ndcg_of_one_held_out_item_depends_on_its_rank_alone() -> None:
    for rank in range(1, 4):
        hits = np.arange(1, 4)[None] == rank
        assert ndcg(hits, np.array([1])) == pytest.approx([1 / math.log2(rank + 1)])


def test_items_of_the_training_set_are_not_recommended() -> None:
    split = Split(train=pairs((0, 0), (1, 1)), held_out=pairs((0, 1), (1, 2)))
    scores = np.array([[9, 5, 1, 0], [0, 9, 5, 1]], dtype=np.float32)
    found = evaluate(lambda first, end: scores[first:end], split, users=2, items=4, k=1)
    assert found == {"recall_at_1": 1.0, "ndcg_at_1": 1.0}


def test_users_without_held_out_items_do_not_count() -> None:
    split = Split(train=pairs((0, 0), (1, 0)), held_out=pairs((1, 1)))
    scores = np.array([[0, 0, 1], [0, 1, 0]], dtype=np.float32)
    assert evaluate(lambda first, end: scores[first:end], split, users=2, items=3, k=1)["recall_at_1"] == 1.0


def test_many_users_are_scored_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(30, 20)).astype(np.float32)
    split = Split(pairs(*((u, u % 20) for u in range(30))), pairs(*((u, (u + 3) % 20) for u in range(30))))
    whole = evaluate(lambda first, end: scores[first:end], split, users=30, items=20)
    monkeypatch.setattr("metrics.USERS_AT_ONCE", 7)
    assert evaluate(lambda first, end: scores[first:end], split, users=30, items=20) == pytest.approx(whole)


def test_popularity_counts_training_pairs_only() -> None:
    split = Split(train=pairs((0, 2), (1, 2), (2, 1)), held_out=pairs((0, 0), (1, 0), (2, 0)))
    assert popularity(split, 4)(0, 2).tolist() == [[0, 1, 2, 0], [0, 1, 2, 0]]
