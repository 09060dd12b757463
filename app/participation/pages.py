"""The participants' one address. GET shows the current step; POST does what its form asks and sends back to GET."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.database.session import get_session
from app.errors import NotFoundError
from app.participation import forms, service, steps
from app.participation.entry import cookie_token, entry_values, new_token, set_cookie
from app.participation.messages import MESSAGES
from app.participation.steps import ENDS, Visit
from app.web.templates import templates

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)
DATABASE_DOWN = (OperationalError, InterfaceError, PoolTimeoutError)


@router.api_route("/s/{slug}", methods=["GET", "HEAD"])
async def show(request: Request, slug: str, session: AsyncSession = Depends(get_session)) -> Response:
    """The current step of the visitor, whoever that is: by panel id, else by cookie, else somebody new at the consent form."""
    try:
        study = await service.find_study(session, slug)
    except NotFoundError:
        return message(request, "unknown", status=404)
    definition = service.definition_of(study)
    entry = entry_values(definition, request.query_params.multi_items())
    external_id = entry.get(definition.participant_parameter)
    token = cookie_token(request, slug)
    participant = await service.find_participant(session, study, token=token, external_id=external_id)
    if external_id and participant:
        # The panel id goes from the address bar; the cookie stands for it from here on.
        response: Response = RedirectResponse(f"/s/{slug}", 303)
        set_cookie(request, response, slug, participant.token)
        return response
    if external_id and token and await service.find_participant(session, study, token=token):
        token = None  # the cookie belongs to another person on the same device
    visit = Visit(study, definition, token or new_token(request.app.state.secret, slug), entry, participant)
    closed_door = await _closed_door(session, visit)
    if closed_door:
        return message(request, closed_door, visit)
    if request.method == "HEAD":
        return Response()
    response = await step_page(request, session, visit)
    await session.commit()
    set_cookie(request, response, slug, visit.token)
    return response


@router.post("/s/{slug}")
async def submit(request: Request, slug: str, session: AsyncSession = Depends(get_session)) -> Response:
    """Take a form. One transaction, committed before the answer. Whatever is wrong with the database, the values come back."""
    fields = await forms.read_form(request)
    try:
        return await _submit(request, slug, session, fields)
    except DATABASE_DOWN as error:
        log.error("a form could not be stored: %s", error)
        return templates.TemplateResponse(
            request,
            "participation/retry.html",
            {"fields": fields, "slug": slug, "partial": False},
            status_code=503,
            headers={"Retry-After": "10"},
        )


async def _submit(request: Request, slug: str, session: AsyncSession, fields: Mapping[str, str]) -> Response:
    try:
        study = await service.find_study(session, slug)
    except NotFoundError:
        return message(request, "unknown", status=404)
    definition = service.definition_of(study)
    token = cookie_token(request, slug)
    if token is None:
        return message(request, "no_cookie", status=403, slug=slug)
    sent = [(name.removeprefix("entry-"), value) for name, value in fields.items() if name.startswith("entry-")]
    visit = Visit(study, definition, token, entry_values(definition, sent))
    if not steps.is_own_form(request.app.state.secret, visit, fields):
        return message(request, "foreign_form", status=403, slug=slug)
    visit.participant = await service.find_participant(session, study, token=token, lock=True)
    response: Response = RedirectResponse(f"/s/{slug}", 303)
    if await _closed_door(session, visit):
        return response  # and the page says why
    try:
        incomplete = await steps.submit(session, visit, fields)
    except service.StudyFullError:
        session.expunge_all()  # the page still names the study
        await session.rollback()
        return message(request, "full", visit, status=409)
    if incomplete:
        response = await step_page(request, session, visit, incomplete)
    await session.commit()
    # A first entry with the same panel id in two browsers ends as one participant.
    set_cookie(request, response, slug, visit.participant.token if visit.participant else token)
    return response


async def _closed_door(session: AsyncSession, visit: Visit) -> str | None:
    """Why this visitor sees no step now (a key of MESSAGES), or None. Who has finished always sees the end."""
    study = visit.study
    if visit.step in ENDS:
        return None
    begun = visit.step != "consent"
    if study.state == "closed" or study.state == "draft" or (study.state == "paused" and not begun):
        return study.state
    is_bot = visit.participant is not None and visit.participant.is_bot
    if not begun and not is_bot and await service.is_full(session, study, visit.definition):
        return "full"
    return None


async def step_page(
    request: Request, session: AsyncSession, visit: Visit, incomplete: forms.Incomplete | None = None
) -> Response:
    """The page of the visit's step; with `incomplete`, as it was filled in and with what is missing marked (422)."""
    step, part = visit.step, ""
    context: dict[str, Any] = {
        "study": visit.study,
        "definition": visit.definition,
        "participant": visit.participant,
        "language": visit.definition.language,
        "step": step,
        "entry": visit.entry,
        "errors": incomplete.errors if incomplete else {},
        "values": incomplete.values if incomplete else {},
    }
    if step == "comprehension" and visit.participant:
        part = str(visit.participant.comprehension_attempts)
    if step == "trials" and visit.participant:
        current = await service.current_trial(session, visit.participant)
        if current is None:
            return message(request, "ended", visit)
        part = current.trial.token
        context["current"] = current
        if "prefetch" not in request.headers.get("sec-purpose", ""):
            await service.mark_shown(session, current.trial)
    context["part"] = part
    context["form"] = steps.form_token(request.app.state.secret, visit, step, part)
    if step == "finished" and visit.participant and visit.definition.completion.return_url:
        code = visit.participant.completion_code or ""
        context["return_url"] = visit.definition.completion.return_url.replace("{code}", code)
    status = 422 if incomplete else 200
    return templates.TemplateResponse(request, f"participation/{step}.html", context, status_code=status)


def message(
    request: Request, name: str, visit: Visit | None = None, *, status: int = 200, slug: str | None = None
) -> Response:
    """A plain page that says how things stand and what to do."""
    heading, text = MESSAGES[name]
    context: dict[str, Any] = {"heading": heading, "text": text, "slug": slug}
    if visit:
        context |= {"study": visit.study, "definition": visit.definition, "language": visit.definition.language}
    return templates.TemplateResponse(request, "participation/message.html", context, status_code=status)
