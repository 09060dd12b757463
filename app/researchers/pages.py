"""Log-in, log-out and the account page with its tokens."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import RedirectResponse
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.database.session import get_session
from app.errors import InputError
from app.researchers import service, tokens
from app.researchers.dependencies import current_researcher
from app.researchers.models import AuditEvent, Researcher
from app.web.csrf import PRE_SESSION_COOKIE, SESSION_COOKIE, check_form_token
from app.web.templates import templates

router = APIRouter(include_in_schema=False)
PATH = "/admin"


def safe_target(wanted: str) -> str:
    """`wanted` when it is an address of the researchers' pages on this server, else their first page."""
    local = wanted == PATH or wanted.startswith((f"{PATH}/", f"{PATH}?"))
    return wanted if local and "\\" not in wanted and "//" not in wanted and wanted.isprintable() else PATH


def _set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    secure = request.app.state.settings.secure_cookies
    response.set_cookie(name, value, httponly=True, samesite="lax", secure=secure, path=PATH)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


@router.get("/admin/login")
async def login_page(request: Request, wanted: str = Query("", alias="next")) -> Response:
    """The log-in form."""
    if not request.cookies.get(PRE_SESSION_COOKIE):
        # the form's token is signed over this cookie, so the page is made again with it
        response: Response = RedirectResponse(request.url.path + f"?{request.url.query}", 303)
        _set_cookie(request, response, PRE_SESSION_COOKIE, secrets.token_urlsafe(16))
        if "again" in request.query_params:
            raise HTTPException(
                400, "Your browser does not keep cookies from this site. Allow them, then log in again."
            )
        response.headers["Location"] += ("&" if request.url.query else "") + "again=1"
        return response
    return templates.TemplateResponse(request, "admin/login.html", {"next": safe_target(wanted)})


@router.post("/admin/login", dependencies=[Depends(check_form_token)])
async def login(
    request: Request,
    email: str = Form(""),
    password: str = Form(""),
    wanted: str = Form("", alias="next"),
    session: AsyncSession = Depends(get_session),
) -> Response:
    """Log in: a new session key, whatever cookie came in."""
    settings = request.app.state.settings
    if await service.too_many_attempts(session, _address(request), email, settings.login_attempts):
        await session.commit()
        raise HTTPException(429, "Too many failed log-ins. Wait 15 minutes, then try again.", {"Retry-After": "900"})
    researcher = await service.authenticate(session, email, password)
    if researcher is None:
        await service.note_failed_attempt(session, _address(request), email)
        await session.commit()
        context = {"next": safe_target(wanted), "email": email, "error": "The e-mail or the password is not right."}
        return templates.TemplateResponse(request, "admin/login.html", context, status_code=422)
    key = await service.begin_session(session, researcher, _address(request), settings.session_hours)
    await session.commit()
    response = RedirectResponse(safe_target(wanted), 303)
    _set_cookie(request, response, SESSION_COOKIE, key)
    return response


@router.post("/admin/logout", dependencies=[Depends(check_form_token)])
async def logout(request: Request, session: AsyncSession = Depends(get_session)) -> Response:
    """End the session here and in the database."""
    await service.end_session(session, request.cookies.get(SESSION_COOKIE, ""))
    await session.commit()
    response = RedirectResponse("/admin/login", 303)
    response.delete_cookie(SESSION_COOKIE, path=PATH)
    return response


async def _account(
    request: Request, session: AsyncSession, researcher: Researcher, status: int = 200, **more: str
) -> Response:
    context = {"researcher": researcher, "tokens": await tokens.tokens_of(session, researcher), **more}
    return templates.TemplateResponse(request, "admin/account.html", context, status_code=status)


@router.get("/admin/account")
async def account(
    request: Request,
    researcher: Researcher = Depends(current_researcher),
    session: AsyncSession = Depends(get_session),
) -> Response:
    """One's own account: password and tokens."""
    return await _account(request, session, researcher)


@router.post("/admin/account/tokens", dependencies=[Depends(check_form_token)])
async def make_token(
    request: Request,
    name: str = Form(""),
    researcher: Researcher = Depends(current_researcher),
    session: AsyncSession = Depends(get_session),
) -> Response:
    """Make a token and show it: on this page and never again."""
    try:
        key = await tokens.make_token(session, researcher, name)
    except InputError as problem:
        return await _account(request, session, researcher, 422, token_error=str(problem))
    await session.commit()
    return await _account(request, session, researcher, made=key)


@router.post("/admin/account/tokens/{token_id}/end", dependencies=[Depends(check_form_token)])
async def end_token(
    token_id: int,
    researcher: Researcher = Depends(current_researcher),
    session: AsyncSession = Depends(get_session),
) -> Response:
    """End one of one's own tokens."""
    await tokens.end_token(session, researcher, token_id)
    await session.commit()
    return RedirectResponse("/admin/account", 303)


@router.post("/admin/account", dependencies=[Depends(check_form_token)])
async def change_password(
    request: Request,
    old: str = Form(""),
    new: str = Form(""),
    researcher: Researcher = Depends(current_researcher),
    session: AsyncSession = Depends(get_session),
) -> Response:
    """Change one's own password; every session ends, this one too."""
    error = None
    if await service.authenticate(session, researcher.email, old) is None:
        error = "The present password is not right."
    else:
        try:
            await service.set_password(session, researcher.email, new)
        except InputError as problem:
            error = str(problem)
    if error:
        return await _account(request, session, researcher, 422, error=error)
    session.add(
        AuditEvent(researcher_id=researcher.id, action="account.password", subject=researcher.email, details={})
    )
    await session.commit()
    return RedirectResponse("/admin/login", 303)
