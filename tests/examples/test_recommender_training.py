"""The model learns, the order of the data is fixed, and what is written is exact."""

import hashlib
import io
from pathlib import Path

import pytest
import torch

from data import Split, split_by_time
from metrics import evaluate, popularity
from model import MatrixFactorisation, bpr_loss
from options import Task
from output import LossLog, model_bytes, write_atomically
from synthetic import World, generate
from training import Batches, DivergedError, Hyperparameters, Learner, be_deterministic

TINY = World(users=30, items=50, interactions=700)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    be_deterministic(threads=1)


def learn(learner: Learner, epochs: int) -> None:
    while learner.batches.epoch < epochs:
        for positions in learner.batches:
            learner.step(positions)


def score(learner: Learner, split: Split, users: int, items: int) -> dict[str, float]:
    return evaluate(lambda *some: learner.model.score_all(*some).numpy(), split, users, items)


def test_the_model_beats_popularity_by_half_or_more() -> None:
    """On the default data, but with fewer negatives and epochs: seconds instead of half a minute."""
    data = generate(World())
    split = split_by_time(data)
    users, items = len(data.user_ids), len(data.item_ids)
    learner = Learner(split.train, users, items, Hyperparameters(epochs=8, negatives=8))
    learn(learner, epochs=8)
    found, baseline = (
        score(learner, split, users, items),
        evaluate(popularity(split, items), split, users, items),
    )
    assert baseline["recall_at_10"] > 10 * 10 / items  # a respectable baseline: tenfold what chance would do
    assert found["recall_at_10"] >= 1.5 * baseline["recall_at_10"]
    assert found["ndcg_at_10"] >= 1.5 * baseline["ndcg_at_10"]


def test_scores_agree_whether_for_some_items_or_all() -> None:
    model = MatrixFactorisation(users=5, items=7, dim=3)
    torch.nn.init.normal_(model.bias.weight)
    some = model(torch.tensor([1, 2]), torch.tensor([[0, 6], [3, 3]]))
    every = model.score_all(1, 3)
    torch.testing.assert_close(some, torch.stack([every[0, [0, 6]], every[1, [3, 3]]]))


def test_bpr_loss_of_known_scores() -> None:
    assert bpr_loss(torch.zeros(2, 3)).item() == pytest.approx(0.6931472)  # ln 2: cannot tell them apart
    assert bpr_loss(torch.tensor([[9.0, -9.0]])).item() < 1e-6


def test_a_loss_that_is_not_finite_stops_the_training() -> None:
    split = split_by_time(generate(TINY))
    learner = Learner(split.train, 30, 50, Hyperparameters(epochs=1))
    torch.nn.init.constant_(learner.model.user.weight, float("nan"))
    with pytest.raises(DivergedError, match="the loss became nan"):
        learn(learner, epochs=1)


def test_an_epoch_hands_out_every_pair_once_in_an_order_of_its_own() -> None:
    batches = Batches(pairs=10, batch_size=4, seed=1)
    first, second = torch.cat(list(batches)), torch.cat(list(batches))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()
    assert torch.cat(list(Batches(10, 4, seed=1))).tolist() == first.tolist()
    assert torch.cat(list(Batches(10, 4, seed=2))).tolist() != first.tolist()


@pytest.mark.parametrize("used", [0, 1, 2, 3, 4, 5])
def test_batches_go_on_where_they_were(used: int) -> None:
    whole, stopped, resumed = (Batches(10, 4, seed=1) for _ in range(3))
    expected = [batch.tolist() for _ in range(3) for batch in whole]
    stream = (batch for _ in range(3) for batch in stopped)
    before = [next(stream).tolist() for _ in range(used)]
    resumed.load_state_dict(stopped.state_dict())
    after = []
    while resumed.epoch < 3:
        after += [batch.tolist() for batch in resumed]
    assert before + after == expected


def tiny_model_bytes(seed: int) -> bytes:
    data = generate(TINY)
    split = split_by_time(data)
    chosen = Hyperparameters(epochs=1, seed=seed, dim=4, batch_size=64, negatives=2)
    learner = Learner(split.train, 30, 50, chosen)
    learn(learner, epochs=1)
    return model_bytes(learner.model, Task(data, split, chosen))


def test_the_artefact_is_a_function_of_seed_and_data() -> None:
    digests = [hashlib.sha256(tiny_model_bytes(seed)).hexdigest() for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


def test_the_artefact_can_be_loaded_and_says_what_it_is() -> None:
    content = torch.load(io.BytesIO(tiny_model_bytes(seed=0)), weights_only=True)
    MatrixFactorisation(users=30, items=50, dim=4).load_state_dict(content["state_dict"])
    assert content["user_ids"].tolist() == list(range(1, 31))
    assert content["hyperparameters"]["dim"] == 4
    assert content["data_sha256"] == generate(TINY).sha256


def test_an_atomic_write_leaves_one_file(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        write_atomically(tmp_path / "new" / "model.pt", content)
        assert (tmp_path / "new" / "model.pt").read_bytes() == content
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.pt"]


def opened(path: Path, size_bytes: int | None = None) -> LossLog:
    log = LossLog(path)
    if size_bytes is not None:
        log.load_state_dict({"size_bytes": size_bytes})
    log.open()
    return log


def test_a_resumed_loss_log_has_each_step_once(tmp_path: Path) -> None:
    path = tmp_path / "loss.jsonl"
    log = opened(path)
    log.line(step=1, loss=0.5)
    state = log.state_dict()
    assert path.stat().st_size == state["size_bytes"], "durable once the checkpoint knows of it"
    log.line(step=2, loss=0.25)
    log.close()
    resumed = opened(path, state["size_bytes"])
    resumed.line(step=2, loss=0.25)
    resumed.close()
    assert path.read_text() == '{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n'


def test_a_new_run_empties_the_log_of_an_old_one(tmp_path: Path) -> None:
    (tmp_path / "loss.jsonl").write_text("old\n")
    opened(tmp_path / "loss.jsonl").close()
    assert (tmp_path / "loss.jsonl").read_bytes() == b""


def test_a_lost_log_is_told_and_does_not_stop_the_night(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = opened(tmp_path / "loss.jsonl", size_bytes=100)
    log.line(step=9, loss=0.5)
    log.close()
    assert "expected 100 bytes from before the resume, found 0" in capsys.readouterr().err
    assert log.state_dict() == {"size_bytes": len('{"step": 9, "loss": 0.5}\n')}
