"""Researchers' pages of runs and of the jobs that make them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.database.session import get_session
from app.errors import InputError
from app.explanations.provenance import as_text, facts, of_run
from app.researchers.dependencies import current_researcher, require_editor
from app.researchers.models import Researcher
from app.runs import service
from app.runs.queue import QUEUES
from app.settings import resource
from app.web.csrf import check_form_token
from app.web.templates import templates

router = APIRouter(include_in_schema=False, dependencies=[Depends(current_researcher)])


async def _jobs(session: AsyncSession) -> dict[str, Any]:
    jobs = await service.list_jobs(session)
    return {"jobs": jobs, "open_jobs": any(job.state in service.OPEN_STATES for job in jobs)}


@router.get("/admin/runs")
async def runs_page(request: Request, session: AsyncSession = Depends(get_session)) -> Response:
    """All runs, and the latest jobs."""
    context = {"runs": await service.list_runs(session)} | await _jobs(session)
    return templates.TemplateResponse(request, "runs/list.html", context)


@router.get("/admin/runs/new", dependencies=[Depends(require_editor)])
async def new_page(request: Request) -> Response:
    """The form for a new distillation, filled in with the tiny example."""
    example = resource("examples") / "tiny.yaml"
    config = example.read_text(encoding="utf-8") if example.exists() else ""
    return templates.TemplateResponse(request, "runs/new.html", {"config": config, "queues": QUEUES, "queue": "cpu"})


@router.post("/admin/runs/new", dependencies=[Depends(check_form_token)])
async def request_job(
    request: Request,
    config: str = Form(""),
    queue: str = Form("cpu"),
    researcher: Researcher = Depends(require_editor),
    session: AsyncSession = Depends(get_session),
) -> Response:
    """Ask for a distillation."""
    try:
        job = await service.request_job(session, config, queue=queue, researcher_id=researcher.id)
    except InputError as error:
        await session.rollback()
        context = {"config": config, "queues": QUEUES, "queue": queue, "error": str(error)}
        return templates.TemplateResponse(request, "runs/new.html", context, status_code=422)
    await session.commit()
    return RedirectResponse(f"/admin/runs/jobs/{job.id}", 303)


@router.get("/admin/runs/jobs")
async def jobs_live(request: Request, session: AsyncSession = Depends(get_session)) -> Response:
    """The list of jobs alone, for the live page."""
    return templates.TemplateResponse(request, "runs/_jobs.html", await _jobs(session))


@router.get("/admin/runs/jobs/{job_id}")
async def job_page(request: Request, job_id: int, session: AsyncSession = Depends(get_session)) -> Response:
    """One job: how far it is, its log, its configuration."""
    return templates.TemplateResponse(request, "runs/job.html", {"job": await service.get_job(session, job_id)})


@router.get("/admin/runs/jobs/{job_id}/live")
async def job_live(request: Request, job_id: int, session: AsyncSession = Depends(get_session)) -> Response:
    """The part of a job's page that changes."""
    return templates.TemplateResponse(request, "runs/_job.html", {"job": await service.get_job(session, job_id)})


@router.post("/admin/runs/jobs/{job_id}/cancel", dependencies=[Depends(check_form_token)])
async def cancel(
    job_id: int, researcher: Researcher = Depends(require_editor), session: AsyncSession = Depends(get_session)
) -> Response:
    """Ask a job to stop."""
    await service.cancel_job(session, job_id, researcher_id=researcher.id)
    await session.commit()
    return RedirectResponse(f"/admin/runs/jobs/{job_id}", 303)


@router.get("/admin/runs/{run_id}")
async def run_page(request: Request, run_id: int, session: AsyncSession = Depends(get_session)) -> Response:
    """One run: metrics, provenance, explanations."""
    run, explanation_set = await service.get_run(session, run_id)
    provenance = of_run(run.provenance, objective=run.objective, generation_method=run.generation_method, seed=run.seed)
    context = {
        "run": run,
        "explanation_set": explanation_set,
        "facts": facts(provenance),
        "provenance": as_text(provenance),
    }
    return templates.TemplateResponse(request, "runs/run.html", context)
