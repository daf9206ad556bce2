"""The local backend's own: capacity that every controller sees alike, what `doctor` finds, and the registry of backends."""

from __future__ import annotations

import json
import time
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from nightspot.backends import localcheck, registry
from nightspot.backends.local import LocalBackend
from nightspot.backends.registry import BackendContext, InstalledBackends
from nightspot.errors import UnknownBackendError, Unsure
from nightspot.model.capacity import Sight
from nightspot.model.events import RefusalReason
from nightspot.night.ports import EndKind, Finding, Handle, Kind, Refused
from nightspot.process.folder import AttemptFolder
from tests.process.stage import RUN_ID, START_UTC, Stage
from tests.process.trainers import SPEAKS


def seen(stage: Stage, at_utc: float) -> Any:
    (offer,) = stage.backend().offers([stage.pool()], at_utc)
    return offer


def test_every_controller_of_a_run_sees_the_same_made_up_capacity(stage: Stage) -> None:
    stage.options = {"capacity": {"seed": 7, "first": "up"}}
    times = [START_UTC + 600.0 * n for n in range(100)]
    first = [seen(stage, at_utc) for at_utc in times]
    assert first == [seen(stage, at_utc) for at_utc in times]
    assert {offer.seen for offer in first} == {Sight.UP, Sight.DOWN}


def test_a_recorded_capacity_begins_where_the_window_does(stage: Stage) -> None:
    trace = stage.folder / "trace.json"
    trace.write_text(json.dumps({"metadata": {"gap_seconds": 600}, "data": [1, 1, 0, 1]}))
    stage.options = {"capacity": {"trace": str(trace), "from": 0.25}}
    states = [seen(stage, START_UTC + 600.0 * n).seen for n in range(4)]
    assert states == [Sight.UP, Sight.DOWN, Sight.UP, Sight.UP]


def test_a_capacity_that_cannot_be_read_is_unknown_and_its_launch_refused(stage: Stage) -> None:
    stage.options = {"capacity": {"trace": str(stage.folder / "absent.json")}}
    assert seen(stage, START_UTC).seen is Sight.UNKNOWN
    answer = stage.backend().launch(stage.spec(["true"]), stage.now_utc())
    assert isinstance(answer, Refused)
    assert answer.reason is RefusalReason.INVALID


def test_a_refusal_is_remembered_word_for_word(stage: Stage) -> None:
    stage.options = {"capacity": "never"}
    answers = [stage.backend().launch(stage.spec(["true"]), stage.now_utc()) for _ in range(2)]
    assert answers[0] == answers[1] == Refused(RefusalReason.NO_CAPACITY, "pool has no capacity")


def test_a_disk_that_fails_makes_it_unsure_and_launches_nothing(stage: Stage) -> None:
    stage.home.write_text("a file where the home should be")
    backend, handle = stage.backend(), Handle(f"{RUN_ID}-nonce-001", "pool")
    with pytest.raises(Unsure):
        backend.launch(stage.spec(["true"]), stage.now_utc())
    with pytest.raises(Unsure):
        backend.find(handle.token)
    with pytest.raises(Unsure):
        backend.live(RUN_ID)
    stage.home.unlink()


def test_a_spec_of_a_newer_version_is_not_guessed_at(stage: Stage) -> None:
    show = stage.launch(SPEAKS, 1, 0.01)
    show.to_the_end()
    show.folder.spec.write_text(json.dumps({**json.loads(show.folder.spec.read_text()), "from_the_future": 1}))
    with pytest.raises(Unsure, match="from_the_future"):
        stage.backend().find(show.handle.token)


def test_folders_of_others_are_not_ours_to_list(stage: Stage) -> None:
    show = stage.launch(SPEAKS, 1e6, 0.05)
    for name in (f"{RUN_ID}-odd name", f"{RUN_ID}-empty", "unrelated"):
        (show.folder.path.parent / name).mkdir()
    assert list(stage.backend().live(RUN_ID)) == [show.handle]
    for name in (f"{RUN_ID}-odd name", f"{RUN_ID}-empty", "unrelated"):
        (show.folder.path.parent / name).rmdir()


def test_words_are_three_and_to_whom_nothing_is_known_of_nothing_is_said(stage: Stage) -> None:
    backend, handle = stage.backend(), Handle(f"{RUN_ID}-nonce-001", "pool")
    with pytest.raises(ValueError, match="dance"):
        backend.tell(handle, "dance", stage.now_utc())
    backend.tell(handle, "stop", stage.now_utc())
    assert not stage.home.exists()


