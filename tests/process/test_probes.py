"""A PROBE on this machine: its supervisor has the place and waits for `go`; what lies there meanwhile is another's."""

from __future__ import annotations

import time

from nightspot.model.attempt import Phase, Role
from nightspot.night.ports import EndKind, PhaseSeen, SavedCheckpoint
from tests.process.stage import Show, Stage, wait_for

# Knows nothing of nightspot: files of its own, the newest is gone on from.
FILES = """
    import glob, os, sys, time

    kept = os.environ["NIGHTSPOT_CHECKPOINT_DIR"]
    done = max([int(name[-6:-3]) for name in glob.glob(kept + "/ckpt-*.pt")], default=0)
    print("begins at", done, flush=True)
    while done < int(sys.argv[1]):
        time.sleep(float(sys.argv[2]))
        done += 1
        with open(f"{kept}/ckpt-{done:03d}.pt", "wb") as file:
            file.write(b"whole")
    print("is done", flush=True)
    time.sleep(float(sys.argv[3]))
"""


def phases(show: Show) -> list[Phase]:
    return [news.phase for news in show.of(PhaseSeen)]


def ready(stage: Stage, *arguments: object) -> Show:
    stage.role = Role.PROBE
    show = stage.launch(FILES, *arguments, number=2)
    show.until(lambda _: Phase.READY in phases(show))
    return show


def test_a_probe_that_is_let_go_leaves_the_files_of_what_trains_alone(stage: Stage) -> None:
    """The other writes one just now: to whoever looks it seems torn, and it is none of the PROBE's business."""
    stage.pattern = "ckpt-*.pt"
    show = ready(stage, 3, 0.01, 0)
    written = stage.checkpoints / "ckpt-007.pt"
    written.write_bytes(b"half of a file, by another")
    show.tell("stop")
    assert show.to_the_end().kind is EndKind.STOPPED
    assert written.exists()
    assert list(stage.checkpoints.iterdir()) == [written]
    assert (show.of(SavedCheckpoint), show.warnings) == ([], [])


def test_told_go_an_unmodified_script_goes_on_from_what_the_other_left_and_that_is_not_told_as_its_own(
    stage: Stage,
) -> None:
    stage.pattern, stage.units = "ckpt-*.pt", 9.0
    show = ready(stage, 9, 0.3, 600)
    for number in (6, 7):
        (stage.checkpoints / f"ckpt-{number:03d}.pt").write_bytes(b"whole")
    show.tell("go")
    wait_for(lambda: "is done" in show.output)
    show.until(lambda report: report.units_done == 9.0)
    assert "begins at 7" in show.output
    begun = [news.units_done for news in show.of(PhaseSeen) if news.phase is Phase.TRAINING]
    assert begun == [7.0]
    assert [news.units_done for news in show.of(SavedCheckpoint) if news.units_done <= 7.0] == []
    show.tell("stop")
    show.to_the_end()


def test_a_program_that_never_speaks_has_all_of_its_start_up_from_go_on(stage: Stage) -> None:
    """Ninety market seconds are nine tenths of its bound; it waited longer than that before it was told."""
    stage.lead_s, stage.role = 100.0, Role.PROBE
    show = stage.launch("import time; print('begun', flush=True); time.sleep(600)", number=2)
    show.until(lambda _: Phase.READY in phases(show))
    launched_utc = show.of(PhaseSeen)[0].at_utc
    wait_for(lambda: stage.now_utc() > launched_utc + 100.0)
    gone_utc, gone_s = stage.now_utc(), time.monotonic()
    show.tell("go")
    show.until(lambda _: Phase.TRAINING in phases(show))
    assert time.monotonic() - gone_s >= 90.0 / stage.scale * 0.95
    trains = [news for news in show.of(PhaseSeen) if news.phase is Phase.TRAINING]
    assert trains[0].at_utc >= gone_utc  # since its process began, as ever
    show.tell("stop")
    show.to_the_end()
