"""A base that is read while training goes on, and the patch over it, are the state at the boundary, to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nightspot.checkpoint import disk, pieces
from nightspot.checkpoint.ahead import base, memory, patches
from nightspot.checkpoint.ahead.base import Column, plan
from tests.checkpoint.ahead_training import (
    Optimizers,
    SlowHand,
    Training,
    adagrad,
    ahead_of,
    frozen,
    restored,
    same,
    sparse_adam,
    start,
    two,
)

SMALL_UNITS = 2400  # bytes: so that the little tables of these tests have many


@pytest.fixture
def _small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "LEAST_UNIT_BYTES", SMALL_UNITS)
    monkeypatch.setattr(base, "MOST_UNIT_BYTES", SMALL_UNITS)


@pytest.mark.usefixtures("_small_units")
@settings(max_examples=25, deadline=None)
@given(
    optimizers=st.sampled_from([sparse_adam, adagrad, two]),
    seed=st.integers(0, 99),
    turns=st.lists(st.sampled_from(["step", "boundary", "file"]), max_size=30),
)
def test_base_and_patch_are_the_state_at_the_boundary_whatever_happens_meanwhile(
    optimizers: Optimizers, seed: int, turns: list[str]
) -> None:
    training, hand = Training(optimizers, seed), SlowHand()
    training.step()  # now the optimizers keep something
    ahead = ahead_of(training)
    start(ahead, hand, training, Path())
    for turn in turns:
        if turn == "step":
            training.step()
        elif turn == "boundary":
            ahead.ready(hand)
        else:
            hand.advance()
    while hand.advance():
        training.step(batch=1)
        ahead.ready(hand)
    assert ahead.ready(hand)
    patched = ahead.take(training.tensors())
    assert patched is not None
    assert same(restored(hand, patched), training.tensors())


@pytest.mark.usefixtures("_small_units")
def test_only_rows_touched_since_their_unit_was_begun_are_copied_again() -> None:
    training, hand = Training(), SlowHand()
    training.step()
    ahead = ahead_of(training)
    start(ahead, hand, training, Path())
    training.look_up(torch.tensor([[7, 3, 0, 0], [490, 3, 0, 0]]))
    assert not ahead.ready(hand)
    first = next(one for one in hand.order.units[0].ranges) if hand.order else None
    assert first is not None and (first.table, first.first_row) == (0, 0), "the largest table is read first"
    hand.advance()
    training.look_up(torch.tensor([[2, 3, 0, 0], [491, 3, 0, 0]]))  # 2 is in the unit that is begun, 491 is not
    ahead.ready(hand)
    while hand.advance():
        pass
    assert ahead.ready(hand)
    patched = ahead.take(training.tensors())
    assert patched is not None
    rows = {piece.key: piece.tensor.tolist() for piece in patched.patches if piece.key.startswith(base.ROWS)}
    assert rows[f"{base.ROWS}0"] == [2]
    assert same(restored(hand, patched), training.tensors())


def test_what_is_no_table_is_copied_at_the_boundary_and_tables_are_not() -> None:
    training, hand = Training(), SlowHand()
    training.step()
    ahead = ahead_of(training, ("model/users.weight",))
    start(ahead, hand, training, Path())
    while hand.advance():
        pass
    assert ahead.ready(hand)
    patched = ahead.take(training.tensors())
    assert patched is not None
    ahead_keys = set(training.tensors()) - set(patched.rest)
    assert {key.partition("/")[0] for key in ahead_keys} == {"model", "sparse"} and len(ahead_keys) == 3
    assert {"model/items.weight", "model/top.weight"} <= set(patched.rest)
    assert (patched.order.name, patched.order.token) == ("step-000000001", "token")


def test_a_step_that_goes_on_long_after_the_base_was_complete_is_no_part_of_the_save() -> None:
    """A notice reckons with how long saves take: with the step in it, it would leave although there is time."""
    training, hand = Training(sparse_adam), SlowHand()
    training.step()
    ahead = ahead_of(training)
    start(ahead, hand, training, Path())
    making = ahead._making
    assert making is not None
    hand.bases.append({"base": making.began_s + 3.0})
    assert ahead.ready(hand)
    patched = ahead.take(training.tensors())
    assert patched is not None
    assert patched.ahead_s == pytest.approx(3.0)


def test_a_base_that_is_not_complete_leaves_the_save_to_copy_everything() -> None:
    training, hand = Training(), SlowHand()
    training.step()
    ahead = ahead_of(training)
    start(ahead, hand, training, Path())
    hand.advance()
    assert not ahead.ready(hand)
    assert ahead.take(training.tensors()) is None
    assert ahead.idle, "the next save may be copied ahead again"


def test_more_than_half_of_the_rows_touched_is_no_gain_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    training, hand = Training(), SlowHand()
    training.step()
    ahead = ahead_of(training, ("model/items.weight",))
    start(ahead, hand, training, Path())
    hand.advance()
    ahead.ready(hand)
    every = torch.arange(60)
    training.look_up(torch.stack([every, every, every % 7, every % 7], dim=1))
    while hand.advance():
        pass
    assert ahead.ready(hand)
    assert ahead.take(training.tensors()) is None
    assert not ahead.idle
    assert "100% of the tables changed while they were copied" in capsys.readouterr().err


def test_a_state_that_is_another_tensor_by_then_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    training, hand = Training(), SlowHand()
    training.step()
    ahead = ahead_of(training)
    start(ahead, hand, training, Path())
    kept = training.optimizers["sparse"].state[training.model.users.weight]
    kept["exp_avg"] = kept["exp_avg"].clone()
    while hand.advance():
        pass
    assert ahead.ready(hand)
    assert ahead.take(training.tensors()) is None
    assert "is another tensor now" in capsys.readouterr().err


@given(
    shapes=st.lists(st.tuples(st.integers(1, 500), st.integers(1, 70)), min_size=1, max_size=6),
    unit_bytes=st.integers(500, 100_000),
)
@settings(max_examples=50, deadline=None)
def test_units_hold_every_row_of_every_column_once(shapes: list[tuple[int, int]], unit_bytes: int) -> None:
    tables = [
        [Column(f"{state}/{n}", "float32", shape, 0, 4 * shape[1]) for state in ("model", "sparse")]
        for n, shape in enumerate(shapes)
    ]
    before = base.LEAST_UNIT_BYTES, base.MOST_UNIT_BYTES
    base.LEAST_UNIT_BYTES = base.MOST_UNIT_BYTES = unit_bytes
    try:
        units = plan(tables)
    finally:
        base.LEAST_UNIT_BYTES, base.MOST_UNIT_BYTES = before
    held: dict[str, list[int]] = {}
    names = [file.name for unit in units for file in unit.files]
    for file in (file for unit in units for file in unit.files):
        assert len({stretch.column.key.partition("/")[0] for stretch in file.stretches}) == 1
        for one, next_one in zip(file.stretches, file.stretches[1:], strict=False):
            assert one.offset_bytes + one.size_bytes <= next_one.offset_bytes
            assert next_one.offset_bytes % pieces.PIECE_ALIGNMENT_BYTES == 0
        for stretch in file.stretches:
            held.setdefault(stretch.column.key, []).extend(range(stretch.first_row, stretch.first_row + stretch.rows))
    assert len(set(names)) == len(names)
    for n, shape in enumerate(shapes):
        for state in ("model", "sparse"):
            assert sorted(held[f"{state}/{n}"]) == list(range(shape[0]))


def test_an_order_survives_its_way_to_the_writer() -> None:
    training, hand = Training(), SlowHand()
    training.step()
    start(ahead_of(training), hand, training, Path("/somewhere"))
    assert hand.order is not None
    assert base.BaseOrder.from_bytes(hand.order.to_bytes()) == hand.order


READER = """
import os, sys
from nightspot.checkpoint.ahead.base import BaseFile, Column, Stretch
from nightspot.checkpoint.ahead.memory import Memory
column = Column("a/b", "uint8", (int(sys.argv[2]), 1), int(sys.argv[1]), 1)
memory = Memory(os.getppid(), int(sys.argv[3]))
if sys.argv[4] == "no right to trace":
    memory._readv = None
