"""What all figures share: fonts, colours that survive colour blindness and grey print, and SVG text that is the same each time.

Figures are built with matplotlib's objects, never with pyplot: pages draw in several requests at once.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, MUTED, LINE = "#1d2329", "#55606b", "#cdd4da"
NEGATIVE, NEUTRAL, POSITIVE = (
    "#b35806",
    "#d9d9d9",
    "#2166ac",
)  # orange to blue: told apart by the colour-blind and in grey
CATEGORICAL = (
    "#2166ac",
    "#b35806",
    "#4d7f3a",
    "#7b5aa6",
    "#8c6d31",
    "#3c8d93",
    "#a03e66",
    "#5e6b78",
    "#9a9f2b",
    "#1b3b5f",
    "#c77c3b",
    "#2f5d3a",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 8, "axes.edgecolor": LINE, "axes.labelcolor": INK, "text.color": INK,
    "xtick.color": MUTED, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "path",
    "svg.hashsalt": "blindrate", "figure.dpi": 100, "savefig.dpi": 200, "pdf.fonttype": 42,
    "text.parse_math": False,
}  # fmt: skip
WIDTH = (
    5.4  # inches: text of 7 to 8 points is still readable when a journal shrinks the figure to one column (3.5 inches)
)
_lock = threading.RLock()


@contextmanager
def styled() -> Iterator[None]:
    """The report's settings for what is drawn inside; one thread at a time, because they are global to the process."""
    with _lock, mpl.rc_context(SETTINGS):
        yield


def likert_colours(points: int) -> list[tuple[float, float, float]]:
    """One colour for each point of a scale: orange below the middle, grey in it, blue above."""
    ends = [mpl.colors.to_rgb(c) for c in (NEGATIVE, NEUTRAL, POSITIVE)]
    ramp = mpl.colors.LinearSegmentedColormap.from_list("likert", ends)
    red, green, blue, _ = ramp(np.linspace(0, 1, points)).T
    return [(float(r), float(g), float(b)) for r, g, b in zip(red, green, blue, strict=True)]


def svg(figure: Figure, title: str, description: str) -> str:
    """The figure as an SVG element with a title and a description for screen readers; equal figures give equal text."""
    buffer = io.StringIO()
    with styled():
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.S)
    text = re.sub(
        r' style="([^"]*)"', _as_attributes, text
    )  # the pages' content security policy allows no style attributes
    head = f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
    return re.sub(
        r"<svg([^>]*)>",
        lambda m: (
            f'<svg role="img" stroke-linejoin="round" stroke-linecap="butt" aria-label="{escape(title, quote=True)}"{m[1]}>{head}'
        ),
        text,
        count=1,
    )


def _as_attributes(style: re.Match[str]) -> str:
    """`fill: #fff; stroke: none` as the SVG attributes of the same names."""
    pairs = (part.partition(":") for part in style[1].split(";") if part.strip())
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in pairs)


def wrap(text: str, width: int, most: int = 0) -> str:
    """A label in lines of at most `width` characters; what is left after `most` lines (0: any number) becomes an ellipsis."""
    lines: list[str] = [""]
    for word in pieces(text, width):
        if lines[-1] and len(lines[-1]) + len(word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    lines = [line.rstrip() for line in lines]
    if most and len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1][: width - 1] + "…"]
    return "\n".join(lines)


def pieces(text: str, width: int) -> list[str]:
    """What a line may be broken between: after spaces and signs; in a piece that is too long, before capitals; else anywhere."""
    parts = re.findall(r"[^\s:/_+\-–−]*[:/_+\-–−]*\s*", " ".join(text.split()))
    humps = [
        hump for part in parts for hump in (re.split(r"(?<=[a-z])(?=[A-Z])", part) if len(part) > width else [part])
    ]
    return [hump[at : at + width] for hump in humps for at in range(0, len(hump), width)]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, laid out by constraint."""
    with styled():
        return Figure(figsize=(width, height), layout="constrained")


def shares(counts: Sequence[int]) -> list[float]:
    """Counts as shares of their sum (all 0 when there are none)."""
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]
