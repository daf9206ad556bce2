"""Cost against window length as a picture, the policies side by side. matplotlib draws, where it is installed."""

from __future__ import annotations

from typing import Any

from nightspot.planning.results import BacktestFacts
from nightspot.report.figure import COLOURS, as_bytes, begin, plain
from nightspot.report.words import span

BLACK = "#202124"
ROOM = 0.84  # of the space of a window, for the bars of its policies


def picture(facts: BacktestFacts, form: str = "svg") -> bytes | None:
    """A group of bars for each window, a bar for each policy; a line across each group is the best possible. form: svg, png or pdf.

    None where matplotlib is missing.
    """
    figure = begin(max(6.0, 1.8 * len(facts.windows) + 2.5), 4.2)
    if figure is None:
        return None
    _draw(figure.subplots(), facts)
    return as_bytes(figure, form)


def _draw(axis: Any, facts: BacktestFacts) -> None:
    names = list(facts.policies)
    width = ROOM / len(names)
    places = range(len(facts.windows))
    for index, name in enumerate(names):
        lefts = [place - ROOM / 2 + index * width for place in places]
        heights = [window.policies[name].mean_cost for window in facts.windows]
        axis.bar(lefts, heights, width * 0.92, align="edge", color=COLOURS[index % len(COLOURS)], label=name)
    for place, window in zip(places, facts.windows, strict=True):
        best = next(iter(window.policies.values())).mean_cost_omniscient
        label = "best possible" if place == 0 else None
        axis.plot([place - ROOM / 2, place + ROOM / 2], [best, best], color=BLACK, linewidth=1.6, label=label)
    axis.set_xticks(list(places), [span(window.window_s) for window in facts.windows])
    axis.set_xlabel("window, from start to deadline", fontsize=9)
    axis.set_ylabel("mean cost of a night, USD", fontsize=9)
    plain(axis, _title(facts))
    axis.figure.legend(loc="outside right upper", fontsize=8, frameon=False)


def _title(facts: BacktestFacts) -> str:
    return f"{span(facts.work_s)} of work, {span(facts.overhead_s)} to start, Spot at {_ratio(facts)} of on-demand"


def _ratio(facts: BacktestFacts) -> str:
    return f"{facts.spot_price / facts.on_demand_price:.2g}" if facts.on_demand_price else "?"
