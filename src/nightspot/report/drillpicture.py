"""The losses of a drill's trainings as a picture, each interruption marked. matplotlib draws, where it is installed."""

from __future__ import annotations

import math
from typing import Any, Sequence

from nightspot.drill.record import Report
from nightspot.report.figure import BLUE, GREY, RED, as_bytes, begin, plain

BASELINE = "baseline"
COLUMNS, WIDTH_IN, ROW_IN = 3, 11.0, 2.4
Lives = Sequence[Sequence[tuple[float, float]]]


def picture(report: Report, form: str = "svg") -> bytes | None:
    """A panel for each case: the baseline in grey, each Life over it, a mark where one was ended. form: svg, png or pdf.

    None where matplotlib is missing, or nothing was logged that could be drawn.
    """
    cases = {name: lives for name, lives in report.trajectories.items() if name != BASELINE and any(lives)}
    if not cases:
        return None
    rows = math.ceil(len(cases) / COLUMNS)
    figure = begin(WIDTH_IN, ROW_IN * rows + 0.4)
    if figure is None:
        return None
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True).flat
    verdicts = {case.case.value: case.verdict.value for case in report.cases}
    killed = {case.case.value for case in report.cases if case.killed_at_step is not None}
    for axis, (name, lives) in zip(axes, cases.items(), strict=False):
        ended = lives[:-1] or (lives if name in killed else ())  # one alone never came back
        _panel(axis, f"{name}: {verdicts.get(name, '')}", report.trajectories.get(BASELINE, ()), lives, ended)
    for axis in list(axes)[len(cases) :]:
        axis.set_visible(False)
    figure.supxlabel("step of the whole training", fontsize=8)
    figure.supylabel("loss", fontsize=8)
    return as_bytes(figure, form)


def _panel(axis: Any, title: str, baseline: Lives, lives: Lives, ended: Lives) -> None:
    """ended: those lives that were ended from outside."""
    for life in baseline:
        axis.plot(*_xy(life), color=GREY, linewidth=3, solid_capstyle="round")
    for life in lives:
        axis.plot(*_xy(life), color=BLUE, linewidth=1)
    for life in ended:
        if life:
            axis.axvline(life[-1][0], color=RED, linewidth=0.8, linestyle="--")
            axis.plot(*life[-1], marker="x", color=RED, markersize=6)
    for life in lives[1:]:
        if life:
            axis.plot(*life[0], marker="o", color=BLUE, markersize=4, fillstyle="none")
    plain(axis, title)


def _xy(life: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    finite = [(x, y) for x, y in life if math.isfinite(y)]
    return [x for x, _ in finite], [y for _, y in finite]
