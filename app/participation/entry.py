"""Who is at the door: the visit cookie and the parameters of the entry link.

The cookie names a visit, nothing else: a random value and its signature, so that nobody can choose the visit of another browser.
Its row in the database is made when consent is given or declined, not before: link previews and lookers-on leave no trace.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterable

from fastapi import Request
from starlette.responses import Response

from app.studies.schemas import StudyDefinition
from app.web.csrf import sign

COOKIE = "visit"
COOKIE_SECONDS = 90 * 24 * 3600  # a participant may come back on another day
LONGEST_VALUE = 200
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}\.[0-9a-f]{32}")
_PLACEHOLDER = re.compile(r"\{\{.*\}\}|\$\{.*\}|%[A-Za-z_]+%")  # a panel's link that was opened without filling it in


def new_token(secret: bytes, slug: str) -> str:
    """A new visit's token for the study `slug`."""
    value = secrets.token_urlsafe(16)
    return f"{value}.{sign(secret, f'visit {slug}', value)[:32]}"


def cookie_token(request: Request, slug: str) -> str | None:
    """The visit token that the browser sent, or None when there is none or it was not made here for this study."""
    token = request.cookies.get(COOKIE, "")
    if not _TOKEN.fullmatch(token):
        return None
    value, _, signature = token.partition(".")
    expected = sign(request.app.state.secret, f"visit {slug}", value)[:32]
    return token if hmac.compare_digest(signature, expected) else None


def set_cookie(request: Request, response: Response, slug: str, token: str) -> None:
    """Hand the visit to the browser: for this study's address only, out of reach of scripts and of other sites' forms."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=COOKIE_SECONDS,
        path=f"/s/{slug}",
        httponly=True,
        samesite="lax",
        secure=request.app.state.settings.secure_cookies,
    )


def entry_values(definition: StudyDefinition, given: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The configured entry parameters among `given`, cleaned: the first of a repeated one, no control characters, at most
    200 characters, none that are empty or a panel's unfilled placeholder."""
    wanted = {*definition.entry_parameters, definition.participant_parameter}
    values: dict[str, str] = {}
    for name, raw in given:
        value = "".join(c for c in raw if c.isprintable()).strip()[:LONGEST_VALUE]
        if name in wanted and name not in values and value and not _PLACEHOLDER.fullmatch(value):
            values[name] = value
    return values
