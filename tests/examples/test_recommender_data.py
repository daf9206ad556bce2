"""The generated world is MovieLens-like and reproducible; the split is fair."""

import numpy as np
import pytest

from data import DataError, Interactions, Pairs, split_by_time
from synthetic import ZIPF_EXPONENT, ZIPF_SHIFT, World, generate

SMALL = World(users=50, items=80, interactions=2000, seed=3)


@pytest.fixture(scope="module")
def default() -> Interactions:
    return generate(World())


def pairs(some: Interactions | Pairs) -> set[tuple[int, int]]:
    return set(zip(some.users.tolist(), some.items.tolist(), strict=True))


def test_the_default_has_the_size_of_movielens_100k(default: Interactions) -> None:
    assert (len(default.user_ids), len(default.item_ids), len(default)) == (943, 1682, 100_000)
    assert np.bincount(default.users).min() >= 20
    assert len(pairs(default)) == len(default), "a user chooses an item once"


def test_popularity_follows_zipf(default: Interactions) -> None:
    counts = np.sort(np.bincount(default.items, minlength=1682))[::-1]
    log_rank, log_count = np.log(np.arange(1, 841) + ZIPF_SHIFT), np.log(counts[:840])
    slope, _ = np.polyfit(log_rank, log_count, 1)
    assert -ZIPF_EXPONENT < slope < -0.6  # nobody chooses twice and tastes differ: flatter than the weights
    assert np.corrcoef(log_rank, log_count)[0, 1] < -0.98, "a straight line on log-log paper"
    assert 0.3 < counts[:168].sum() / counts.sum() < 0.5  # MovieLens-100K: 0.43 in the top tenth


def test_an_id_says_nothing_about_popularity(default: Interactions) -> None:
    counts = np.bincount(default.items, minlength=1682)
    assert abs(np.corrcoef(np.arange(1682), counts)[0, 1]) < 0.1


def test_the_same_world_gives_the_same_data() -> None:
    assert generate(SMALL).sha256 == generate(SMALL).sha256
    assert generate(SMALL).sha256 != generate(World(50, 80, 2000, seed=4)).sha256


@pytest.mark.parametrize("interactions", [1000, 3000, 5000])
def test_the_number_of_interactions_is_exact_from_limit_to_limit(interactions: int) -> None:
    world = World(users=50, items=200, interactions=interactions)
    assert len(generate(world)) == world.interactions


def test_a_world_that_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match=r"cannot share 100 .* 1000 to 2000 interactions"):
        World(users=50, items=80, interactions=100)


def test_the_split_holds_out_each_users_latest_rows() -> None:
    data = generate(SMALL)
    split = split_by_time(data, share=0.2)
    when = {(u, i): t for u, i, t in zip(data.users, data.items, data.times_s, strict=True)}
    assert pairs(split.train) | pairs(split.held_out) == pairs(data)
    assert not pairs(split.train) & pairs(split.held_out)
    for user in range(50):
        train = [when[pair] for pair in pairs(split.train) if pair[0] == user]
        held_out = [when[pair] for pair in pairs(split.held_out) if pair[0] == user]
        assert max(train) <= min(held_out)
        assert len(held_out) == max(1, int(0.2 * (len(train) + len(held_out))))


def test_a_user_with_one_row_is_only_trained_on() -> None:
    column = np.zeros(1, dtype=np.int64)
    split = split_by_time(Interactions(column, column, column, column, column, ""))
    assert (len(split.train), len(split.held_out)) == (1, 0)


def test_a_mask_covers_only_its_range_of_users() -> None:
    split = split_by_time(generate(SMALL))
    found = split.train.mask(10, 20, 80)
    expected = {(u, i) for u, i in pairs(split.train) if 10 <= u < 20}
    assert {(int(u) + 10, int(i)) for u, i in np.argwhere(found)} == expected
