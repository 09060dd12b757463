"""How far a study is: what its page in the admin shows, and shows anew every few seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.participation.models import Participant, Rating, Trial
from app.studies.models import Study


@dataclass(frozen=True)
class Progress:
    """Counts of a study's people (bots are counted apart)."""

    entered: int
    consented: int
    finished: int
    declined: int
    excluded: int
    bots: int
    trials: int  # answered
    ratings: int

    @property
    def under_way(self) -> int:
        """Those who consented and have not finished."""
        return self.consented - self.finished


@dataclass(frozen=True)
class Visitor:
    """One participant in the list of those who are taking part; `number` as in the exports."""

    number: int
    participant: Participant
    answered: int
    trials: int


async def progress_of(session: AsyncSession, study: Study) -> Progress:
    """The study's counts now."""
    person = Participant.is_bot.is_(False)
    row = (
        await session.execute(
            select(
                func.count().filter(person),
                func.count().filter(person, Participant.consented_at.is_not(None)),
                func.count().filter(person, Participant.finished_at.is_not(None), Participant.step == "finished"),
                func.count().filter(person, Participant.step == "declined"),
                func.count().filter(person, Participant.excluded),
                func.count().filter(Participant.is_bot),
            ).where(Participant.study_id == study.id)
        )
    ).one()
    answered = (
        select(Trial.id)
        .join(Participant)
        .where(Participant.study_id == study.id, person, Trial.state == "answered")
        .subquery()
    )
    trials = await session.scalar(select(func.count()).select_from(answered)) or 0
    ratings = (
        await session.scalar(select(func.count()).select_from(Rating).join(answered, answered.c.id == Rating.trial_id))
        or 0
    )
    return Progress(*row, trials, ratings)


async def visitors(session: AsyncSession, study: Study, limit: int, *, offset: int = 0) -> Sequence[Visitor]:
    """The study's participants, those who entered last first, with how many trials they have answered."""
    number = func.row_number().over(order_by=Participant.id).label("number")
    people = select(Participant.id.label("person"), number).where(Participant.study_id == study.id).subquery()
    given = (
        select(
            Trial.participant_id,
            func.sum(case((Trial.state == "answered", 1), else_=0)).label("answered"),
            func.count().filter(Trial.state != "released").label("trials"),
        )
        .group_by(Trial.participant_id)
        .subquery()
    )
    statement = (
        select(people.c.number, Participant, func.coalesce(given.c.answered, 0), func.coalesce(given.c.trials, 0))
        .join(people, people.c.person == Participant.id)
        .outerjoin(given, given.c.participant_id == Participant.id)
        .order_by(Participant.id.desc())
        .limit(limit)
        .offset(offset)
    )
    return [Visitor(*row) for row in await session.execute(statement)]


async def counts_by_study(session: AsyncSession) -> dict[int, tuple[int, int]]:
    """By study id: people who entered, and who finished."""
    rows = await session.execute(
        select(
            Participant.study_id,
            func.count(),
            func.count().filter(Participant.step == "finished"),
        )
        .where(Participant.is_bot.is_(False))
        .group_by(Participant.study_id)
    )
    return {study: (entered, finished) for study, entered, finished in rows}