file = BaseFile("f", (Stretch(column, 0, 10, 0), Stretch(column, 5, column.shape[0] - 5, 64)))
sys.stdout.buffer.write(b"".join(bytes(block) for block in memory.blocks(file)))
"""


@pytest.mark.parametrize("way", ["process_vm_readv", "no right to trace"])
def test_another_process_reads_live_memory_across_blocks_with_zeros_between(way: str) -> None:
    size = disk.BLOCK_BYTES + 12_345
    live = torch.randint(1, 255, (size,), dtype=torch.uint8)
    descriptor = os.open("/proc/self/mem", os.O_RDONLY)
    command = [sys.executable, "-c", READER, str(live.data_ptr()), str(size), str(descriptor), way]
    told = subprocess.run(command, pass_fds=[descriptor], capture_output=True, check=True)
    os.close(descriptor)
    content = live.numpy().tobytes()
    assert told.stdout == content[:10] + bytes(54) + content[5:]


def test_memory_of_a_process_that_is_gone_is_an_error_not_zeros() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    null = os.open("/dev/null", os.O_RDONLY)
    reading = memory.Memory(gone.pid, null)
    file = base.BaseFile("f", (base.Stretch(Column("a/b", "uint8", (10,), 4096, 1), 0, 10, 0),))
    with pytest.raises(OSError, match="could not be read"):
        list(reading.blocks(file))
    reading.close()


def test_a_base_without_its_patch_is_never_put_into_an_index() -> None:
    entry = {
        "dtype": "float32",
        "shape": [2],
        "pieces": [],
        "patches": [{"rows": "!patch/rows/0", "values": "!patch/values/a"}],
    }
    with pytest.raises(ValueError, match="no patch !patch/values/a"):
        patches.merge({"a": entry}, {"!patch/rows/0": {}})


def test_frozen_states_are_what_they_were() -> None:
    """The helper that other tests rest on: a copy, not the live memory."""
    training = Training()
    before = frozen(training.tensors())
    training.step()
    assert not same(before, frozen({key: training.tensors()[key] for key in before}))
