"""A table is copied ahead only where each step changes the rows that its sparse gradients name; all else is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from nightspot.checkpoint.ahead._tables import find, why_not
from nightspot.checkpoint.ahead._tracker import Tracker
from nightspot.checkpoint.errors import ConfigError
from tests.checkpoint.ahead_training import Training, adagrad, sparse_adam, two

USERS = "model/users.weight"


def tables(training: Training, wanted: tuple[str, ...] | None = None) -> dict[str, list[str]]:
    return {table.key: list(table.columns) for table in find(training.states, training.tensors(), wanted)}


def test_every_sparse_embedding_is_found_once_with_all_that_its_optimizer_keeps_by_row() -> None:
    training = Training()
    training.step()
    found = tables(training)
    assert list(found) == [USERS, "model/items.weight", "model/days.weight"], "tied.weight is days.weight"
    assert [key.rpartition("/")[2] for key in found[USERS]] == ["users.weight", "exp_avg", "exp_avg_sq"]
    training = Training(adagrad)
    training.step()
    assert [key.rpartition("/")[2] for key in tables(training, (USERS,))[USERS]] == ["users.weight", "sum"]
    assert len(tables(Training())[USERS]) == 1, "before the first step SparseAdam keeps nothing"


def sgd(**options: Any) -> Callable[[Training], dict[str, torch.optim.Optimizer]]:
    return lambda training: {"sparse": torch.optim.SGD(training.tables(), lr=0.1, **options)}


class Own(torch.optim.SparseAdam):
    """Whatever it does."""


@pytest.mark.parametrize(
    ("optimizers", "reason"),
    [
        (sgd(momentum=0.9), "SGD with momentum = 0.9 changes every row"),
        (sgd(weight_decay=0.01), "SGD with weight_decay = 0.01 changes every row"),
        (lambda t: {"sparse": torch.optim.Adagrad(t.tables(), weight_decay=0.1)}, "Adagrad with weight_decay = 0.1"),
        (lambda t: {"sparse": torch.optim.Adam(t.tables())}, "Adam is not known to change only the rows"),
        (lambda t: {"sparse": Own(t.tables())}, "Own is not known"),
        (lambda t: sparse_adam(t) | {"b": torch.optim.AdamW(t.tables())}, "AdamW is not known"),
        (lambda _: {}, "no optimizer among the states holds it"),
    ],
)
def test_an_optimizer_that_touches_every_row_is_refused_with_table_and_reason(
    optimizers: Callable[[Training], dict[str, torch.optim.Optimizer]], reason: str
) -> None:
    with pytest.raises(ConfigError, match=f"copy_ahead does not fit {USERS}: .*{reason}.*SparseAdam"):
        tables(Training(optimizers), (USERS,))
    with pytest.raises(ConfigError, match=reason):
        tables(Training(optimizers))


@pytest.mark.parametrize("optimizers", [sparse_adam, adagrad, two, sgd()])
def test_optimizers_known_to_leave_other_rows_alone_are_taken(
    optimizers: Callable[[Training], dict[str, torch.optim.Optimizer]],
) -> None:
    """And they do: a step changes no row, of no column, that its gradient does not name."""
    training = Training(optimizers)
    training.step()
    users = find(training.states, training.tensors(), (USERS,))[0]
    before = {key: column.detach().clone() for key, column in users.columns.items()}
    training.look_up(torch.tensor([[5, 1, 1, 1], [5, 2, 2, 2], [77, 3, 3, 3]]))
    others = torch.ones(len(users.weight), dtype=torch.bool)
    others[[5, 77]] = False
    for key, column in users.columns.items():
        assert torch.equal(column.detach()[others], before[key][others])
        assert not torch.equal(column.detach()[~others], before[key][~others])


def changed(how: Callable[[Training], object]) -> str | None:
    training = Training()
    how(training)
    return why_not(training.states, training.model.users.weight)


def test_a_weight_that_is_used_elsewhere_or_changed_by_look_ups_is_refused() -> None:
    def tie(training: Training) -> None:
        training.model.top.weight = training.model.users.weight

    def alias(training: Training) -> None:
        training.model.top.bias = torch.nn.Parameter(training.model.users.weight.detach()[0])

    assert changed(lambda _: None) is None
    assert "model/top uses it too, and is a Linear" in str(changed(tie))
    assert "model/top has another parameter in the same memory" in str(changed(alias))
    assert "max_norm" in str(changed(lambda t: setattr(t.model.users, "max_norm", 1.0)))
    assert "dense" in str(changed(lambda t: setattr(t.model.users, "sparse", False)))


def test_a_name_that_is_no_sparse_embedding_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ConfigError, match=f"names 'model/top.weight': expected .*; there is {USERS}, model/items.weight"
    ):
        tables(Training(), ("model/top.weight",))


def test_a_table_that_is_not_in_cpu_memory_is_refused() -> None:
    model = torch.nn.ModuleDict({"users": torch.nn.Embedding(5, 2, sparse=True, device="meta")})
    weights = {f"model/{key}": weight for key, weight in model.state_dict().items()}
    with pytest.raises(ConfigError, match=f"does not fit {USERS}: it is on the device meta"):
        find({"model": model}, weights, None)


def tracked(how: Callable[[Training], object], sampled_rows: int = 64) -> str | None:
    """What a tracker says after something happened to the training."""
    training = Training()
    training.step()
    tracker = Tracker(find(training.states, training.tensors(), None), sampled_rows)
    training.step()
    how(training)
    training.step()
    tracker.stop()
    return tracker.check()


def test_ordinary_training_is_no_breach() -> None:
    assert tracked(lambda training: training.model(torch.zeros(1, 4, dtype=torch.int64))) is None


def dense_gradient(training: Training) -> None:
    """A loss that takes the whole table in: torch adds it to the sparse gradient, which becomes dense."""
    training.gradients(torch.zeros(1, 4, dtype=torch.int64))
    torch.autograd.backward(training.model.users.weight.square().sum())
    torch.optim.SGD([training.model.users.weight], lr=0.1).step()


def by_hand(training: Training) -> None:
    with torch.no_grad():
        training.model.users.weight[3] *= 2


def of_an_unknown_optimizer(training: Training) -> None:
    training.gradients(torch.zeros(1, 4, dtype=torch.int64))
    training.model.users.weight.grad = training.model.users.weight.grad.to_dense()  # type: ignore[union-attr]
    torch.optim.Adam([training.model.users.weight]).step()


def all_rows_by_numpy(training: Training) -> None:
    memory: np.ndarray[Any, Any] = training.model.users.weight.detach().numpy()
    memory *= 0.999


@pytest.mark.parametrize(
    ("breach", "said"),
    [
        (dense_gradient, "it has a dense gradient"),
        (by_hand, "something else than an optimizer wrote to it"),
        (of_an_unknown_optimizer, "Adam is not known"),
        (all_rows_by_numpy, "have changed that no gradient names"),
        (lambda t: t.model.users.weight.data.mul_(0.999), "have changed that no gradient names"),
        (lambda t: t.model.load_state_dict(Training(seed=9).model.state_dict()), "something else than an optimizer"),
        (lambda t: t.optimizers["sparse"].param_groups[0].update(params=[]), None),
    ],
)
def test_what_changes_rows_that_no_gradient_names_is_noticed(
    breach: Callable[[Training], object], said: str | None
) -> None:
    found = tracked(breach)
    assert (found is None) if said is None else (found is not None and said in found and found.startswith(USERS))


def test_a_sample_of_all_rows_notices_a_single_bit() -> None:
    def one_bit(training: Training) -> None:
        training.model.users.weight.detach().numpy().view(np.uint8)[321, 0] ^= 1

    assert tracked(one_bit, sampled_rows=500) is not None


def test_a_closure_that_makes_new_gradients_within_the_step_is_followed() -> None:
    training = Training(sgd())
    tracker = Tracker(find(training.states, training.tensors(), (USERS,)), 500)
    training.gradients(torch.tensor([[1, 0, 0, 0]]))
    training.optimizers["sparse"].step(lambda: training.gradients(torch.tensor([[400, 0, 0, 0]])))  # type: ignore[arg-type, return-value]
    assert tracker.check() is None
    assert tracker.rows()[0].tolist() == [1, 400]
    tracker.stop()


def test_after_stop_nothing_is_noted_and_no_hook_is_left() -> None:
    training = Training()
    tracker = Tracker(find(training.states, training.tensors(), None))
    tracker.stop()
    training.step()
    assert [len(rows) for rows in tracker.rows()] == [0, 0, 0]
