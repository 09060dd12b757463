"""Researchers' pages of studies. While a study is blinded, none of them tells a condition's name, method or model."""

from __future__ import annotations

import asyncio
import secrets
from itertools import groupby
from typing import Any, Literal

from fastapi import APIRouter, Depends, File, Form, Path, Query, Request, UploadFile
from fastapi.responses import RedirectResponse
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.database.session import get_session
from app.errors import InputError, NotFoundError
from app.participation import exclusion
from app.reports.exports import ratings_per_stimulus, study_frame
from app.researchers.dependencies import current_researcher, require_editor
from app.researchers.models import Researcher
from app.settings import resource
from app.studies import progress, service
from app.studies.definitions import decode, read_definition
from app.studies.downloads import file_response
from app.studies.models import Study
from app.studies.schemas import StudyDefinition
from app.web.csrf import check_form_token
from app.web.templates import templates

router = APIRouter(include_in_schema=False)
RECENT = 12  # participants on a study's first page
LARGEST = 1_000_000  # bytes of a definition that are read
PAGE = 200  # participants on a page of all of them
ACTIONS = {
    "launch": "Participants can enter from now on. The definition is frozen: nothing of it can be changed afterwards.",
    "pause": "Nobody new can enter; those under way may finish. You can resume at any time.",
    "resume": "Participants can enter again.",
    "close": "The collection ends for good. Those under way cannot go on.",
    "discard": "The draft is deleted with its choice of stimuli, and a mended definition can be made under the same slug. Keep the "
    "definition’s own text: it cannot be taken from here.",
    "unblind": "From now on everybody sees which condition is which. This cannot be undone and is kept on record.",
}


def _address(request: Request, study: Study) -> str:
    base = request.app.state.settings.base_url or str(request.base_url)
    return f"{base.rstrip('/')}/s/{study.slug}"


async def _study_context(request: Request, session: AsyncSession, study: Study) -> dict[str, Any]:
    return {
        "study": study,
        "address": _address(request, study),
        "progress": await progress.progress_of(session, study),
        "visitors": await progress.visitors(session, study, RECENT),
        "per_stimulus": await ratings_per_stimulus(session, study),
        "actions": [a for a, (states, _) in service.STEPS.items() if study.state in states]
        + (["discard"] if study.state == "draft" else [])
        + (["unblind"] if study.state == "closed" and study.unblinded_at is None else []),
        "definition": StudyDefinition.model_validate(study.definition),
    }


@router.get("/admin", dependencies=[Depends(current_researcher)])
async def list_page(request: Request, session: AsyncSession = Depends(get_session)) -> Response:
    """All studies."""
    context = {"studies": await service.list_studies(session), "counts": await progress.counts_by_study(session)}
    return templates.TemplateResponse(request, "admin/studies.html", context)


@router.get("/admin/studies/new", dependencies=[Depends(require_editor)])
async def new_page(request: Request) -> Response:
    """The form for a new study, filled in with the example."""
    example = resource("examples") / "study.yaml"
    context = {"definition": example.read_text(encoding="utf-8") if example.exists() else ""}
    return templates.TemplateResponse(request, "admin/study_new.html", context)


@router.post("/admin/studies/new", dependencies=[Depends(check_form_token)])
async def create(
    request: Request,
    definition: str = Form(""),
    file: UploadFile | None = File(None),
    researcher: Researcher = Depends(require_editor),
    session: AsyncSession = Depends(get_session),
) -> Response:
    """Make a draft of a file or else of the text; a definition that needs mending comes back with what is wrong."""
    name = "definition"
    try:
        if file is not None and file.filename:
            name = file.filename
            definition = decode(await file.read(LARGEST), name)
        parsed = read_definition(definition, name)
        study = await service.create_study(session, parsed, researcher.id)
    except InputError as error:
        await session.rollback()
        context = {"definition": definition, "error": str(error)}
        return templates.TemplateResponse(request, "admin/study_new.html", context, status_code=422)
    await session.commit()
    return RedirectResponse(f"/admin/studies/{study.slug}", 303)


@router.get("/admin/studies/{slug}", dependencies=[Depends(current_researcher)])
async def study_page(request: Request, slug: str, session: AsyncSession = Depends(get_session)) -> Response:
    """One study: where it stands, and what can be done now."""
    study = await service.get_study(session, slug)
    context = await _study_context(request, session, study)
    context["history"] = await service.history(session, study)
    context["test_id"] = f"TEST-{secrets.token_hex(3)}"
    return templates.TemplateResponse(request, "admin/study.html", context)


@router.get("/admin/studies/{slug}/live", dependencies=[Depends(current_researcher)])
async def live(request: Request, slug: str, session: AsyncSession = Depends(get_session)) -> Response:
    """The part of the study's page that changes while people take part."""
    study = await service.get_study(session, slug)
    return templates.TemplateResponse(request, "admin/_study_live.html", await _study_context(request, session, study))


@router.get("/admin/studies/{slug}/do/{action}", dependencies=[Depends(require_editor)])
async def confirm(request: Request, slug: str, action: str, session: AsyncSession = Depends(get_session)) -> Response:
    """Says what an action does, and asks."""
    if action not in ACTIONS:
        raise NotFoundError("There is nothing at this address. Check the link.")
    study = await service.get_study(session, slug)
    context = {"study": study, "action": action, "consequence": ACTIONS[action]}
    return templates.TemplateResponse(request, "admin/study_confirm.html", context)