def test_what_is_taken_is_billed_until_then_and_no_longer(stage: Stage) -> None:
    stage.lose_capacity_after(90.0, notice_s=0.0)
    launched_utc = stage.now_utc()
    show = stage.launch(SPEAKS, 1e6, 0.05)
    ended = show.to_the_end()
    bill = show.backend.bill(show.handle, stage.now_utc() + 9999.0)
    assert ended.kind is EndKind.TAKEN
    assert bill is not None
    assert bill.billable_s == pytest.approx(ended.at_utc - launched_utc, abs=1.0)
    assert bill.cost_usd == pytest.approx(bill.billable_s / 1000.0)


def test_a_launch_and_a_look_are_quick(stage: Stage) -> None:
    """Generous: measured are 0.07 s and 0.0001 s."""
    began_s = time.monotonic()
    show = stage.launch(SPEAKS, 1e6, 0.05)
    assert time.monotonic() - began_s < 3.0
    began_s = time.monotonic()
    for _ in range(200):
        show.look()
    assert time.monotonic() - began_s < 2.0


def test_the_home_may_be_given_relative_to_where_we_are(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(stage.folder)
    backend = LocalBackend(BackendContext(Path("home"), START_UTC, START_UTC, stage.anchor_real_utc, stage.scale))
    assert backend.find(f"{RUN_ID}-nonce-001") is None
    assert AttemptFolder(stage.home / "attempts" / f"{RUN_ID}-nonce-001").given_up.exists()


def fatal(stage: Stage, words: tuple[str, ...] = ("true",), **changes: Any) -> list[str]:
    stage.training = changes
    return [finding.what for finding in stage.backend().check(stage.job(words)) if finding.fatal]


def test_doctor_finds_what_would_keep_the_night_from_running(stage: Stage) -> None:
    plain = stage.folder / "plain"
    plain.write_text("")
    assert fatal(stage) == []
    assert "no program 'no-such-program'" in fatal(stage, ("no-such-program",))[0]
    assert "no program './plain'" in fatal(stage, ("./plain",))[0]
    assert "nowhere" in fatal(stage, directory=str(stage.folder / "nowhere"))[0]
    assert "artefact's folder" in fatal(stage, artifact=str(plain / "m"))[0]
    assert "published" in fatal(stage, publish=str(plain / "m"))[0]
    assert "channel 'train'" in fatal(stage, channels={"train": str(stage.folder / "absent")})[0]
    assert fatal(stage, ("tool",), environment={"PATH": str(stage.folder)}) != []
    plain.rename(stage.folder / "tool").chmod(0o755)
    assert fatal(stage, ("tool",), environment={"PATH": str(stage.folder)}) == []
    assert fatal(stage, ("./tool",)) == []


def test_doctor_warns_of_what_may_go_wrong(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.pattern = "ckpt-*.pt"
    stage.checkpoints.mkdir()
    (stage.checkpoints / "ckpt-3.pt").write_text("old")
    stage.training = {"channels": {"far": "s3://bucket/key"}}
    monkeypatch.setattr(localcheck, "FREE_BYTES_MIN", 1 << 60)
    findings = stage.backend().check(stage.job(["true"]))
    texts = " / ".join(finding.what for finding in findings)
    assert "ckpt-3.pt already" in texts
    assert "does not fetch" in texts
    assert "MiB are free" in texts
    assert all(bool(finding.remedy) == (finding.kind is Kind.WRONG) for finding in findings)
    assert any(finding.kind is Kind.FINE and "the program is there" in finding.what for finding in findings)
    assert not any(finding.fatal for finding in findings)
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert any(finding.fatal and "clock" in finding.what for finding in _checked(stage))


def _checked(stage: Stage) -> list[Finding]:
    return list(stage.backend().check(stage.job(["true"])))


def context(tmp_path: Path) -> BackendContext:
    return BackendContext(tmp_path, 0.0, 0.0, 0.0)


def test_a_backend_is_made_once_when_it_is_first_asked_for(tmp_path: Path) -> None:
    backends = InstalledBackends(context(tmp_path))
    assert isinstance(backends["local"], LocalBackend)
    assert backends["local"] is backends["local"]
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_backend_is_an_error_that_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UnknownBackendError, match=r"'sagemakr'; installed: .*local"):
        InstalledBackends(context(tmp_path))["sagemakr"]


def test_a_backend_that_cannot_be_loaded_says_why_and_does_not_vanish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = EntryPoint("broken", "no_such_module_at_all:Backend", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken])
    assert registry.installed() == ["broken"]
    with pytest.raises(UnknownBackendError, match="no_such_module_at_all"):
        InstalledBackends(context(tmp_path))["broken"]
