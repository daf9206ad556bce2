"""What the probe sees of trainings that are not plain: held ones, other loaders, no loader, workers, several optimizers, faults."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Iterator

import pytest

from nightspot.drill import record_probe
from tests.drill.player import Zygote, wait_until_held

HEAD = """
import torch
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
torch.set_num_threads(1)
data = TensorDataset(torch.arange(24.0).reshape(12, 2))
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
def step(inputs):
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    optimizer.step()
"""
BY_HAND = HEAD + "for at in range(0, 12, 4):\n    step(data.tensors[0][at:at + 4])\n"


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    process = Zygote()
    yield process
    process.close()


class Bench:
    """Runs scripts under the probe."""

    def __init__(self, zygote: Zygote, folder: Path) -> None:
        self.zygote, self.folder = zygote, folder
        self.lines, self.release = folder / "lines", folder / "release"

    def begin(self, code: str, hold: int | None = None, **more: str) -> int:
        self.lines.unlink(missing_ok=True)
        (self.folder / "train.py").write_text(code)
        probe = record_probe.environment(self.lines, hold=hold, release=self.release)
        where = {
            "script": str(self.folder / "train.py"),
            "folder": str(self.folder),
            "output": str(self.folder / "output"),
        }
        return self.zygote.ask(environment={**probe, **more}, **where)

    def end(self) -> int:
        return self.zygote.answer("code")

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    def seen(self) -> record_probe.Probed:
        return record_probe.parse(self.lines.read_text() if self.lines.exists() else "")

    def run(self, code: str, **more: str) -> record_probe.Probed:
        self.begin(code, None, **more)
        assert self.end() == 0, self.output
        return self.seen()


@pytest.fixture
def bench(zygote: Zygote, tmp_path: Path) -> Bench:
    return Bench(zygote, tmp_path)


def batches(seen: record_probe.Probed) -> list[str | None]:
    assert seen.faults == ()
    return [step.batch for step in seen.steps]


def test_it_holds_after_the_step_and_goes_on_when_released(bench: Bench) -> None:
    pid = bench.begin(BY_HAND + "print('end')", hold=2)
    wait_until_held(pid, bench.lines)
    assert bench.seen().held == 2 and len(bench.seen().steps) == 2
    bench.release.touch()
    assert bench.end() == 0 and bench.output == "end\n"
    assert bench.seen().held is None and len(bench.seen().steps) == 3


def test_it_holds_several_times_and_each_is_released_by_its_own_file(bench: Bench) -> None:
    pid = bench.begin(BY_HAND + "print('end')", NIGHTSPOT_PROBE_HOLD="3,1")
    for held in (1, 3):
        wait_until_held(pid, bench.lines)
        while bench.seen().held != held:
            time.sleep(0.01)
        assert len(bench.seen().steps) == held
        bench.release.with_name(f"{bench.release.name}.{held}").touch()
    assert bench.end() == 0 and bench.output == "end\n"


def test_the_scripts_own_handler_runs_at_the_very_step(bench: Bench) -> None:
    handler = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: (print(step.done, flush=True), exit(75)))\n"
    counted = BY_HAND.replace(
        "    optimizer.step()", "    step.done = getattr(step, 'done', 0) + 1\n    optimizer.step()"
    )
    pid = bench.begin(handler + counted, hold=2)
    wait_until_held(pid, bench.lines)
    os.kill(pid, signal.SIGTERM)
    assert bench.end() == 75 and bench.output == "2\n"


def test_a_held_process_can_be_killed_and_all_lines_are_there(bench: Bench) -> None:
    pid = bench.begin(BY_HAND, hold=1)
    wait_until_held(pid, bench.lines)
    os.kill(pid, signal.SIGKILL)
    assert bench.end() == 137 and len(bench.seen().steps) == 1


def test_batches_are_those_of_the_loader_whatever_loader_it_is(bench: Bench) -> None:
    plain = batches(bench.run(HEAD + "for (inputs,) in DataLoader(data, batch_size=4): step(inputs)"))
    stateful = "from torchdata.stateful_dataloader import StatefulDataLoader\n"
    whole = HEAD + stateful + "loader = StatefulDataLoader(data, batch_size=4)\nfor (inputs,) in loader: step(inputs)"
    assert batches(bench.run(whole)) == plain and len(set(plain)) == 3
    resumed = whole.replace(
        "for (", "state = iter(loader); next(state); loader.load_state_dict(loader.state_dict())\nfor ("
    )
    seen = bench.run(resumed)
    assert [one.detail for one in seen.touches if one.what == "load_state_dict"] == ["loader: StatefulDataLoader"]
    assert batches(seen)[0] == f"{plain[0]},{plain[1]}" and batches(seen)[1] == plain[2]


def test_worker_processes_keep_quiet_and_their_batches_are_seen(bench: Bench) -> None:
    plain = batches(bench.run(HEAD + "for (inputs,) in DataLoader(data, batch_size=4): step(inputs)"))
    seen = bench.run(HEAD + "for (inputs,) in DataLoader(data, batch_size=4, num_workers=2): step(inputs)")
    assert batches(seen) == plain
    assert bench.lines.read_text().count('"kind": "torch"') == 1
    assert [one.detail for one in seen.touches if one.what == "seed"] == ["torch: 0"], "a worker's seeds were told"


def test_without_a_loader_the_models_inputs_are_the_batch(bench: Bench) -> None:
    told = batches(bench.run(BY_HAND))
    assert len(set(told)) == 3 and None not in told
    assert batches(bench.run(BY_HAND.replace("lr=0.001", "lr=0.002"))) == told, "it depends on the weights"
    shifted = batches(bench.run(BY_HAND.replace("range(0, 12, 4)", "range(4, 12, 4)")))
    assert shifted == told[1:]
    checked = BY_HAND.replace("    step(", "    with torch.no_grad(): model(torch.rand(1, 2))\n    step(")
    assert batches(bench.run(checked)) == told, "an evaluation between two steps counts as data"


def test_a_loss_module_outside_the_model_adds_only_its_targets(bench: Bench) -> None:
    code = BY_HAND.replace("model(inputs).square().mean()", "torch.nn.MSELoss()(model(inputs), inputs[:, :1])")
    assert batches(bench.run(code)) == batches(bench.run(code.replace("lr=0.001", "lr=0.5")))


def test_accumulated_batches_count_for_the_step_that_follows(bench: Bench) -> None:
    code = HEAD.replace("    optimizer.zero_grad()", "").replace("    optimizer.step()", "")
    loop = "for at, (inputs,) in enumerate(DataLoader(data, batch_size=3)):\n    step(inputs)\n    if at % 2: optimizer.step()\n"
    told = batches(bench.run(code + loop))
    assert [(one or "").count(",") for one in told] == [1, 1]


def test_every_optimizer_steps_for_itself(bench: Bench) -> None:
    code = HEAD.replace(
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)",
        "optimizer = torch.optim.SGD([model.weight], lr=0.1); second = torch.optim.Adam([model.bias], lr=0.2)",
    )
    steps = bench.run(
        code.replace("    optimizer.step()", "    optimizer.step(); second.step()") + "step(data.tensors[0])"
    ).steps
    assert [step.lrs for step in steps] == [(0.1,), (0.2,)]
    assert steps[0].before != steps[1].before


def test_an_optimizers_closure_is_seen(bench: Bench) -> None:
    code = (
        HEAD.split("def step")[0]
        + "def closure():\n    loss = model(data.tensors[0]).sum()\n    loss.backward()\n    return loss\n"
    )
    assert len(bench.run(code + "optimizer.step(closure)").steps) == 1
    assert bench.seen().steps[0].loss is not None


def test_a_scaled_loss_is_told_as_it_was_before(bench: Bench) -> None:
    plain = bench.run(BY_HAND).steps
    scaled = BY_HAND.replace("square().mean().backward()", "square().mean()").replace(
        "    model(inputs)", "    loss = model(inputs)"
    )
    scaled = scaled.replace(
        "    optimizer.step()", "    scaler.scale(loss).backward()\n    scaler.step(optimizer)\n    scaler.update()"
    )
    seen = bench.run(scaled.replace("def step", "scaler = torch.amp.GradScaler('cpu')\ndef step"))
    assert [one.loss for one in seen.steps] == [one.loss for one in plain]


def test_only_rank_0_tells(bench: Bench) -> None:
    assert bench.run(BY_HAND, RANK="1") == record_probe.parse("")
    assert len(bench.run(BY_HAND, RANK="0").steps) == 3


def test_a_failed_load_is_told_and_raised_as_ever(bench: Bench) -> None:
    bench.begin(HEAD + "open('torn.pt', 'wb').write(b'PK')\ntorch.load('torn.pt')")
    assert bench.end() == 1 and "Traceback" in bench.output
    load = next(one for one in bench.seen().touches if one.what == "load")
    assert (load.detail or "").startswith("failed: ") and (load.where or "").endswith(
        f"train.py:{len(HEAD.splitlines()) + 2}"
    )


def test_a_fault_of_the_probe_ends_its_looking_and_not_the_training(bench: Bench) -> None:
    odd = "class Odd(dict):\n    def __iter__(self): raise RuntimeError('no')\n"
    loader = "DataLoader(data, batch_size=4, collate_fn=lambda rows: (torch.stack([row[0] for row in rows]), Odd()))"
    seen = bench.run(HEAD + odd + f"for inputs, _ in {loader}: step(inputs)\nprint('end')")
    assert bench.output == "end\n"
    assert seen.faults == ("RuntimeError: no",) and seen.steps == ()


def test_flags_that_decide_over_bits_are_told_once(bench: Bench) -> None:
    seen = bench.run("import torch\ntorch.use_deterministic_algorithms(True)\n" + BY_HAND)
    flags = [one.detail or "" for one in seen.touches if one.what == "flags"]
    assert len(flags) == 1 and flags[0].startswith("deterministic=True threads=1 cuda=False")
