"""One Attempt from launch to exit.json: what the training process is told, and what is made of what it does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nightspot.model.attempt import Phase, Role
from nightspot.night.ports import EndKind, NoticeSeen, PhaseSeen, SavedCheckpoint
from nightspot.process.files import read_json
from nightspot.process.identity import Identity, stat_fields
from tests.process.stage import Show, Stage, wait_for
from tests.process.trainers import SPEAKS, command, program

DEAF = """
    import signal, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
    time.sleep(600)
"""
SLEEPS = """
    import time
    print("asleep", flush=True)
    time.sleep(600)
"""


def supervisor_of(show: Show) -> Identity:
    return Identity.from_json(read_json(show.folder.supervisor))


def phases(show: Show) -> list[Phase]:
    return [news.phase for news in show.of(PhaseSeen)]


def test_a_supervisor_needs_nothing_but_the_standard_library() -> None:
    code = "import sys, nightspot.process.supervisor; print(*{name.split('.')[0] for name in sys.modules})"
    found = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    site = {"nightspot"} | {name for name in found if name.startswith(("_", "sitecustomize"))}
    assert found - site <= set(sys.stdlib_module_names)


def test_news_tell_the_whole_story_in_market_time(stage: Stage) -> None:
    launched_utc = stage.now_utc()
    show = stage.launch(SPEAKS, 3, 0.05)
    ended = show.to_the_end()
    assert ended.kind is EndKind.SUCCEEDED, ended
    assert phases(show) == [Phase.BOOTING, Phase.TRAINING]
    assert [n.units_done for n in show.of(SavedCheckpoint)] == [1.0, 2.0, 3.0]
    assert show.of(SavedCheckpoint)[0].save_s == pytest.approx(0.6)  # market seconds of 0.01 real ones
    assert launched_utc <= show.news[0].at_utc <= show.news[-1].at_utc <= ended.at_utc <= stage.now_utc()
    assert (ended.metrics, ended.facts) == ({"loss": 0.5}, {"data_sha256": "abc"})


def test_the_supervisor_leaves_when_all_is_over_and_never_was_the_controllers_child(stage: Stage) -> None:
    show = stage.launch(SPEAKS, 1, 0.01)
    fields = stat_fields(supervisor_of(show).pid)
    assert fields is None or int(fields[1]) != os.getpid()
    show.to_the_end()
    wait_for(lambda: not supervisor_of(show).alive())
    assert show.folder.log.read_text() == ""


def test_the_program_sees_what_the_protocol_promises(stage: Stage) -> None:
    stage.training = {"environment": {"MINE": "5", "NIGHTSPOT_TOKEN": "forged"}, "fingerprint": "f00d"}
    stage.training["artifact"] = str(stage.folder / "model.bin")
    show = stage.launch("import json, os; json.dump(dict(os.environ), open('seen.json', 'w'))", units_start=2.0)
    show.to_the_end()
    seen = read_json(stage.folder / "seen.json")
    folder = show.folder
    expected = {
        "NIGHTSPOT_RUN_ID": "stage-20261125T0700Z",
        "NIGHTSPOT_ATTEMPT": "1",
        "NIGHTSPOT_TOKEN": show.handle.token,
        "NIGHTSPOT_CHECKPOINT_DIR": str(stage.checkpoints),
        "NIGHTSPOT_CHECKPOINT_INTERVAL_S": "15.0",  # 900 market seconds, 60 times as fast
        "NIGHTSPOT_PROGRESS": str(folder.progress),
        "NIGHTSPOT_NOTICE": str(folder.notice),
        "NIGHTSPOT_SAVE_REQUEST": str(folder.save_request),
        "NIGHTSPOT_FINGERPRINT": "f00d",
        "NIGHTSPOT_ARTIFACT": str(stage.folder / "model.bin"),
        "MINE": "5",
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert stage.checkpoints.is_dir()


def test_what_another_attempt_around_us_was_given_is_not_handed_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTSPOT_ARTIFACT", "another's")
    stage.launch("import json, os; json.dump(dict(os.environ), open('seen.json', 'w'))").to_the_end()
    assert "NIGHTSPOT_ARTIFACT" not in read_json(stage.folder / "seen.json")


def test_the_command_starts_after_the_launch_delay_and_not_before(stage: Stage) -> None:
    stage.options = {"launch_delay_s": 60.0}
    launched_utc = stage.now_utc()
    show = stage.launch(SPEAKS, 1, 0.01)
    show.to_the_end()
    begun = [news for news in show.of(PhaseSeen) if news.phase is Phase.TRAINING]
    assert begun[0].at_utc >= launched_utc + 60.0


def test_before_the_market_takes_it_the_program_is_told_and_may_save(stage: Stage) -> None:
    stage.lose_capacity_after(240.0, notice_s=90.0)
    show = stage.launch(SPEAKS, 1e6, 0.05, 1e6)
    ended = show.to_the_end()
    assert (ended.kind, ended.exit_code, ended.final) == (EndKind.TAKEN, 75, False)
    (notice,) = show.of(NoticeSeen)
    assert 45.0 < notice.kill_utc - notice.at_utc <= 90.0
    told = read_json(show.folder.notice)
    assert told["reason"] == "interruption"
    assert 0.75 < told["kill_in_s"] <= 1.5  # real seconds
    assert len(show.of(SavedCheckpoint)) == 1
    assert ended.at_utc < notice.kill_utc


def test_without_notice_it_is_killed_and_told_nothing(stage: Stage) -> None:
    stage.lose_capacity_after(180.0, notice_s=0.0)
    show = stage.launch(SPEAKS, 1e6, 0.05, 1e6)
    ended = show.to_the_end()
    assert (ended.kind, ended.exit_code) == (EndKind.TAKEN, 128 + signal.SIGKILL)
    assert show.of(NoticeSeen) == [] == show.of(SavedCheckpoint)
    assert not show.folder.notice.exists()


def test_capacity_taken_during_the_launch_delay_takes_it_before_it_begins(stage: Stage) -> None:
    stage.lose_capacity_after(30.0, notice_s=0.0)
    stage.options["launch_delay_s"] = 3600.0
    show = stage.launch(SPEAKS, 1, 0.01)
    ended = show.to_the_end()
    assert (ended.kind, ended.exit_code) == (EndKind.TAKEN, None)
    assert not show.folder.child.exists()


def test_finishing_while_it_is_being_taken_is_finishing(stage: Stage) -> None:
    stage.lose_capacity_after(240.0, notice_s=120.0)
    show = stage.launch("""
        import json, os, signal, time
        signal.signal(signal.SIGTERM, lambda *_: None)
        while not os.path.exists(os.environ["NIGHTSPOT_NOTICE"]):
            time.sleep(0.01)
        with open(os.environ["NIGHTSPOT_PROGRESS"], "a") as file:
            file.write(json.dumps({"kind": "done", "units_done": 5}) + chr(10))
    """)
    ended = show.to_the_end()
    assert (ended.kind, ended.exit_code) == (EndKind.SUCCEEDED, 0)
    assert len(show.of(NoticeSeen)) == 1


def test_ending_well_after_a_notice_without_the_done_marker_is_not_finishing(stage: Stage) -> None:
    show = stage.launch("""
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        print("asleep", flush=True)
        time.sleep(600)
    """)
    show.until(lambda _: "asleep" in show.output)
    show.tell("stop")
    ended = show.to_the_end()
    assert (ended.kind, ended.exit_code) == (EndKind.STOPPED, 0)


def test_a_stop_gives_notice_and_lets_it_save(stage: Stage) -> None:
    show = stage.launch(SPEAKS, 1e6, 0.05, 1e6)
    show.until(lambda report: report.units_done >= 1)
    show.tell("stop")
    ended = show.to_the_end()
    assert (ended.kind, ended.exit_code) == (EndKind.STOPPED, 75)
    assert read_json(show.folder.notice)["reason"] == "stop"
    assert phases(show)[-1] is Phase.STOPPING
    assert len(show.of(SavedCheckpoint)) == 1


def test_what_does_not_listen_is_killed_after_two_real_seconds_of_grace(stage: Stage) -> None:
    show = stage.launch(DEAF)
    show.until(lambda _: "deaf" in show.output)
    told_utc = stage.now_utc()
    show.tell("stop")
    ended = show.to_the_end()
    assert (ended.kind, ended.exit_code) == (EndKind.STOPPED, 128 + signal.SIGKILL)
    assert 2.0 <= (ended.at_utc - told_utc) / stage.scale < 5.0


def test_at_its_limit_it_ends_with_notice_and_without_us(stage: Stage) -> None:
    show = stage.launch(SPEAKS, 1e6, 0.05, 1e6, for_s=240.0)
    ended = show.to_the_end()
    assert (ended.kind, ended.exit_code) == (EndKind.STOPPED, 75)
    assert "time after which it must not run" in ended.detail
    assert read_json(show.folder.notice)["reason"] == "limit"
    assert read_json(show.folder.exit)["how"] == "limit"


def test_a_terminals_signals_do_not_reach_the_supervisor_and_sigterm_is_a_stop(stage: Stage) -> None:
    show = stage.launch(SPEAKS, 1e6, 0.05)
    show.until(lambda report: report.units_done >= 1)
    for number in (signal.SIGHUP, signal.SIGINT):
        supervisor_of(show).send(number)
    units = show.look().units_done
    show.until(lambda report: report.units_done > units + 1)
    supervisor_of(show).send(signal.SIGTERM)
    ended = show.to_the_end()
    assert (ended.kind, ended.exit_code) == (EndKind.STOPPED, 75)


def test_the_programs_own_signals_are_as_usual(stage: Stage) -> None:
    ignored = "import signal; print([signal.getsignal(n) == signal.SIG_DFL for n in (signal.SIGHUP, signal.SIGTERM)])"
    show = stage.launch(ignored)
    show.to_the_end()
    assert show.output.strip() == "[True, True]"


@pytest.mark.parametrize(("code", "final"), [(1, False), (75, False), (78, True)])
def test_a_failure_is_told_with_the_last_that_was_said(stage: Stage, code: int, final: bool) -> None:
    show = stage.launch(f"import sys; print('reading'); print('out of memory', file=sys.stderr); sys.exit({code})")
    ended = show.to_the_end()
    assert (ended.kind, ended.exit_code, ended.final) == (EndKind.FAILED, code, final)
    assert "out of memory" in ended.detail


def test_what_cannot_be_started_fails_for_good_and_says_why(stage: Stage) -> None:
    missing = stage.launch_command(["no-such-program-at-all"]).to_the_end()
    assert (missing.kind, missing.final, missing.exit_code) == (EndKind.FAILED, True, None)
    assert "there is no program 'no-such-program-at-all'" in missing.detail
    stage.training = {"directory": str(stage.folder / "nowhere")}
    nowhere = stage.launch_command(["true"], number=2).to_the_end()
    assert "there is no folder" in nowhere.detail
    plain = stage.folder / "plain"
    plain.write_text("echo")
    stage.training = {}
    assert "Permission denied" in stage.launch_command([str(plain)], number=3).to_the_end().detail


def test_a_model_whose_metrics_are_no_numbers_is_not_published(stage: Stage) -> None:
    stage.training = {"artifact": str(stage.folder / "m"), "publish": str(stage.folder / "out/m")}
    show = stage.launch("""
        import os
        open("m", "w").write("model")
        with open(os.environ["NIGHTSPOT_PROGRESS"], "a") as file:
            file.write('{"kind": "done", "units_done": 5, "metrics": {"loss": NaN}}' + chr(10))
    """)
    ended = show.to_the_end()
    assert (ended.kind, ended.final) == (EndKind.FAILED, True)
    assert "loss = nan" in ended.detail
    assert not (stage.folder / "out/m").exists()


def test_the_done_marker_is_heard_behind_however_much_was_said_at_the_end(stage: Stage) -> None:
    show = stage.launch("""
        import os
        with open(os.environ["NIGHTSPOT_PROGRESS"], "ab", 0) as file:
            file.write((b'{"kind": "progress", "units_done": 1, "x": "' + b"x" * 1000 + b'"}' + bytes([10])) * 12_000)
            file.write(b'{"kind": "done", "units_done": 5, "metrics": {"loss": 0.25}}' + bytes([10]))
    """)
    assert show.to_the_end().metrics == {"loss": 0.25}
    assert show.look().units_done == 5.0


def test_torn_and_senseless_progress_is_passed_over(stage: Stage) -> None:
    show = stage.launch("""
        import os
        with open(os.environ["NIGHTSPOT_PROGRESS"], "ab", 0) as file:
            file.write(b'{"kind": "training", "units_done": 0}\\n')
            file.write(b'{"kind": "checkpoint", "units_done": NaN}\\n')
            file.write(b'not json\\n[1]\\n{"kind": 4}\\n{"kind": "later", "units_done": 1}\\n')
            file.write(b'{"kind": "checkpoint", "units_done": 2, "save_s": "x"}\\n{"kind": "checkpoint", "units_done": 4')
    """)
    ended = show.to_the_end()
    assert ended.kind is EndKind.SUCCEEDED
    assert [n.units_done for n in show.of(SavedCheckpoint)] == [2.0]
    assert show.look().units_done == 2.0


def test_warnings_of_the_program_reach_the_user_and_end_after_some(stage: Stage) -> None:
    show = stage.launch("""
        import json, os
        with open(os.environ["NIGHTSPOT_PROGRESS"], "a") as file:
            for number in range(1000):
                file.write(json.dumps({"kind": "warning", "message": f"warning {number} " + "x" * 10_000}) + chr(10))
    """)
    show.to_the_end()
    assert show.warnings[0].startswith("warning 0")
    assert len(show.warnings) == 200
    assert "no more warnings" in show.warnings[-1]
    assert max(map(len, show.warnings)) < 600


def test_a_program_that_says_nothing_counts_as_training_once_its_start_up_is_over(stage: Stage) -> None:
    stage.lead_s, launched_utc = 60.0, stage.now_utc()
    show = stage.launch(SLEEPS)
    show.until(lambda _: Phase.TRAINING in phases(show))
    (begun,) = [news for news in show.of(PhaseSeen) if news.phase is Phase.TRAINING]
    assert begun.units_done == 0.0
    assert launched_utc < begun.at_utc < launched_utc + 54.0 <= stage.now_utc()


def test_a_program_that_has_reported_before_is_waited_for(stage: Stage) -> None:
    stage.lead_s = 12.0
    show = stage.launch(SLEEPS, units_start=2.0)
    show.until(lambda _: "asleep" in show.output)
    wait_for(lambda: stage.now_utc() > show.news[0].at_utc + 30.0)
    show.look()
    assert phases(show) == [Phase.BOOTING]


def test_units_start_where_the_last_attempt_left_off(stage: Stage) -> None:
    show = stage.launch(SLEEPS, units_start=2.5)
    assert show.look().units_done == 2.5


def test_a_probe_waits_for_go(stage: Stage) -> None:
    stage.role = Role.PROBE
    show = stage.launch(SPEAKS, 1, 0.01)
    show.until(lambda _: Phase.READY in phases(show))
    assert not show.folder.child.exists()
    show.tell("go")
    assert show.to_the_end().kind is EndKind.SUCCEEDED
    assert phases(show) == [Phase.BOOTING, Phase.READY, Phase.TRAINING]


def test_a_probe_that_is_never_needed_is_stopped_at_once(stage: Stage) -> None:
    stage.role = Role.PROBE
    show = stage.launch(SPEAKS, 1, 0.01)
    show.until(lambda _: Phase.READY in phases(show))
    show.tell("stop")
    ended = show.to_the_end()
    assert (ended.kind, ended.exit_code) == (EndKind.STOPPED, None)


def test_output_of_both_streams_is_kept(stage: Stage) -> None:
    show = stage.launch("import sys; print('out'); print('err', file=sys.stderr)")
    show.to_the_end()
    assert sorted(show.output.split()) == ["err", "out"]


def test_the_spec_holds_nothing_of_our_environment(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-5c1")
    show = stage.launch("import os; assert os.environ['AWS_SECRET_ACCESS_KEY'] == 'canary-5c1'")
    assert show.to_the_end().kind is EndKind.SUCCEEDED
    texts = [path.read_text() for path in Path(show.folder.path).rglob("*") if path.is_file()]
    assert not any("canary-5c1" in text for text in texts)


def test_a_command_runs_in_its_directory(stage: Stage) -> None:
    words = command(program(stage.folder, "import os; print(os.getcwd())"))
    (stage.folder / "src").mkdir()
    stage.training = {"directory": str(stage.folder / "src")}
    show = stage.launch_command(words)
    show.to_the_end()
    assert show.output.strip() == str(stage.folder / "src")
    assert json.loads(show.folder.spec.read_text())["directory"] == str(stage.folder / "src")
