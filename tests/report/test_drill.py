"""What people see of a drill: the table, the page and the picture, from a report as the judge gives it."""

from __future__ import annotations

import dataclasses
import html
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rich.console import Console

from nightspot.drill.record import Case, CaseResult, Cause, Diagnosis, Report, Verdict
from nightspot.report.drill import drill, faults
from nightspot.report.drillhtml import page
from nightspot.report.drillpicture import picture
from nightspot.report.figure import INSTALL, RED

TORN = Diagnosis(
    Cause.TORN, "ckpt-3.pt had 10 of 400 bytes, and <torch.load> failed", "write beside, rename in", "a.py:12"
)
LOSSES = tuple((float(step), 1 / (step + 1)) for step in range(40))


def case(kind: Case, verdict: Verdict, diagnosis: Diagnosis | None = None, *notes: str) -> CaseResult:
    exact = verdict is Verdict.EXACT
    return CaseResult(kind, verdict, 17, 15, 2, exact, exact, diagnosis, notes)


def report(*cases: CaseResult, verdict: Verdict = Verdict.FAILED) -> Report:
    lives = (LOSSES[:18], LOSSES[15:])
    return Report(
        job="nightly",
        verdict=verdict,
        seed=7,
        cases=cases,
        baselines=2,
        deterministic=True,
        notes=("no time was left for twice",),
        trajectories={"baseline": (LOSSES,), **{one.case.value: lives for one in cases}},
        fingerprint="f",
        versions={"torch": "2.13.0"},
        finished_utc=0.0,
        seconds=83.0,
    )


def shown(what: Report) -> str:
    console = Console(width=120, record=True, color_system=None)
    with console.capture() as capture:
        console.print(drill(what))
    return capture.get()


def test_the_table_says_for_each_case_where_it_was_killed_and_where_it_went_on() -> None:
    text = shown(report(case(Case.KILL, Verdict.EXACT), case(Case.TRUNCATED, Verdict.FAILED, TORN)))
    row = next(line for line in text.splitlines() if line.startswith("truncated"))
    assert row.split()[-6:] == ["FAILED", "17", "15", "2", "differs", "differs"]
    assert "nightly  FAILED" in text
    assert "no time was left for twice" in text


def test_what_is_not_known_is_a_dash_and_no_zero() -> None:
    unknown = dataclasses.replace(case(Case.KILL, Verdict.FAILED), killed_at_step=None, loss_match=None)
    row = next(line for line in shown(report(unknown)).splitlines() if line.startswith("kill"))
    assert row.split()[-6:] == ["FAILED", "-", "15", "2", "-", "differs"]


def test_one_fault_of_many_cases_is_said_once_with_their_names() -> None:
    cases = [case(Case.TRUNCATED, Verdict.FAILED, TORN), case(Case.DURING_SAVE, Verdict.FAILED, TORN)]
    text = shown(report(case(Case.KILL, Verdict.EXACT), *cases))
    assert text.count("write beside, rename in") == 1
    assert "torn file loaded  (truncated, during-save)" in text
    assert [len(fault.cases) for fault in faults(cases)] == [2]


def test_what_was_seen_beside_a_fault_comes_with_its_line_and_mend_too() -> None:
    scheduler = Diagnosis(Cause.SCHEDULER, "the rate was 0.1", "save the scheduler's state", "a.py:40")
    both = dataclasses.replace(case(Case.TRUNCATED, Verdict.FAILED, TORN), also=(scheduler,))
    alone = case(Case.KILL, Verdict.DIVERGED, scheduler)
    for told in (shown(report(both, case(Case.NOTICE, Verdict.EXACT))), page(report(both))):
        assert "save the scheduler's state" in html.unescape(told) and "a.py:40" in told and "the rate was 0.1" in told
        assert "(also seen in truncated)" in told
    for told in (shown(report(both, alone)), page(report(both, alone))):
        assert html.unescape(told).count("save the scheduler's state") == 1
        assert "scheduler reset" in told and "(kill; also seen in truncated)" in told


def test_without_a_case_nothing_is_said_of_interruptions() -> None:
    text = shown(report())
    assert "no case was played: nothing is proven" in text
    assert "interrupted" not in text


def test_notes_of_a_case_are_said_with_its_name() -> None:
    assert "note: kill: also: scheduler reset" in shown(
        report(case(Case.KILL, Verdict.FAILED, None, "also: scheduler reset"))
    )


def test_what_a_script_said_in_brackets_is_shown_as_it_is() -> None:
    said = dataclasses.replace(TORN, evidence="name it in [drill] paths; it said [/INST]", where="[x]/a.py:1")
    text = shown(report(case(Case.TRUNCATED, Verdict.FAILED, said)))
    assert "name it in [drill] paths; it said [/INST]" in text
    assert "[x]/a.py:1" in text


class Closed(HTMLParser):
    """Whether every element that is opened is closed, in order."""

    VOID = ("meta", "path", "use", "image")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href") and tag != "use"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_whole_fetches_nothing_and_escapes_what_a_script_printed() -> None:
    text = page(report(case(Case.KILL, Verdict.EXACT), case(Case.TRUNCATED, Verdict.FAILED, TORN)))
    parser = Closed()
    parser.feed(text)
    assert parser.open == []
    assert [address for address in parser.addresses if not address.startswith("#")] == []
    assert "<script" not in text
    assert "&lt;torch.load&gt;" in text
    assert "<svg" in text
    assert "a.py:12" in text


def test_the_picture_has_a_panel_for_each_case_and_is_the_same_each_time() -> None:
    cases = [case(Case.KILL, Verdict.EXACT), case(Case.TRUNCATED, Verdict.FAILED, TORN)]
    drawn = picture(report(*cases))
    assert drawn is not None
    texts = [element.text for element in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert {"kill: EXACT", "truncated: FAILED"} <= set(texts)
    assert picture(report(*cases)) == drawn
    png = picture(report(*cases), "png")
    assert png is not None
    assert png.startswith(b"\x89PNG")


def test_the_interruption_is_marked_where_the_script_never_came_back_too() -> None:
    died = case(Case.TRUNCATED, Verdict.FAILED, TORN)

    def marks(one: CaseResult) -> int:
        alone = {"baseline": (LOSSES,), "truncated": (LOSSES[:18],)}
        drawn = picture(dataclasses.replace(report(one), trajectories=alone))
        assert drawn is not None
        return drawn.decode().count(RED)

    assert marks(died) > 0 == marks(dataclasses.replace(died, killed_at_step=None))


def test_without_losses_there_is_no_picture_and_the_page_says_so() -> None:
    bare = dataclasses.replace(report(case(Case.KILL, Verdict.EXACT)), trajectories={})
    assert picture(bare) is None
    assert "No losses were seen" in page(bare)


def test_without_matplotlib_the_page_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = page(report(case(Case.KILL, Verdict.EXACT)))
    assert "<svg" not in text
    assert INSTALL.replace("'", "&#x27;") in text


def test_a_loss_that_is_no_number_does_not_spoil_the_picture() -> None:
    broken = dataclasses.replace(
        report(case(Case.KILL, Verdict.EXACT)),
        trajectories={"baseline": (LOSSES,), "kill": (((0.0, float("nan")), (1.0, 0.5)), ((1.0, 0.5),))},
    )
    assert picture(broken) is not None
