"""Training goes on from the newest checkpoint that is whole and its own; all else is told, not guessed."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from nightspot.checkpoint import ConfigError, LoadError, Restored, Session, manifest, restore
from tests.checkpoint.helpers import flip_a_bit, lines, save


class Reluctant:
    """A state whose loading fails as long as `broken` is set."""

    broken = False

    def state_dict(self) -> dict[str, int]:
        return {"value": 1}

    def load_state_dict(self, _state: dict[str, int]) -> None:
        if self.broken:
            raise RuntimeError("cannot be loaded")


def open_again(
    folder: Path, states: dict[str, object] | None = None, fingerprint: str | None = None
) -> tuple[Restored | None, dict[str, Any]]:
    loop: dict[str, Any] = {"step": 0}
    chosen = {"loop": loop} if states is None else states
    with Session(chosen, folder=folder, fingerprint=fingerprint) as session:
        return session.restore(), loop


def refused(folder: Path, **arguments: Any) -> int:
    with pytest.raises(SystemExit) as raised:
        open_again(folder, **arguments)
    assert isinstance(raised.value.code, int)
    return raised.value.code


def test_the_first_start_finds_nothing(tmp_path: Path) -> None:
    assert open_again(tmp_path)[0] is None


def test_a_plain_dict_is_restored_in_place(tmp_path: Path) -> None:
    save(tmp_path, {"step": 0, "best": {"recall": 0.25}, "weights": torch.ones(2)}, times=3)
    found, loop = open_again(tmp_path)
    assert found == Restored("step-000000003", 3.0, 0)
    assert (loop["step"], loop["best"], loop["weights"].tolist()) == (3, {"recall": 0.25}, [1, 1])


@pytest.mark.parametrize("name", ["state.json", "rank-0.json", "index.json", "data-0-000.bin", "MANIFEST.json"])
def test_a_damaged_checkpoint_costs_one_step_back_and_a_warning(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, {"step": 0, "weights": torch.ones(2)}, times=3)
    flip_a_bit(tmp_path / "step-000000003" / name, 5)
    monkeypatch.setenv("NIGHTSPOT_PROGRESS", str(tmp_path / "progress"))
    _, loop = open_again(tmp_path)
    assert loop["step"] == 2
    assert "damaged checkpoint skipped: step-000000003" in capsys.readouterr().err
    assert len(lines(tmp_path / "progress", "warning")) == 1
    assert lines(tmp_path / "progress", "training") == [{"kind": "training", "units_done": 2.0}]


def test_nothing_live_changes_for_a_damaged_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, {"step": 5})
    flip_a_bit(tmp_path / "step-000000001" / "state.json", 9)
    found, loop = open_again(tmp_path)
    assert found is None
    assert loop == {"step": 0}


def test_a_new_checkpoint_after_a_damaged_one_has_a_higher_number(tmp_path: Path) -> None:
    save(tmp_path, {"step": 0}, times=3)
    flip_a_bit(tmp_path / "step-000000003" / "state.json", 9)
    save(tmp_path, {"step": 0})
    assert set(manifest.names(tmp_path)) >= {"step-000000004", "step-000000002"}


def test_another_jobs_checkpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, {"step": 0})
    assert refused(tmp_path, fingerprint="abc") == 78
    assert "fingerprint is None, expected abc" in capsys.readouterr().err


def test_the_same_job_is_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSPOT_FINGERPRINT", "abc")
    save(tmp_path, {"step": 0})
    assert open_again(tmp_path)[0] is not None


def test_another_world_size_is_refused_and_so_are_ranks_that_cannot_talk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, {"step": 0})
    search = restore.Search(tmp_path, manifest.Head(0, 0, 4, None, {}), print)
    with pytest.raises(ConfigError, match=r"world size 1, this training has 4: .*resize=\"reshard\""):
        search.newest()
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert refused(tmp_path) == 78
    assert "call torch.distributed.init_process_group() before restore()" in capsys.readouterr().err


def test_other_library_versions_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as then:
        then.setattr("nightspot.checkpoint.versions.platform.python_version", lambda: "3.9.1")
        save(tmp_path, {"step": 0})
    assert open_again(tmp_path)[0] is not None
    assert "python was 3.9.1, is 3." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ({"loop": {}, "ema": {}}, "states the checkpoint does not have: ema"),
        ({}, "states only the checkpoint has: loop"),
    ],
)
def test_other_state_names_are_refused(
    tmp_path: Path, states: dict[str, object], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, {"step": 0})
    assert refused(tmp_path, states=states) == 78
    assert told in capsys.readouterr().err
    assert not list(tmp_path.glob("loading-*"))


@pytest.mark.parametrize(
    ("live", "told"),
    [
        (
            torch.nn.Linear(4, 3),
            "weight has the shape (2, 4) and the dtype float32 in the checkpoint, the shape (3, 4) and",
        ),
        (torch.nn.Linear(4, 2, bias=False), "only in the checkpoint: bias"),
        (torch.nn.Sequential(torch.nn.Linear(4, 2)), "not in the checkpoint: 0.bias, 0.weight"),
    ],
)
def test_a_module_of_another_shape_is_refused_before_anything_changes(
    tmp_path: Path, live: torch.nn.Module, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Session({"model": torch.nn.Linear(4, 2), "loop": {"step": 1}}, folder=tmp_path, interval_s=0) as session:
        session.restore()
        session.step(1)
    loop = {"step": 0}
    assert refused(tmp_path, states={"loop": loop, "model": live}) == 78
    assert told in capsys.readouterr().err
    assert loop == {"step": 0}


def test_an_optimizer_with_other_groups_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    with Session({"optimizer": torch.optim.SGD([one])}, folder=tmp_path, interval_s=0) as session:
        session.restore()
        session.step(1)
    assert refused(tmp_path, states={"optimizer": torch.optim.SGD([one, two])}) == 78
    assert "parameters in its groups: [1] saved, [2] here" in capsys.readouterr().err


def test_a_checkpoint_that_never_loads_is_stepped_over_after_three_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reluctant = Reluctant()
    with Session({"it": reluctant}, folder=tmp_path, interval_s=0) as session:
        session.restore()
        session.step(1)
        session.step(2)
    monkeypatch.setattr(Reluctant, "broken", True)
    for _ in range(3):
        with pytest.raises(LoadError, match="step-000000002 is whole"):
            open_again(tmp_path, states={"it": reluctant})
    monkeypatch.setattr(Reluctant, "broken", False)
    found, _ = open_again(tmp_path, states={"it": reluctant})
    assert found is not None
    assert found.name == "step-000000001"


class TakenAway:
    """Its machine is told to end, and goes, while it is loaded."""

    taken = False

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, _: dict[str, Any]) -> None:
        if self.taken:
            os.kill(os.getpid(), signal.SIGTERM)
            raise KeyboardInterrupt


@pytest.mark.parametrize(("times", "counts"), [(11, False), (12, True)])
def test_capacity_that_is_taken_away_hardly_speaks_against_the_checkpoint_that_was_being_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, counts: bool
) -> None:
    """But not for nothing: a watchdog sends SIGTERM, too, where a load hangs."""
    with Session({"it": TakenAway()}, folder=tmp_path, interval_s=0) as session:
        session.restore()
        session.step(1)
        session.step(2)
    usual = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(TakenAway, "taken", True)
    for _ in range(times):
        with pytest.raises(KeyboardInterrupt):
            open_again(tmp_path, states={"it": TakenAway()})
        signal.signal(signal.SIGTERM, usual)
    monkeypatch.setattr(TakenAway, "taken", False)
    found, _ = open_again(tmp_path, states={"it": TakenAway()})
    assert found is not None
    assert found.name == ("step-000000001" if counts else "step-000000002")


def test_if_none_is_left_that_loads_training_stops_instead_of_starting_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, {"step": 0})
    (tmp_path / "loading-step-000000001").write_bytes(b"xxx")
    assert refused(tmp_path) == 78
    assert "no checkpoint is left that loads" in capsys.readouterr().err


def test_a_load_that_ends_well_is_not_held_against_the_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, {"step": 0})
    for _ in range(5):
        assert open_again(tmp_path)[0] is not None


def test_a_file_that_the_manifest_does_not_name_is_not_opened(tmp_path: Path) -> None:
    save(tmp_path, {"step": 0})
    (tmp_path / "step-000000001" / "rank-1.json").write_bytes(b"not verified")
    assert open_again(tmp_path)[1] == {"step": 1}


def test_what_dead_processes_left_unfinished_is_removed(tmp_path: Path) -> None:
    (tmp_path / "step-000000001.tmp-dead").mkdir(parents=True)
    (tmp_path / "step-000000001.tmp-dead" / "data-0-000.bin").write_bytes(b"half")
    open_again(tmp_path)
    assert manifest.unfinished(tmp_path) == []


def test_a_big_endian_machine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nightspot.checkpoint.opening.sys.byteorder", "big")
    assert refused(tmp_path) == 78
    assert "big-endian" in capsys.readouterr().err


def test_the_manifest_tells_who_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSPOT_ATTEMPT", "7")
    save(tmp_path, {"step": 0})
    body = json.loads((tmp_path / "step-000000001" / "MANIFEST.json").read_text())
    assert (body["attempt"], body["units_done"], body["world_size"]) == (7, 1.0, 1)
    assert body["versions"]["torch"] == torch.__version__
