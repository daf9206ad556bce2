"""Real ranks over gloo: what is killed, told to end or started in another number goes on as if nothing had happened."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nightspot.checkpoint import manifest
from tests.checkpoint.ranks_launcher import LIMIT_S, Rank, free_port, launch, launch_apart
from tests.checkpoint.ranks_training import train

ROOT = Path(__file__).parents[2]


def run(folder: Path, size: int, kind: str, until: int | None = None, **environment: str) -> list[Rank]:
    return launch(folder / "said", size, train, folder, kind, until, **environment)


def ends(ranks: list[Rank]) -> list[Any]:
    assert [rank.code for rank in ranks] == [0] * len(ranks), "\n".join(rank.said for rank in ranks)
    return [(rank.result["end"], rank.result["own"]) for rank in ranks]


def restored(ranks: list[Rank]) -> list[Any]:
    return [rank.result["restored"] for rank in ranks]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return ends(run(tmp_path_factory.mktemp("undisturbed"), 2, "ddp", INTERVAL="1h"))


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_killed_together_they_end_with_the_same_bits_on_every_rank(
    tmp_path: Path, kind: str, undisturbed: list[Any]
) -> None:
    expected = undisturbed if kind == "ddp" else ends(run(tmp_path / "other", 2, kind, INTERVAL="1h"))
    died = run(tmp_path, 2, kind, BLOW="KILL@5@all")
    assert -signal.SIGKILL in {rank.code for rank in died}, "and where one was first, the other may have seen it"
    again = run(tmp_path, 2, kind)
    assert restored(again) == [["step-000000004", 4.0]] * 2
    assert ends(again) == expected
    if kind == "ddp":
        buffers = [own["buffers"]["1.running_mean"] for _, own in ends(again)]
        assert buffers[0] != buffers[1], "or this says nothing about what differs by rank"


@pytest.mark.parametrize("blow", ["TERM@3@1", "TWICE@3@all"])
def test_a_notice_to_any_rank_saves_on_all_and_all_leave(tmp_path: Path, blow: str, undisturbed: list[Any]) -> None:
    told = run(tmp_path, 2, "ddp", BLOW=blow, INTERVAL="1h")
    assert [rank.code for rank in told] == [75, 75], told
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-000000001"], "one checkpoint, however often told"
    again = run(tmp_path, 2, "ddp", INTERVAL="1h")
    assert restored(again) == [["step-000000001", 4.0]] * 2, "at the step after the one where it came"
    assert ends(again) == undisturbed


@pytest.mark.parametrize(("blow", "whole"), [("BEFORE@4@1", 3), ("AFTER@4@1", 4)])
def test_one_rank_killed_in_the_middle_of_a_save_leaves_a_checkpoint_for_all(
    tmp_path: Path, blow: str, whole: int, undisturbed: list[Any]
) -> None:
    died = run(tmp_path, 2, "ddp", BLOW=blow)
    assert died[int(blow[-1])].code == -signal.SIGKILL
    again = run(tmp_path, 2, "ddp")
    assert restored(again) == [[f"step-{whole:09d}", float(whole)]] * 2
    assert ends(again) == undisturbed


@pytest.mark.parametrize(("blow", "background"), [("MACHINE@4@1", "1"), ("WRITING@4@0", "0")])
def test_the_others_leave_soon_where_a_rank_and_its_writer_die_inside_a_save(
    tmp_path: Path, blow: str, background: str
) -> None:
    """Nobody tells them, as on another machine: they see that its process is gone, and do not wait ten minutes as for one that hangs."""
    lost = int(blow[-1])
    died = launch_apart(
        tmp_path / "said", 2, train, tmp_path, "ddp", BLOW=blow, NIGHTSPOT_CHECKPOINT_BACKGROUND=background
    )
    other = died[1 - lost]
    assert died[lost].code == -signal.SIGKILL
    assert other.code == 1, f"it left by itself, and was not ended after {LIMIT_S} s: {other.said}"
    assert f"rank {lost} died before its part of the checkpoint was done" in other.said
    assert manifest.names(tmp_path) == ["step-000000003", "step-000000002"]
    assert manifest.verify(tmp_path / "step-000000003").head.units_done == 3.0


def test_one_step_back_together_where_one_ranks_file_is_damaged(tmp_path: Path, undisturbed: list[Any]) -> None:
    run(tmp_path, 2, "ddp", 5)
    (victim, *_) = sorted((tmp_path / "step-000000005").glob("data-1-*"))
    data = bytearray(victim.read_bytes())
    data[1] ^= 1
    victim.write_bytes(data)
    again = run(tmp_path, 2, "ddp")
    assert restored(again) == [["step-000000004", 4.0]] * 2
    assert ends(again) == undisturbed
    said = "".join(rank.said for rank in again)
    assert said.count("damaged checkpoint skipped") == 1, "said once, not by every rank"


def test_a_request_to_one_rank_saves_on_all(tmp_path: Path) -> None:
    request = str(tmp_path / "request")
    run(tmp_path, 2, "ddp", BLOW="REQUEST@3@1", INTERVAL="1h", NIGHTSPOT_SAVE_REQUEST=request)
    (name,) = manifest.names(tmp_path)
    assert manifest.verify(tmp_path / name).head.world_size == 2


SIZES = [("ddp", 2, "plain", 1), ("ddp", 2, "ddp", 4), ("plain", 1, "ddp", 2)]
SIZES += [("fsdp", 2, "plain norm", 1), ("fsdp", 2, "fsdp", 4)]
INLINE = {"SHARED_ONLY": "1", "NIGHTSPOT_CHECKPOINT_BACKGROUND": "0"}


@pytest.mark.parametrize(("before", "size", "after", "other"), SIZES)
def test_another_number_of_ranks_goes_on_with_the_same_parameters_and_moments(
    tmp_path: Path, before: str, size: int, after: str, other: int
) -> None:
    saved = ends_shared(run(tmp_path, size, before, 2, **INLINE))
    anew = run(tmp_path, other, after, 3, RESIZE="reshard", **INLINE)
    assert restored(anew) == [["step-000000002", 2.0]] * other, anew[0].said
    assert [rank.result["shared"] for rank in anew] == [saved[0]] * other
    assert "not bit-exact" in anew[0].said
    assert [path.name for path in sorted(tmp_path.glob("step-*"))][-1] == "step-000000003", "and it can be saved"


def ends_shared(ranks: list[Rank]) -> list[Any]:
    return [shared for shared, _ in ends(ranks)]


def test_another_number_of_ranks_is_refused_unless_allowed_and_so_is_what_differed(tmp_path: Path) -> None:
    ends(run(tmp_path, 2, "ddp", 1))
    (refused,) = run(tmp_path, 1, "plain")
    assert refused.code == 78
    assert re.search(r'world size 2, this training has 1: .*resize="reshard"', refused.said)
    (refused,) = run(tmp_path, 1, "plain", RESIZE="reshard")
    assert refused.code == 78
    assert "each had its own mine: this cannot be given to 1" in refused.said


def test_eight_ranks_under_torchrun_of_which_one_is_told(tmp_path: Path) -> None:
    """All leave with 75; nothing is lacking, nothing is there twice; and eight others take it up."""
    script = str(Path(__file__).with_name("ranks_training.py"))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=8", f"--master-port={free_port()}"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    environment |= {"BLOW": "TERM@2@5", "INTERVAL": "1h"}
    torchrun = [*command, script, str(tmp_path), "ddp"]
    ended = subprocess.run(torchrun, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ended.stderr.count("step-000000001 is durable, exit code 75") == 8, ended.stderr
    whole = manifest.verify(tmp_path / "step-000000001")
    assert (whole.head.world_size, whole.head.units_done) == (8, 3.0)
    index = json.loads((tmp_path / "step-000000001" / "index.json").read_text())["tensors"]
    own = {key.partition("/")[2] for key in index if key.startswith("rank-")}
    assert own == {"mine/tensor", "model/1.running_mean", "model/1.running_var", "model/1.num_batches_tracked"}
    assert {f"rank-{rank}/{key}" for rank in range(8) for key in own} == {key for key in index if key[:5] == "rank-"}
    assert all(len(entry["pieces"]) == 1 for entry in index.values())
    writers = {entry["pieces"][0]["file"].split("-")[1] for key, entry in index.items() if key[:5] != "rank-"}
    assert len(writers) > 4, "what all have is spread over the ranks"
    again = run(tmp_path, 8, "ddp", 4, INTERVAL="1h")
    assert restored(again) == [["step-000000001", 3.0]] * 8
    assert len({json.dumps(end) for end in ends_shared(again)}) == 1
