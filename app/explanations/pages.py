"""Researchers' pages of explanations: sets, and one explanation traced to where it comes from.

None of them tells which study uses an explanation, so that no path leads from a blinded study's code to a method.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.database.session import get_session
from app.errors import NotFoundError
from app.explanations import service
from app.explanations.models import ExplanationSet
from app.researchers.dependencies import current_researcher
from app.runs.models import Run
from app.web.templates import templates

router = APIRouter(include_in_schema=False, dependencies=[Depends(current_researcher)])
PAGE = 50


def provenance_rows(provenance: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested provenance as (dotted name, text) rows, in order; empty values are left out."""
    rows: list[tuple[str, str]] = []
    for key, value in provenance.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            rows += provenance_rows(value, f"{name}.")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for i, item in enumerate(value):
                rows += (
                    provenance_rows(item, f"{name}[{i}].") if isinstance(item, dict) else [(f"{name}[{i}]", str(item))]
                )
        elif value not in (None, "", [], {}):
            rows.append((name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return rows


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
        "provenance": provenance_rows(found.provenance),
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
    provenance = provenance_rows(found.set.provenance) + (provenance_rows(run.provenance) if run else [])
    context = {"e": found, "run": run, "provenance": provenance}
    return templates.TemplateResponse(request, "explanations/explanation.html", context)
