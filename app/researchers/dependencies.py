"""Who is asking, and whether they may: FastAPI dependencies of all researchers' pages."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Depends, HTTPException, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.database.session import get_session
from app.researchers.models import Researcher
from app.researchers.service import researcher_of
from app.web.csrf import SESSION_COOKIE


async def current_researcher(request: Request, session: AsyncSession = Depends(get_session)) -> Researcher:
    """The researcher who is logged in; anybody else is sent to the log-in page, and from there back to where they wanted."""
    key = request.cookies.get(SESSION_COOKIE)
    hours = request.app.state.settings.session_hours
    researcher, moved = await researcher_of(session, key, hours) if key else (None, False)
    if researcher is None:
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        target = f"/admin/login?next={quote(wanted)}" if request.method == "GET" else "/admin/login"
        header = "HX-Redirect" if request.headers.get("HX-Request") == "true" else "Location"
        raise HTTPException(303 if header == "Location" else 401, "Log in first.", headers={header: target})
    if moved and request.headers.get("HX-Request") != "true":  # a page that refreshes itself is not a use
        await session.commit()
    session.expunge(researcher)  # so that a page shown after a rollback still knows who is asking
    request.state.researcher = researcher
    return researcher


async def require_editor(researcher: Researcher = Depends(current_researcher)) -> Researcher:
    """Owners and editors may change things; viewers get 403."""
    if researcher.role == "viewer":
        raise HTTPException(403, "Your account may look at everything but change nothing. Ask an owner to do this.")
    return researcher
