"""/healthz (the process answers), /readyz (the database does too), /metrics (Prometheus)."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from app.database.session import get_session

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def healthz() -> PlainTextResponse:
    """The process is up."""
    return PlainTextResponse("ok")


@router.get("/readyz")
async def readyz(session: AsyncSession = Depends(get_session)) -> PlainTextResponse:
    """The database answers and has our tables."""
    try:
        await session.execute(text("select version_num from alembic_version"))
    except (SQLAlchemyError, OSError):
        return PlainTextResponse("the database does not answer or is not migrated", 503)
    return PlainTextResponse("ok")


@router.get("/metrics")
async def metrics() -> Response:
    """Metrics of this server process in Prometheus' text form."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
