"""The landing page: what this server is, without naming any study (participants get their link from the researcher)."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.web.templates import templates

router = APIRouter(include_in_schema=False)


@router.get("/")
async def landing(request: Request) -> Response:
    """The landing page."""
    return templates.TemplateResponse(request, "web/landing.html")
