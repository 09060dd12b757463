"""Many participants at once, over HTTP, against a real server with two processes."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest
from sqlalchemy import func, select

from app.database.session import make_engine, make_sessions
from app.participation.models import Participant, Rating, Trial
from app.studies.models import Construct, Stimulus
from tests.factories import make_study
from tests.participation.walking import Walker

PEOPLE = 40


@pytest.mark.slow
async def test_forty_people_starting_at_once_are_stored_exactly_once_and_spread_evenly(
    shared_server: tuple[str, str],
) -> None:
    # 50 questions: 120 trials of each condition do not divide by them, so counts of 2 and 3 are right and nothing else is.
    address, database = shared_server
    engine = make_engine(database)
    session = make_sessions(engine)()
    study = await make_study(session, slug="forty", questions=50)
    clients = [httpx.AsyncClient(base_url=address, timeout=60) for _ in range(PEOPLE)]
    walkers = [Walker(client, "forty") for client in clients]

    async def walk(number: int, walker: Walker) -> str | None:
        await walker.open(PROLIFIC_PID=f"person-{number}")
        return (await walker.until(None)).completion_code

    codes = await asyncio.gather(*(walk(number, walker) for number, walker in enumerate(walkers)))
    for client in clients:
        await client.aclose()

    assert codes == ["DONE-1234"] * PEOPLE
    of_study = (
        select(func.count())
        .select_from(Rating)
        .join(Construct, Construct.id == Rating.construct_id)
        .where(Construct.study_id == study.id)
    )
    assert await session.scalar(of_study) == PEOPLE * 12 * 5
    stored = await session.execute(
        select(Participant.external_id, Trial.position, func.array_agg(Rating.value).label("values"))
        .join(Trial, Trial.participant_id == Participant.id)
        .join(Rating, Rating.trial_id == Trial.id)
        .where(Participant.study_id == study.id)
        .group_by(Participant.external_id, Trial.position)
    )
    assert {(person, position): Counter(values) for person, position, values in stored} == {
        (f"person-{n}", position): Counter(int(v) for v in values.values())
        for n, walker in enumerate(walkers)
        for position, values in walker.sent.items()
    }
    counts = await session.execute(
        select(Stimulus.condition_id, Stimulus.id, func.count(Trial.id))
        .outerjoin(Trial, Trial.stimulus_id == Stimulus.id)
        .where(Stimulus.study_id == study.id)
        .group_by(Stimulus.condition_id, Stimulus.id)
    )
    by_condition: dict[int, list[int]] = {}
    for condition, _, n in counts:
        by_condition.setdefault(condition, []).append(n)
    assert {c: sum(n) for c, n in by_condition.items()} == dict.fromkeys(by_condition, PEOPLE * 3)
    assert all(max(n) - min(n) <= 1 for n in by_condition.values())
    await session.close()
    await engine.dispose()
