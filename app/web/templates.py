"""The Jinja2 environment of all pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.templating import Jinja2Templates
from markupsafe import Markup, escape

from app.settings import resource
from app.web.csrf import form_token


def prose(text: str) -> Markup:
    """Plain text to paragraphs: an empty line parts paragraphs, lines that begin with '- ' make a list. Everything is escaped."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in block.splitlines()]
        if all(line.startswith("- ") for line in lines):
            blocks.append(
                Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(x[2:]) for x in lines))
            )
        else:
            blocks.append(Markup("<p>{}</p>").format(Markup(" ").join(escape(line) for line in lines)))
    return Markup("\n").join(blocks)


def percent(value: Any) -> str:
    """A share as a percentage with one decimal; a dash for none."""
    return f"{100 * value:.1f} %" if isinstance(value, (int, float)) else "–"


def moment(value: datetime | None) -> str:
    """A point in time, to the minute, in UTC; a dash for none."""
    return f"{value.astimezone(UTC):%d %b %Y, %H:%M} UTC" if value else "–"


def duration(seconds: float) -> str:
    """A time span in its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in parts[:2])


def figure(value: Any) -> str:
    """A number with up to four significant digits; a list joined; everything else as text."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(figure, value))
    return str(value)


def two(value: float | None) -> str:
    """Two decimals; a dash for none."""
    return "–" if value is None else f"{value:.2f}"


def pvalue(value: float | None) -> str:
    """A p value with three decimals, or < .001, as APA style has it."""
    if value is None:
        return "–"
    return "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0")


def _context(request: Request) -> dict[str, Any]:
    return {"form_token": form_token(request), "partial": request.headers.get("HX-Request") == "true"}


templates = Jinja2Templates(directory=resource("templates"), context_processors=[_context])
templates.env.filters |= {f.__name__: f for f in (prose, percent, moment, duration, figure, two, pvalue)}
templates.env.trim_blocks = True
templates.env.lstrip_blocks = True
