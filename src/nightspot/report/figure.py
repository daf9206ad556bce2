"""Pictures by matplotlib, where it is installed: one way to begin a figure, and to make the same bytes of it each time."""

from __future__ import annotations

import io
from typing import Any, Mapping

INSTALL = "pip install 'nightspot[pictures]'"
GREY, BLUE, RED, GREEN, ORANGE, VIOLET = "#9aa0a6", "#1a56c4", "#c5221f", "#188038", "#e37400", "#7b3fb5"
COLOURS = (BLUE, ORANGE, GREEN, VIOLET, RED, GREY)


def begin(width_in: float, height_in: float) -> Any | None:
    """A figure without a display; None where matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure: Any = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)  # no display is asked for
    return figure


def plain(axis: Any, title: str) -> None:
    """A panel without what nobody reads."""
    axis.set_title(title, fontsize=9, loc="left")
    axis.tick_params(labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


def as_bytes(figure: Any, form: str) -> bytes:
    """svg, png or pdf. No date, no random ids: the same facts give the same picture."""
    import matplotlib

    raw = io.BytesIO()
    metadata: Mapping[str, None] = {"Date": None} if form == "svg" else {}
    with matplotlib.rc_context({"svg.hashsalt": "nightspot", "svg.fonttype": "none"}):
        figure.savefig(raw, format=form, metadata=metadata, dpi=110)
    return raw.getvalue()
