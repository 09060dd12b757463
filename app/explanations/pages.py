"""Researchers' pages of explanations: sets, and one explanation traced to where it comes from.

None of them tells which study uses an explanation, so that no path leads from a blinded study's code to a method.
"""

from __future__ import annotations

from itertools import islice

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.database.session import get_session
from app.errors import NotFoundError
from app.explanations import service
from app.explanations.models import ExplanationSet
from app.explanations.provenance import as_text, facts, of_run
from app.researchers.dependencies import current_researcher
from app.runs.models import Run
from app.web.templates import templates

router = APIRouter(include_in_schema=False, dependencies=[Depends(current_researcher)])
PAGE = 50


@router.get("/admin/explanations")
async def sets_page(request: Request, session: AsyncSession = Depends(get_session)) -> Response:
    """All sets."""
    return templates.TemplateResponse(request, "explanations/list.html", {"sets": await service.list_sets(session)})


@router.get("/admin/explanations/sets/{set_id}")
async def set_page(
    request: Request, set_id: int, page: int = Query(1, ge=1, le=100_000), session: AsyncSession = Depends(get_session)
) -> Response:
    """One set, a page of its explanations."""
    found = await session.get(ExplanationSet, set_id)
    if found is None:
        raise NotFoundError(f"There is no set number {set_id}.")
    shown = list(await service.explanations_of(session, set_id, offset=(page - 1) * PAGE, limit=PAGE + 1))
    context = {
        "set": found,
        "facts": facts(found.provenance),
        "provenance": as_text(found.provenance),
        "explanations": list(islice(shown, PAGE)),
        "page": page,
        "more": len(shown) > PAGE,
    }
    return templates.TemplateResponse(request, "explanations/set.html", context)


@router.get("/admin/explanations/{explanation_id}")
async def explanation_page(
    request: Request, explanation_id: int, session: AsyncSession = Depends(get_session)
) -> Response:
    """One explanation, traced: file or run, configuration, seed, code version, hashes of model and data."""
    found = await service.get_explanation(session, explanation_id)
    run = await session.get(Run, found.set.run_id) if found.set.run_id else None
    wanted = {"objective": found.objective, "generation_method": found.generation_method, "seed": found.seed}
    provenance = of_run(found.set.provenance | (run.provenance if run else {}), **wanted)
    context = {"e": found, "run": run, "facts": facts(provenance), "provenance": as_text(provenance)}
    return templates.TemplateResponse(request, "explanations/explanation.html", context)
