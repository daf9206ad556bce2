"""What a drill found, for people: a line for each case, and what to change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterable, Iterator, Optional, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nightspot.drill.record import Case, CaseResult, Diagnosis, Report, Verdict
from nightspot.report.words import count, plural, span

STYLES = {
    Verdict.EXACT: "green",
    Verdict.WITHIN_NOISE: "yellow",
    Verdict.DIVERGED: "red",
    Verdict.RESTARTED: "red",
    Verdict.FAILED: "red",
}
MEANINGS = {
    Verdict.EXACT: "every interrupted training ended with the same model, bit for bit",
    Verdict.WITHIN_NOISE: "what was resumed is exact; the results differ as uninterrupted trainings do among themselves",
    Verdict.DIVERGED: "an interruption changes the model",
    Verdict.RESTARTED: "an interruption loses all work",
    Verdict.FAILED: "an interrupted training did not come to its end, or a case could not be played",
}
CASES = {
    Case.NOTICE: "told, then killed",
    Case.KILL: "killed without a word",
    Case.DURING_SAVE: "killed in the middle of a save",
    Case.AFTER_SAVE: "killed right after a save",
    Case.TRUNCATED: "killed, then the newest checkpoint lost its end",
    Case.FLIPPED: "killed, then one bit of the newest checkpoint changed",
    Case.TWICE: "killed, and killed again after the start",
    Case.BEFORE_FIRST: "killed before the first checkpoint",
    Case.CLEAN_MACHINE: "killed, then started on an empty machine",
}


def drill(report: Report) -> Group:
    """The verdict, a table, each diagnosis once, and the notes."""
    parts: list[RenderableType] = [_head(report), Text()]
    parts += [cases_table(report.cases)] if report.cases else []
    for fault in faults(report.cases):
        parts += [Text(), *_diagnosis(fault, report)]
    notes = list(remarks(report))
    parts += [Text()] if notes else []
    parts += [Text(f"note: {note}", "dim") for note in notes]
    return Group(*parts)


def cases_table(cases: Iterable[CaseResult]) -> Table:
    """One row for each case. Steps count over the whole training."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("case", "what was done"):
        table.add_column(name, no_wrap=name == "case")
    table.add_column("verdict", no_wrap=True)
    for name in ("killed at", "resumed at", "redone"):
        table.add_column(name, justify="right")
    for name in ("loss", "weights"):
        table.add_column(name, no_wrap=True)
    for case in cases:
        table.add_row(*_row(case))
    return table


@dataclass
class Fault:
    """Something to change. cases: where it is the chief thing to change; beside: where it was seen beside another."""

    diagnosis: Diagnosis
    cases: list[CaseResult] = field(default_factory=list)
    beside: list[CaseResult] = field(default_factory=list)

    @property
    def where(self) -> str:
        """The cases' names: "kill, twice; also seen in truncated"."""
        named, also = (", ".join(case.case.value for case in cases) for cases in (self.cases, self.beside))
        return "; ".join(part for part in (named, f"also seen in {also}" if also else "") if part)


def faults(cases: Sequence[CaseResult]) -> list[Fault]:
    """Each thing to change once, with the cases that showed it: first the chief ones, in the order in which they did."""
    found: dict[tuple[object, ...], Fault] = {}

    def fault(said: Diagnosis) -> Fault:
        return found.setdefault((said.cause, said.where, said.mend), Fault(said))

    for case in cases:
        if case.diagnosis is not None:
            fault(case.diagnosis).cases.append(case)
    for case in cases:
        for said in case.also:
            fault(said).beside.append(case)
    return list(found.values())


def remarks(report: Report) -> Iterator[str]:
    """What else is to be said: of the whole drill, then of each case."""
    yield from report.notes
    for case in report.cases:
        yield from (f"{case.case.value}: {note}" for note in case.notes)


def sentence(report: Report) -> str:
    """What the verdict means, and what it was found with."""
    if not report.cases:
        return f"no case was played: nothing is proven (seed {report.seed}, {span(report.seconds)})"
    trainings = plural(report.baselines, "uninterrupted training")
    return (
        f"{MEANINGS[report.verdict]} ({plural(len(report.cases), 'case')} beside {trainings}, seed {report.seed}, "
        f"{span(report.seconds)})"
    )


def step(number: Optional[int]) -> str:
    """`-` where it is not known."""
    return "-" if number is None else count(number)


def matched(same: Optional[bool]) -> str:  # noqa: FBT001 - of three values one
    """Whether two things were equal, in one word; `-` where they could not be compared."""
    return {True: "equal", False: "differs", None: "-"}[same]


def _head(report: Report) -> Text:
    head = Text(report.job, "bold").append("  ")
    head.append(report.verdict.value, f"bold {STYLES[report.verdict]}")
    return head.append(f"  {sentence(report)}")


def _row(case: CaseResult) -> tuple[str | Text, ...]:
    return (
        case.case.value,
        Text(CASES[case.case], "dim"),
        Text(case.verdict.value, STYLES[case.verdict]),
        step(case.killed_at_step),
        step(case.resumed_at_step),
        step(case.redone_steps),
        _match(case.loss_match),
        _match(case.weights_match),
    )


def _match(same: Optional[bool]) -> Text:  # noqa: FBT001
    return Text(matched(same), {True: "green", False: "red", None: "dim"}[same])


def _diagnosis(fault: Fault, report: Report) -> list[RenderableType]:
    """An EXACT case may have one, too: work that was lost without need, say. That is no fault, and not red."""
    harmless = all(case.verdict in (Verdict.EXACT, Verdict.WITHIN_NOISE) for case in [*fault.cases, *fault.beside])
    names = fault.where if len(fault.cases) < len(report.cases) else "every case"
    diagnosis = fault.diagnosis
    head = Text(diagnosis.cause.value, "bold yellow" if harmless else "bold red").append(f"  ({names})", "dim")
    lines = [("where", diagnosis.where), ("seen", diagnosis.evidence), ("mend", diagnosis.mend)]
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for name, text in lines:
        if text:
            grid.add_row(name, Text(text))  # a script's words are no markup
    return [head, Padding(grid, (0, 0, 0, 2))]
