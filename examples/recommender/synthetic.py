"""A world of tastes to learn from: seeded, Zipf popularity, by default of MovieLens-100K's size and shape.

Each user and each item is a point in a space of a few tastes. A user chooses items without repetition, item i
with weight popularity[i] * exp(taste_strength * user . item). So popularity alone predicts something, knowing
the user's taste predicts more, and chance keeps any model far from perfect.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data import DataError, Integers, Interactions, sha256_of

Floats = npt.NDArray[np.float64]

TASTES = 8
TASTE_STRENGTH = 1.6
ZIPF_EXPONENT = 1.2
ZIPF_SHIFT = 20.0  # Zipf-Mandelbrot: nobody chooses an item twice, so the head is flatter than a pure power law
ACTIVITY_SPREAD = 0.9  # sigma of the log-normal number of choices of a user
LEAST_CHOICES = 20  # MovieLens keeps only users with this many ratings
MOST_SHARE = 0.5  # of all items, chosen by one user
YEAR_S = 365 * 86_400


@dataclass(frozen=True, slots=True)
class World:
    """Size of the generated world; the default is that of MovieLens-100K."""

    users: int = 943
    items: int = 1682
    interactions: int = 100_000
    seed: int = 100

    def __post_init__(self) -> None:
        """Refuse a world that cannot exist."""
        least, most = self.users * self.least_choices, self.users * self.most_choices
        if self.users < 1 or self.items < 4 or not least <= self.interactions <= most:
            raise DataError(
                f"{self.users} users and {self.items} items cannot share {self.interactions} interactions: "
                f"expected at least 1 user, 4 items, and {least} to {most} interactions"
            )

    @property
    def least_choices(self) -> int:
        """Choices that every user makes at least; fewer than LEAST_CHOICES only in a tiny world."""
        return min(LEAST_CHOICES, self.most_choices // 2)

    @property
    def most_choices(self) -> int:
        """Choices that a user makes at most."""
        return int(self.items * MOST_SHARE)


def generate(world: World) -> Interactions:
    """The world's interactions, a pure function of `world`; ids count from 1, as in MovieLens."""
    random = np.random.default_rng(world.seed)
    weights = _log_popularity(world, random) + TASTE_STRENGTH * _affinity(world, random)
    choices = _choices_per_user(world, random)
    # The largest of (log weight + Gumbel noise) are a draw without replacement in proportion to the weights.
    ranked = np.argsort(-(weights + random.gumbel(size=weights.shape)), axis=1, kind="stable")
    users = np.repeat(np.arange(world.users), choices)
    items = ranked[np.arange(world.items) < choices[:, None]]
    times_s = random.integers(0, YEAR_S, size=len(users))  # tastes do not drift: time carries no information
    return _interactions(world, users, items, times_s)


def _log_popularity(world: World, random: np.random.Generator) -> Floats:
    """Log weight of each item, float64 [items]; the id says nothing about the rank."""
    rank = 1 + random.permutation(world.items)
    return np.asarray(-ZIPF_EXPONENT * np.log(rank + ZIPF_SHIFT))


def _affinity(world: World, random: np.random.Generator) -> Floats:
    """How well each item meets each user's taste: float64 [users, items], zero mean, variance about one."""
    items = random.normal(size=(world.items, TASTES)) / np.sqrt(TASTES)
    users = random.normal(size=(world.users, TASTES))
    # einsum, not BLAS: BLAS may sum in another order on another machine, and the data must not differ there.
    return np.asarray(np.einsum("uk,ik->ui", users, items))


def _choices_per_user(world: World, random: np.random.Generator) -> Integers:
    """Log-normal activity, int64 [users], whose sum is exactly the wanted number of interactions."""
    activity = random.lognormal(sigma=ACTIVITY_SPREAD, size=world.users)
    room = world.most_choices - world.least_choices
    extra = (world.interactions - world.users * world.least_choices) * activity / activity.sum()
    choices: Integers = world.least_choices + np.minimum(extra.astype(np.int64), room)
    while (missing := world.interactions - int(choices.sum())) > 0:  # each round adds at least one
        choices[np.flatnonzero(choices < world.most_choices)[:missing]] += 1
    return choices


def _interactions(world: World, users: Integers, items: Integers, times_s: Integers) -> Interactions:
    user_ids, item_ids = np.arange(1, world.users + 1), np.arange(1, world.items + 1)
    return Interactions(users, items, times_s, user_ids, item_ids, sha256_of([users, items, times_s]))
