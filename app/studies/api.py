"""Studies for scripts. What a researcher may not see on a page while a study is blinded, this does not tell either."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.database.session import get_session
from app.participation.exclusion import set_exclusion
from app.researchers.dependencies import editing_bearer, token_bearer
from app.researchers.models import Researcher
from app.studies import progress, service
from app.studies.downloads import file_response
from app.studies.models import Study
from app.web.errors import API_ERRORS

router = APIRouter(prefix="/api/v1/studies", tags=["Studies"], responses=API_ERRORS)
Session = Annotated[AsyncSession, Depends(get_session)]
Reader = Annotated[Researcher, Depends(token_bearer)]
Editor = Annotated[Researcher, Depends(editing_bearer)]
Slug = Annotated[str, Path(description="The study's slug.", examples=["demo"])]


class StudySummary(BaseModel):
    """A study in the list."""

    model_config = ConfigDict(from_attributes=True)
    slug: str
    title: str
    state: Literal["draft", "live", "paused", "closed"]
    created_at: datetime
    launched_at: datetime | None
    closed_at: datetime | None
    unblinded_at: datetime | None


class ConstructShape(BaseModel):
    """One Likert item."""

    model_config = ConfigDict(from_attributes=True)
    key: str
    name: str
    statement: str
    labels: list[str]
    minimum: int


class Counts(BaseModel):
    """How far a study is. Bots are counted apart; trials and ratings are those of people."""

    model_config = ConfigDict(from_attributes=True)
    entered: int
    consented: int
    under_way: int
    finished: int
    declined: int
    excluded: int
    bots: int
    trials: int
    ratings: int


class StudyDetail(StudySummary):
    """A study with what is known of it now: `conditions` are codes until it is unblinded, names afterwards."""

    definition_sha256: str | None
    target_participants: int | None
    conditions: list[str]
    constructs: list[ConstructShape]
    progress: Counts


class Step(BaseModel):
    """A step in a study's life. Unblinding needs a reason, which is kept on record."""

    action: Literal["launch", "pause", "resume", "close", "unblind"]
    reason: str = ""


class Exclusion(BaseModel):
    """Whether a participant is left out of the analysis. The reason names the rule and is kept on record."""

    excluded: bool
    reason: str


async def _detail(session: AsyncSession, study: Study) -> StudyDetail:
    return StudyDetail(
        **StudySummary.model_validate(study).model_dump(),
        definition_sha256=study.definition_sha256,
        target_participants=study.definition["design"]["target_participants"],
        conditions=sorted(service.condition_labels(study).values()),
        constructs=[ConstructShape.model_validate(c) for c in study.constructs],
        progress=Counts.model_validate(await progress.progress_of(session, study)),
    )


@router.get("", summary="All studies")
async def all_studies(session: Session, researcher: Reader) -> list[StudySummary]:
    """The newest first."""
    return [StudySummary.model_validate(study) for study in await service.list_studies(session)]


@router.post("", summary="Make a draft", status_code=201)
async def create(
    session: Session,
    researcher: Editor,
    definition: Annotated[
        dict[str, Any],
        Body(description="A definition as in docs/studies.md, as JSON.", examples=[{"slug": "my-study"}]),
    ],
) -> StudyDetail:
    """Its stimuli are chosen and its conditions' codes drawn. What is wrong with a definition is told line by line."""
    study = await service.create_study(session, service.parse_definition(definition), researcher.id)
    await session.commit()
    return await _detail(session, await service.get_study(session, study.slug))


@router.get("/{slug}", summary="One study")
async def one_study(session: Session, researcher: Reader, slug: Slug) -> StudyDetail:
    """Where it stands, what it asks, and how many have taken part."""
    return await _detail(session, await service.get_study(session, slug))


@router.delete("/{slug}", summary="Discard a draft", status_code=204)
async def discard(session: Session, researcher: Editor, slug: Slug) -> None:
    """Anything that was launched is kept."""
    await service.discard(session, slug, researcher.id)
    await session.commit()


@router.post("/{slug}/steps", summary="Launch, pause, resume, close or unblind")
async def take_step(session: Session, researcher: Editor, slug: Slug, step: Step) -> StudyDetail:
    """The study after the step."""
    if step.action == "unblind":
        await service.unblind(session, slug, step.reason, researcher.id)
    else:
        await service.take_step(session, slug, step.action, researcher.id)
    await session.commit()
    return await _detail(session, await service.get_study(session, slug))


@router.put("/{slug}/participants/{number}/exclusion", summary="Exclude a participant, or take one in again")
async def exclude(
    session: Session,
    researcher: Editor,
    slug: Slug,
    number: Annotated[int, Path(ge=1, le=1_000_000_000, description="As in the files.")],
    exclusion: Exclusion,
) -> Exclusion:
    """Until the study is unblinded. Nothing that was answered is lost."""
    await set_exclusion(
        session, slug, number, exclusion.reason, excluded=exclusion.excluded, researcher_id=researcher.id
    )
    await session.commit()
    return exclusion


@router.get(
    "/{slug}/files/{name}.csv",
    summary="Ratings, trials or participants",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "The file."}},
)
async def file(
    request: Request,
    session: Session,
    researcher: Reader,
    slug: Slug,
    name: Annotated[Literal["ratings", "trials", "participants"], Path()],
    bots: Annotated[bool, Query(description="Simulated participants too.")] = False,
) -> Response:
    """As in docs/studies.md. While the study is blinded, conditions are codes. Each download is on record."""
    return await file_response(request, session, researcher, slug, name, bots=bots)
