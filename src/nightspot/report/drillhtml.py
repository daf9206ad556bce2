"""A drill's result as one HTML page that needs nothing else: no script, no network."""

from __future__ import annotations

from html import escape
from typing import Iterable

from nightspot.drill.record import CaseResult, Report, Verdict
from nightspot.model.facts import iso
from nightspot.report.drill import CASES, faults, matched, remarks, sentence, step
from nightspot.report.drillpicture import picture
from nightspot.report.figure import INSTALL

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; opacity: .65; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } td.what, .dim { opacity: .7; }
.good { color: #137333; } .bad { color: #c5221f; } .so { color: #b06000; } b { font-weight: 650; }
@media (prefers-color-scheme: dark) { .good { color: #81c995; } .bad { color: #f28b82; } .so { color: #fdd663; } }
figure { margin: 1rem 0; background: #fff; border-radius: 6px; padding: .5rem; overflow-x: auto; } svg { max-width: 100%; height: auto; }
figcaption { color: #444; font-size: .85rem; }
dl { display: grid; grid-template-columns: 4rem 1fr; gap: .1rem 1rem; } dt { opacity: .65; } dd { margin: 0; }
"""
CAPTION = "Grey: uninterrupted. Blue: the case. Red: where it was ended. Circles: where it went on."


def page(report: Report) -> str:
    """The whole page."""
    head = f"<title>Drill of {escape(report.job)}: {report.verdict.value}</title><style>{STYLE}</style>"
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    body = [
        f'<h1>{escape(report.job)}: <span class="{_colour(report.verdict)}">{report.verdict.value}</span></h1>',
        f"<p>{escape(sentence(report))}.</p>",
        _table(report.cases),
        *_diagnoses(report),
        _figure(report),
        *_foot(report),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head>{meta}{head}</head><body>\n' + "\n".join(body) + "\n</body></html>\n"
    )


def _colour(verdict: Verdict) -> str:
    return {Verdict.EXACT: "good", Verdict.WITHIN_NOISE: "so"}.get(verdict, "bad")


def _table(cases: Iterable[CaseResult]) -> str:
    names = ("case", "what was done", "verdict", "killed at step", "resumed at step", "steps redone", "loss", "weights")
    head = "".join(f"<th>{name}</th>" for name in names)
    return (
        f'<div class="scroll"><table><tr>{head}</tr>\n' + "\n".join(_row(case) for case in cases) + "\n</table></div>"
    )


def _row(case: CaseResult) -> str:
    steps = (case.killed_at_step, case.resumed_at_step, case.redone_steps)
    cells = [
        f"<td><b>{case.case.value}</b></td>",
        f'<td class="what">{escape(CASES[case.case])}</td>',
        f'<td class="{_colour(case.verdict)}">{case.verdict.value}</td>',
        *(f'<td class="n">{step(number)}</td>' for number in steps),
        *(f"<td>{matched(same)}</td>" for same in (case.loss_match, case.weights_match)),
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _diagnoses(report: Report) -> list[str]:
    found = faults(report.cases)
    parts = ["<h2>What to change</h2>"] if found else []
    for fault in found:
        said = fault.diagnosis
        lines = [("where", said.where), ("seen", said.evidence), ("mend", said.mend)]
        told = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in lines if text)
        parts.append(
            f'<p><b>{escape(said.cause.value)}</b> <span class="dim">({fault.where})</span></p><dl>{told}</dl>'
        )
    return parts


def _figure(report: Report) -> str:
    if not any(any(lives) for lives in report.trajectories.values()):
        return '<p class="dim">No losses were seen that could be drawn.</p>'
    drawn = picture(report)
    if drawn is None:
        return f'<p class="dim">For a picture of the losses: {escape(INSTALL)}</p>'
    svg = drawn.decode()
    return f"<h2>Losses</h2><figure>{svg[svg.index('<svg') :]}<figcaption>{CAPTION}</figcaption></figure>"


def _foot(report: Report) -> list[str]:
    notes = [f"<li>{escape(note)}</li>" for note in remarks(report)]
    parts = [f"<h2>Notes</h2><ul>{''.join(notes)}</ul>"] if notes else []
    versions = ", ".join(f"{name} {version}" for name, version in sorted(report.versions.items()))
    parts.append(f'<p class="dim">{iso(report.finished_utc)}{escape(f"; {versions}" if versions else "")}</p>')
    return parts
