"""Simulated participants on a real server: marked as bots, balanced on their own, and with the effect that was planted."""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.database.session import make_engine, make_sessions
from app.errors import InputError
from app.participation.models import Participant, Rating, Trial
from app.participation.simulate import simulate, thresholds
from app.studies.models import Condition, Stimulus
from tests.factories import make_study

SECRET = b"a key for tests only"  # as the server fixture's


@pytest.mark.slow
async def test_bots_walk_the_pages_are_marked_and_rate_with_the_planted_effect(shared_server: tuple[str, str]) -> None:
    address, database = shared_server
    engine = make_engine(database)
    session = make_sessions(engine)()
    study = await make_study(session, slug="bots", questions=24)
    best = study.conditions[0]
    finished = await simulate(
        address,
        "bots",
        16,
        sessions=make_sessions(engine),
        secret=SECRET,
        effects={best.name: 2.5},
        on=["plausibility", "completeness"],
        seed=1,
    )
    assert finished == 16
    people = (
        await session.execute(select(Participant.is_bot, Participant.outcome).where(Participant.study_id == study.id))
    ).all()
    assert Counter(tuple(p) for p in people) == {(True, "completed"): 16}
    rows = await session.execute(
        select(Condition.id, Rating.construct_id, func.avg(Rating.value))
        .join(Stimulus, Stimulus.condition_id == Condition.id)
        .join(Trial, Trial.stimulus_id == Stimulus.id)
        .join(Rating, Rating.trial_id == Trial.id)
        .where(Condition.study_id == study.id)
        .group_by(Condition.id, Rating.construct_id)
    )
    means = {(condition, construct): float(mean) for condition, construct, mean in rows}
    for construct in study.constructs:
        others = [means[c.id, construct.id] for c in study.conditions[1:]]
        gap = means[best.id, construct.id] - sum(others) / len(others)
        # 48 ratings each of sd about 1.3: a standard error of 0.22 for the gap; 2.5 logits are about 1.2 points.
        assert gap > 0.6 if construct.key in ("plausibility", "completeness") else abs(gap) < 0.75
    await session.close()
    await engine.dispose()


async def test_what_cannot_be_simulated_is_refused_before_any_row_is_made(database: str, session: AsyncSession) -> None:
    await make_study(session)
    engine = make_engine(database)
    for wrong in ({"effects": {"Z": 1.0}}, {"on": ["honesty"]}):
        with pytest.raises(InputError, match="it has"):
            await simulate("http://127.0.0.1:9", "demo", 2, sessions=make_sessions(engine), secret=SECRET, **wrong)
    for address in ("http://127.0.0.1:9", "nonsense"):
        with pytest.raises(InputError, match="no answer from"):
            await simulate(address, "demo", 2, sessions=make_sessions(engine), secret=SECRET)
    await make_study(session, slug="later", state="paused", questions=12)
    with pytest.raises(InputError, match="is paused"):
        await simulate("http://127.0.0.1:9", "later", 2, sessions=make_sessions(engine), secret=SECRET)
    assert await session.scalar(select(func.count()).select_from(Participant)) == 0
    await engine.dispose()


def test_thresholds_rise_and_leave_a_share_to_every_point() -> None:
    for points in range(2, 12):
        cuts = thresholds(points)
        assert len(cuts) == points - 1 and cuts == sorted(set(cuts))
