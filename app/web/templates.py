"""The Jinja2 environment of all pages."""

from __future__ import annotations

import re
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


def _context(request: Request) -> dict[str, Any]:
    return {"form_token": form_token(request), "partial": request.headers.get("HX-Request") == "true"}


templates = Jinja2Templates(directory=resource("templates"), context_processors=[_context])
templates.env.filters["prose"] = prose
templates.env.trim_blocks = True
templates.env.lstrip_blocks = True
