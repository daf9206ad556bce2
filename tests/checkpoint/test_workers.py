"""Random augmentation seeded by index: the same whoever makes the item, when, and whatever was drawn before."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from nightspot.checkpoint import ResumableSampler, SeededByIndex, seed_of, seeded

ROWS, BATCH = 24, 4


class Augmented(Dataset[torch.Tensor]):
    """Each item is its index and three random numbers, of three libraries."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([index, random.random(), np.random.rand(), torch.rand(1).item()], dtype=torch.float64)


def epochs(
    dataset: Dataset[torch.Tensor] | SeededByIndex[torch.Tensor], workers: int, count: int = 2, begin: int = 0
) -> list[list[list[float]]]:
    """All batches of the epochs from `begin` on, as numbers; workers live for all of them."""
    sampler = ResumableSampler(ROWS, BATCH, seed=5)
    sampler.epoch = begin
    loader: DataLoader[torch.Tensor] = DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return [[row for batch in sampler.batches(loader) for row in batch.tolist()] for _ in range(count)]


@pytest.fixture(scope="module")
def alone() -> list[list[list[float]]]:
    torch.manual_seed(1)
    return epochs(SeededByIndex(Augmented(), seed=3), workers=0)


@pytest.mark.parametrize("workers", [1, 2])
def test_items_are_the_same_with_any_number_of_workers_that_live_for_many_epochs(
    alone: list[list[list[float]]], workers: int
) -> None:
    torch.manual_seed(workers)
    assert epochs(SeededByIndex(Augmented(), seed=3), workers) == alone


def test_without_it_other_workers_make_other_items_or_this_proves_nothing() -> None:
    torch.manual_seed(1)
    one = epochs(Augmented(), workers=1, count=1)
    torch.manual_seed(1)
    two = epochs(Augmented(), workers=2, count=1)
    assert [row[0] for row in one[0]] == [row[0] for row in two[0]]
    assert one != two


def test_each_epoch_has_items_of_its_own_also_where_a_resume_begins_with_it(alone: list[list[list[float]]]) -> None:
    assert sorted(alone[0]) != sorted(alone[1])
    assert epochs(SeededByIndex(Augmented(), seed=3), workers=0, count=1, begin=1) == alone[1:]
    assert epochs(SeededByIndex(Augmented(), seed=4), workers=0) != alone


def test_what_was_drawn_before_and_will_be_drawn_after_is_not_touched() -> None:
    for draws in (1, 2):
        random.seed(draws), np.random.seed(draws), torch.manual_seed(draws)
        expected = random.random(), np.random.rand(), torch.rand(1).item()
        random.seed(draws), np.random.seed(draws), torch.manual_seed(draws)
        inside = SeededByIndex(Augmented())[3]
        assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
        assert torch.equal(inside, SeededByIndex(Augmented())[3])


def test_an_error_inside_leaves_the_random_states_as_they_were() -> None:
    random.seed(1)
    expected = random.Random(1).random()
    with pytest.raises(KeyError), seeded(1):
        raise KeyError
    assert random.random() == expected


def test_seeds_differ_wherever_anything_does() -> None:
    seeds = [
        seed_of(index, epoch=epoch, seed=seed) for index in range(20) for epoch in range(20) for seed in (0, 1, 2**70)
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of(1, epoch=2, seed=3) == 826601755384517880, "a seed that changes makes old checkpoints inexact"


@pytest.mark.parametrize("copied", [lambda it: pickle.loads(pickle.dumps(it)), copy.deepcopy])
def test_a_copy_has_an_epoch_of_its_own(copied: "object") -> None:
    one = SeededByIndex(Augmented(), seed=3)
    one.set_epoch(4)
    other: SeededByIndex[torch.Tensor] = copied(one)  # type: ignore[operator]
    assert (other.epoch, other.seed, len(other)) == (4, 3, ROWS)
    assert torch.equal(other[2], one[2])
    other.set_epoch(5)
    assert one.epoch == 4


def test_a_dataset_without_indices_is_refused() -> None:
    with pytest.raises(TypeError, match="generator"):
        SeededByIndex(row for row in range(3))  # type: ignore[arg-type]
