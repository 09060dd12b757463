"""Form tokens for researchers' pages: signed over the session cookie, so that another site cannot make a browser post a form.

Participants' forms need none: they carry a random token of the step, which no other site knows (see participation/steps.py).
Beside this, every unsafe request whose Origin (or Sec-Fetch-Site) names another site is refused; see web/headers.py.
"""

from __future__ import annotations

import hashlib
import hmac

from fastapi import HTTPException, Request

SESSION_COOKIE = "blindrate_session"
PRE_SESSION_COOKIE = "blindrate_form"  # the log-in form has no session yet


def sign(secret: bytes, purpose: str, value: str) -> str:
    """HMAC-SHA256 of `value` for one purpose, hex."""
    return hmac.new(secret, f"{purpose}:{value}".encode(), hashlib.sha256).hexdigest()


def form_token(request: Request) -> str:
    """The token that this browser's forms must send back as `form_token`; empty when it has no cookie yet."""
    key = request.cookies.get(SESSION_COOKIE) or request.cookies.get(PRE_SESSION_COOKIE)
    return sign(request.app.state.secret, "form", key) if key else ""


async def check_form_token(request: Request) -> None:
    """FastAPI dependency of every researcher's POST: 403 unless the form (or header X-Form-Token) carries the right token."""
    form = await request.form()
    given = request.headers.get("X-Form-Token") or str(form.get("form_token", ""))
    expected = form_token(request)
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise HTTPException(403, "This form has expired. Go back, load the page again, and send it once more.")
