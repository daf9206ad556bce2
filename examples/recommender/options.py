"""Command-line options that the scripts of this folder share, and the data they ask for."""

import argparse
from dataclasses import dataclass, fields
from pathlib import Path

import movielens
from data import DataError, Interactions, Split, split_by_time
from synthetic import World, generate
from training import Hyperparameters

SYNTHETIC = "synthetic"


@dataclass(frozen=True, slots=True)
class Task:
    """Data, split, and how to train on it."""

    data: Interactions
    split: Split
    chosen: Hyperparameters

    @property
    def users(self) -> int:
        """Number of users."""
        return len(self.data.user_ids)

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.data.item_ids)


def parser(description: str) -> argparse.ArgumentParser:
    """A parser that knows the options of data and hyperparameters."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    _add_hyperparameters(made.add_argument_group("hyperparameters"))
    _add_data(made.add_argument_group("data"))
    made.add_argument("--threads", type=_count, default=1, help="CPU threads; fixed, for equal bits")
    return made


def task(options: argparse.Namespace) -> Task:
    """Load or generate, and split. Raises DataError."""
    data = _data(options)
    split = split_by_time(data)
    if not len(split.held_out):
        raise DataError(f"{options.data}: expected a user with two items or more, found none: nothing to score")
    chosen = Hyperparameters(**{field.name: getattr(options, field.name) for field in fields(Hyperparameters)})
    return Task(data, split, chosen)


def _data(options: argparse.Namespace) -> Interactions:
    if options.data == SYNTHETIC:
        return generate(World(options.users, options.items, options.interactions, options.data_seed))
    return movielens.load(Path(options.data))


def _add_hyperparameters(group: argparse._ArgumentGroup) -> None:
    usual = Hyperparameters()
    group.add_argument("--epochs", type=_count, default=usual.epochs, help="passes over the training pairs")
    group.add_argument("--seed", type=_seed, default=usual.seed, help="of initial weights, order and negatives")
    group.add_argument("--dim", type=_count, default=usual.dim, help="numbers in a user's or item's vector")
    group.add_argument("--batch-size", type=_count, default=usual.batch_size, help="pairs in a step")
    group.add_argument("--negatives", type=_count, default=usual.negatives, help="sampled for each pair")
    group.add_argument("--lr", type=_amount, default=usual.lr, help="highest rate of the one-cycle schedule")
    group.add_argument("--weight-decay", type=_amount, default=usual.weight_decay, help="of AdamW, times lr")


def _add_data(group: argparse._ArgumentGroup) -> None:
    usual = World()
    group.add_argument(
        "--data", default=SYNTHETIC, help=f"'{SYNTHETIC}', or a path to MovieLens' ratings.csv or u.data"
    )
    group.add_argument("--users", type=_count, default=usual.users, help="of the synthetic world")
    group.add_argument("--items", type=_count, default=usual.items, help="of the synthetic world")
    group.add_argument("--interactions", type=_count, default=usual.interactions, help="of the synthetic world")
    group.add_argument("--data-seed", type=_seed, default=usual.seed, help="of the synthetic world")


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text}")
    return number


def _seed(text: str) -> int:
    if not 0 <= (number := int(text)) < 2**31:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 2^31 - 1, found {text}")
    return number


def _amount(text: str) -> float:
    if not 0 <= (number := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a finite number from 0, found {text}")
    return number