@router.post("/admin/studies/{slug}/do/{action}", dependencies=[Depends(check_form_token)])
async def do(
    slug: str,
    action: str,
    reason: str = Form(""),
    researcher: Researcher = Depends(require_editor),
    session: AsyncSession = Depends(get_session),
) -> Response:
    """Launch, discard, pause, resume, close or unblind."""
    if action not in ACTIONS:
        raise NotFoundError("There is nothing at this address. Check the link.")
    if action == "discard":
        await service.discard(session, slug, researcher.id)
        await session.commit()
        return RedirectResponse("/admin", 303)
    if action == "unblind":
        await service.unblind(session, slug, reason, researcher.id)
    else:
        await service.take_step(session, slug, action, researcher.id)
    await session.commit()
    return RedirectResponse(f"/admin/studies/{slug}", 303)


@router.get("/admin/studies/{slug}/participants", dependencies=[Depends(current_researcher)])
async def participants_page(
    request: Request, slug: str, page: int = Query(1, ge=1, le=100_000), session: AsyncSession = Depends(get_session)
) -> Response:
    """The participants of a study, the latest first, a page of them."""
    study = await service.get_study(session, slug)
    shown = list(await progress.visitors(session, study, PAGE + 1, offset=(page - 1) * PAGE))
    context = {"study": study, "visitors": shown[:PAGE], "page": page, "more": len(shown) > PAGE}
    return templates.TemplateResponse(request, "admin/participants.html", context)


@router.get("/admin/studies/{slug}/participants/{number}", dependencies=[Depends(require_editor)])
async def participant_page(
    request: Request,
    slug: str,
    number: int = Path(ge=1, le=1_000_000_000),
    session: AsyncSession = Depends(get_session),
) -> Response:
    """Asks why a participant is to be excluded, or taken in again."""
    study = await service.get_study(session, slug)
    person = await exclusion.numbered_participant(session, study, number)
    context = {"study": study, "number": number, "person": person, "longest": exclusion.LONGEST}
    return templates.TemplateResponse(request, "admin/participant.html", context)


@router.post("/admin/studies/{slug}/participants/{number}", dependencies=[Depends(check_form_token)])
async def exclude(
    slug: str,
    number: int = Path(ge=1, le=1_000_000_000),
    excluded: Literal["yes", "no"] = Form(),
    reason: str = Form(""),
    researcher: Researcher = Depends(require_editor),
    session: AsyncSession = Depends(get_session),
) -> Response:
    """Exclude a participant, or take one in again."""
    await exclusion.set_exclusion(
        session, slug, number, reason, excluded=excluded == "yes", researcher_id=researcher.id
    )
    await session.commit()
    return RedirectResponse(f"/admin/studies/{slug}/participants", 303)


@router.get("/admin/studies/{slug}/definition", dependencies=[Depends(current_researcher)])
async def definition_page(request: Request, slug: str, session: AsyncSession = Depends(get_session)) -> Response:
    """All that participants read, in their order; of the conditions only what may be told now."""
    study = await service.get_study(session, slug)
    context = {
        "study": study,
        "definition": StudyDefinition.model_validate(study.definition),
        "labels": sorted(service.condition_labels(study).values()),
    }
    return templates.TemplateResponse(request, "admin/definition.html", context)


@router.get("/admin/studies/{slug}/stimuli", dependencies=[Depends(current_researcher)])
async def stimuli_page(request: Request, slug: str, session: AsyncSession = Depends(get_session)) -> Response:
    """What participants may see: the texts, without any condition while the study is blinded."""
    study = await service.get_study(session, slug)
    # by question, then by number, which was drawn at random
    stimuli = sorted(
        await service.stimuli_of(session, study),
        key=lambda s: (s.explanation.question.key, s.explanation.question_id, s.id),
    )
    groups = [(question, list(part)) for question, part in groupby(stimuli, key=lambda s: s.explanation.question)]
    labels = service.condition_labels(study) if study.unblinded_at else None
    context = {"study": study, "groups": groups, "count": len(stimuli), "labels": labels}
    return templates.TemplateResponse(request, "admin/stimuli.html", context)


@router.get("/admin/studies/{slug}/results", dependencies=[Depends(current_researcher)])
async def results_page(
    request: Request, slug: str, bots: bool = Query(False), session: AsyncSession = Depends(get_session)
) -> Response:
    """The first comparison of the conditions."""
    study = await service.get_study(session, slug)
    # in a thread: drawing takes a while, and participants' pages must not wait for it
    from app.reports.comparison import (
        compare,  # brings pandas and matplotlib: a server that shows no results starts without
    )

    comparison = await asyncio.to_thread(compare, await study_frame(session, slug, bots=bots))
    context = {
        "study": study,
        "comparison": comparison,
        "bots": bots,
        "progress": await progress.progress_of(session, study),
    }
    return templates.TemplateResponse(request, "admin/results.html", context)


@router.get("/admin/studies/{slug}/export/{name}.csv")
async def download(
    request: Request,
    slug: str,
    name: str,
    bots: bool = Query(False),
    researcher: Researcher = Depends(current_researcher),
    session: AsyncSession = Depends(get_session),
) -> Response:
    """One of the three files. Each download is on record."""
    return await file_response(request, session, researcher, slug, name, bots=bots)
