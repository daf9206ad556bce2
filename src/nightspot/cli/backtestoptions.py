"""The options of `nightspot backtest`, and how its shell writes lists."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from typer.core import TyperCommand

from nightspot.policy.names import POLICY_OPTIONS

MANY = ("--fit",)


class Backtest(TyperCommand):
    """As the shell makes it of `--fit folder/*.json`: each name after it belongs to it, up to the next option."""

    def parse_args(self, context: Any, args: list[str]) -> list[str]:
        """See click."""
        return list(super().parse_args(context, each_named(args)))


def each_named(words: list[str]) -> list[str]:
    """ "--fit A B" as "--fit A --fit B"."""
    named: list[str] = []
    owner = ""
    for word in words:
        if word.startswith("-"):
            owner = word if word in MANY else ""
        elif owner and named[-1] != owner:
            named.append(owner)
        named.append(word)
    return named


Traces = Annotated[
    list[Path],
    typer.Argument(metavar="TRACE...", help="Recorded capacity, a file for each pool; or folders of them."),
]
Policies = Annotated[
    Optional[list[str]],
    typer.Option(metavar="NAME", help=f"May be repeated. There are: {', '.join(POLICY_OPTIONS)}."),
]
Work = Annotated[str, typer.Option(metavar="DURATION", help="What the training takes at speed 1.")]
Window = Annotated[
    str, typer.Option(metavar="DURATION,...", help="From the start to the deadline; several with commas between.")
]
Overhead = Annotated[str, typer.Option(metavar="DURATION", help="From a launch to the first second of training.")]
SpotPrice = Annotated[float, typer.Option(metavar="USD", help="Of an hour on Spot.", min=0.0)]
OnDemandPrice = Annotated[float, typer.Option(metavar="USD", help="Of an hour on on-demand.", min=0.0)]
Every = Annotated[str, typer.Option(metavar="DURATION", help="From the start of a night to that of the next.")]
From = Annotated[
    float,
    typer.Option("--from", metavar="FRACTION", help="Where in each trace the first night begins.", min=0.0, max=1.0),
]
To = Annotated[
    float,
    typer.Option("--to", metavar="FRACTION", help="Before where in each trace the last one begins.", min=0.0, max=1.0),
]
Tick = Annotated[str, typer.Option(metavar="DURATION", help="How often the loop acts; whole ticks are charged.")]
Fit = Annotated[
    Optional[list[Path]],
    typer.Option(
        metavar="TRACE...", help="Where the policies' knowledge of capacity comes from. Default: a prior. One or more."
    ),
]
LeaveOneOut = Annotated[
    bool, typer.Option("--leave-one-out", help="For each trace, that knowledge comes from the other traces.")
]
MultiPool = Annotated[
    bool, typer.Option("--multi-pool", help="The traces are pools of one market: a night may choose between them.")
]
Need = Annotated[
    Optional[int],
    typer.Option(help="Of a trace that counts instances: how many must be there at once. Default: one.", min=1),
]
PriceCap = Annotated[
    Optional[float],
    typer.Option(metavar="USD", help="Of a price history: Spot is there while an hour costs less.", min=0.0),
]
Visibility = Annotated[
    str, typer.Option(metavar="free|request", help="Whether capacity is seen for free, or by a queued request alone.")
]
SecondRequest = Annotated[
    bool,
    typer.Option("--second-request", help="A request may wait beside on-demand, where only requests show capacity."),
]
Handover = Annotated[
    Optional[str],
    typer.Option(metavar="DURATION", help="Spot may boot beside on-demand, and take over so much later. Default: no."),
]
Redo = Annotated[str, typer.Option(metavar="DURATION", help="Work that is done again after each interruption.")]
Jobs = Annotated[Optional[int], typer.Option(help="Processes to play in. Default: as many as cores.", min=1)]
Picture = Annotated[
    Optional[Path],
    typer.Option(metavar="FILE", help="Write a picture of cost against window length, too: .svg, .png or .pdf."),
]
