"""Notice, requests, progress lines, settings and the lock: what goes between training and the outside."""

import json
import multiprocessing
import os
import resource
import signal
import threading
import time
from pathlib import Path

import pytest

from nightspot.checkpoint import ConfigError, FolderInUseError, notice, settings
from nightspot.checkpoint.interval import parse
from nightspot.checkpoint.lock import FolderLock
from nightspot.checkpoint.notice import Notice, SaveRequest, Watched
from nightspot.checkpoint.progress import Progress
from nightspot.checkpoint.settings import Wishes


def test_sigterm_is_a_notice_however_often_it_comes() -> None:
    listening = Notice(None)
    listening.install()
    assert not listening.given()
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGTERM)
    assert listening.given()
    listening.remove()
    os.kill(os.getpid(), signal.SIGTERM)  # must not end us while we leave


def test_the_handler_of_before_comes_back() -> None:
    heard = []
    signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    listening = Notice(None)
    listening.install()
    listening.remove()
    os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [1]


def test_outside_the_main_thread_the_file_still_counts(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    heard = []

    def listen() -> None:
        listening = Notice(tmp_path / "notice")
        listening.install()
        (tmp_path / "notice").touch()
        heard.append(listening.given())
        listening.remove()

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert heard == [True]
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_path_is_looked_at_a_few_times_a_second_at_most(tmp_path: Path) -> None:
    now_s = [0.0]
    watched = Watched(tmp_path / "f", now_s=lambda: now_s[0])
    assert watched.stamp() is None
    (tmp_path / "f").touch()
    assert watched.stamp() is None
    now_s[0] += notice.POLL_INTERVAL_S
    assert watched.stamp() is not None


def test_each_touch_asks_for_one_checkpoint(tmp_path: Path) -> None:
    request = SaveRequest(tmp_path / "save-now")
    wanted = []
    for stamp_s in (None, 1, None, 2):
        if stamp_s is not None:
            (tmp_path / "save-now").touch()
            os.utime(tmp_path / "save-now", (stamp_s, stamp_s))
        request.look_again()
        wanted.append(request.wanted())
    assert wanted == [False, True, False, True]


def test_each_report_is_one_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_text('{"kind": "tor')  # an earlier process was killed here
    progress = Progress(path)
    progress.report("progress", units_done=1.5)
    progress.report("done")
    progress.close()
    torn, *whole = path.read_text().splitlines()
    assert torn == '{"kind": "tor'
    assert [json.loads(line) for line in whole] == [{"kind": "progress", "units_done": 1.5}, {"kind": "done"}]


def test_a_report_is_a_single_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    write = os.write

    def noted(descriptor: int, data: bytes) -> int:
        written.append(data)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", noted)
    Progress(tmp_path / "p").report("progress", units_done=1)
    assert written == [b'{"kind": "progress", "units_done": 1}\n']


def test_a_line_cut_short_by_a_full_disk_does_not_swallow_the_next(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    progress = Progress(tmp_path / "p")
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        progress.report("progress", units_done=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    progress.report("done")
    assert (tmp_path / "p").read_text() == '{"kind": "\n{"kind": "done"}\n'


def test_progress_that_cannot_be_written_is_told_once_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(tmp_path / "missing" / "p")
    progress.report("progress")
    progress.report("progress")
    assert capsys.readouterr().err.count("cannot report progress") == 1


def test_the_environment_comes_before_the_scripts_own_wishes() -> None:
    wishes = Wishes(Path("laptop"), 60.0, "mine")
    alone = settings.read({}, wishes)
    assert (alone.folder, alone.rule, alone.fingerprint) == (Path("laptop"), parse(60.0), "mine")
    night = settings.read(
        {
            "NIGHTSPOT_CHECKPOINT_DIR": "/night",
            "NIGHTSPOT_CHECKPOINT_INTERVAL_S": "2.5",
            "NIGHTSPOT_FINGERPRINT": "ab",
            "NIGHTSPOT_ATTEMPT": "3",
        },
        wishes,
    )
    assert (night.folder, night.rule, night.fingerprint, night.attempt) == (
        Path("/night"),
        parse(2.5),
        "ab",
        3,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NIGHTSPOT_CHECKPOINT_INTERVAL_S", "soon"),
        ("NIGHTSPOT_CHECKPOINT_INTERVAL_S", "-1"),
        ("NIGHTSPOT_CHECKPOINT_INTERVAL_S", "nan"),
        ("NIGHTSPOT_ATTEMPT", "first"),
    ],
)
def test_a_variable_that_makes_no_sense_is_refused_by_value(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=value):
        settings.read({name: value}, Wishes(None, None, None))


def hold(folder: Path, held: "multiprocessing.synchronize.Event") -> None:
    FolderLock(folder).acquire()
    held.set()
    time.sleep(60)


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=hold, args=(tmp_path, held))
    holder.start()
    assert held.wait(30)
    with pytest.raises(FolderInUseError, match="another process"):
        FolderLock(tmp_path).acquire(patience_s=0.1)
    holder.kill()
    assert FolderLock(tmp_path).acquire()
    holder.join()
