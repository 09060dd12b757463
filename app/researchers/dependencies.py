"""Who is asking, and whether they may: FastAPI dependencies of all researchers' pages and of the API."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

from app.database.session import get_session
from app.researchers.models import Researcher
from app.researchers.service import researcher_of
from app.researchers.tokens import bearer
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


def _editor(researcher: Researcher) -> Researcher:
    if researcher.role == "viewer":
        raise HTTPException(403, "Your account may look at everything but change nothing. Ask an owner to do this.")
    return researcher


async def require_editor(researcher: Researcher = Depends(current_researcher)) -> Researcher:
    """Owners and editors may change things; viewers get 403."""
    return _editor(researcher)


async def token_bearer(
    given: HTTPAuthorizationCredentials | None = Depends(
        HTTPBearer(auto_error=False, description="A token from your account's page")
    ),
    session: AsyncSession = Depends(get_session),
) -> Researcher:
    """The researcher whose token came with the request. Cookies count for nothing in the API, so no other site can use them."""
    researcher, noted = await bearer(session, given.credentials) if given else (None, False)
    if researcher is None:
        message = "Send a valid token: Authorization: Bearer TOKEN. Your account's page makes one."
        raise HTTPException(401, message, {"WWW-Authenticate": "Bearer"})
    if noted:
        await session.commit()
    session.expunge(researcher)
    return researcher


async def editing_bearer(researcher: Researcher = Depends(token_bearer)) -> Researcher:
    """As require_editor, for the API."""
    return _editor(researcher)
