"""Runs for scripts: which students there are, and how often they were right."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession

from app.database.session import get_session
from app.researchers.dependencies import token_bearer
from app.runs import service
from app.web.errors import API_ERRORS

router = APIRouter(prefix="/api/v1/runs", tags=["Runs"], responses=API_ERRORS, dependencies=[Depends(token_bearer)])


class RunShape(BaseModel):
    """One training of one student. `metrics` are those of its metrics.json: accuracy, accuracy_ci, n, …"""

    model_config = ConfigDict(from_attributes=True)
    id: int
    name: str
    objective: str
    generation_method: str
    model: str
    seed: int
    diverged: bool
    metrics: dict[str, Any]
    created_at: datetime


@router.get("", summary="All runs")
async def all_runs(session: Annotated[AsyncSession, Depends(get_session)]) -> list[RunShape]:
    """With their metrics, which are whole or absent: a run is stored in one piece. No study is named."""
    return [RunShape.model_validate(run) for run in await service.list_runs(session)]
