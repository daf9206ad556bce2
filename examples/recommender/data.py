"""Who chose which item, and when: one shape for generated and real data, and the split for honest scores."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

HELD_OUT_SHARE = 0.2
TIE_SEED = 20  # ties in time are broken by a fixed shuffle: by item id would hold out the ids that are high


class DataError(Exception):
    """The data cannot be used; the message names file, line and what was expected. Retrying is no help."""


@dataclass(frozen=True, slots=True)
class Interactions:
    """Implicit feedback: user `users[r]` chose item `items[r]` at `times_s[r]`; no pair occurs twice.

    users, items: int64 [rows], dense indices into user_ids [users] and item_ids [items].
    times_s: int64 [rows], seconds. sha256: of the file as it lies on disk, or of the generated columns.
    """

    users: Integers
    items: Integers
    times_s: Integers
    user_ids: Integers
    item_ids: Integers
    sha256: str

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, slots=True)
class Pairs:
    """(user, item) pairs, int64 [rows] each; ordered by user, so that a range of users is one slice."""

    users: Integers
    items: Integers

    def __len__(self) -> int:
        return len(self.users)

    def mask(self, first_user: int, end_user: int, item_count: int) -> npt.NDArray[np.bool_]:
        """True where a pair exists: bool [end_user - first_user, item_count]."""
        start, end = np.searchsorted(self.users, [first_user, end_user])
        found = np.zeros((end_user - first_user, item_count), dtype=np.bool_)
        found[self.users[start:end] - first_user, self.items[start:end]] = True
        return found


@dataclass(frozen=True, slots=True)
class Split:
    """What the model may learn from, and what it is asked afterwards. No pair is in both."""

    train: Pairs
    held_out: Pairs


def split_by_time(data: Interactions, share: float = HELD_OUT_SHARE) -> Split:
    """Hold out the latest `share` of each user's rows, at least one; a single row is for training."""
    shuffle = np.random.default_rng(TIE_SEED).permutation(len(data))
    order = np.lexsort((shuffle, data.times_s, data.users))
    users, items = data.users[order], data.items[order]
    rows_of_user = np.bincount(users, minlength=len(data.user_ids))
    kept = rows_of_user - np.where(rows_of_user > 1, np.maximum(1, (share * rows_of_user).astype(np.int64)), 0)
    position = np.arange(len(users)) - (np.cumsum(rows_of_user) - rows_of_user)[users]
    late = position >= kept[users]
    return Split(Pairs(users[~late], items[~late]), Pairs(users[late], items[late]))


def from_rows(rows: npt.NDArray[np.int64], sha256: str) -> Interactions:
    """From raw int64 [rows, 3] (user id, item id, seconds); a repeated pair counts where it stands first."""
    _, first = np.unique(rows[:, :2], axis=0, return_index=True)
    rows = rows[np.sort(first)]
    user_ids, users = np.unique(rows[:, 0], return_inverse=True)
    item_ids, items = np.unique(rows[:, 1], return_inverse=True)
    return Interactions(users, items, rows[:, 2], user_ids, item_ids, sha256)


def sha256_of(columns: Sequence[Integers]) -> str:
    """Hex digest of the values, the same on every machine."""
    digest = hashlib.sha256()
    for column in columns:
        digest.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
    return digest.hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hex digest of a file: what `sha256sum` prints."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
