"""Puts participants with ratings into the database, for tests of what is made of them."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.participation.models import Participant, Rating, Trial
from app.studies.models import Study
from app.studies.service import stimuli_of

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


async def rate(
    session: AsyncSession, study: Study, people: int = 5, *, trials: int = 12, **fields: Any
) -> dict[Any, int]:
    """Let `people` rate `trials` explanations each; what they gave, by (external id, position, construct). Committed.

    `fields` are columns of all these participants, e.g. is_bot=True.
    """
    stimuli = await stimuli_of(session, study)
    chance = random.Random(people)
    persons = [
        Participant(
            study_id=study.id, token=uuid.uuid4().hex, external_id=f"person-{n}-{len(fields)}", step="finished",
            outcome="completed", entered_at=START, finished_at=START + timedelta(minutes=9),
            background={"age": 20 + n, "gender": "Woman", "remarks": "=1+1" if n == 0 else "fine, thanks"}, **fields,
        )
        for n in range(people)
    ]  # fmt: skip
    session.add_all(persons)
    await session.flush()
    answered = [
        (person, Trial(
            participant_id=person.id, stimulus_id=stimulus.id, position=position, token=uuid.uuid4().hex,
            state="answered", shown_at=START + timedelta(seconds=30 * position),
            submitted_at=START + timedelta(seconds=30 * position + 20),
        ))
        for person in persons
        for position, stimulus in enumerate(chance.sample(stimuli, trials), 1)
    ]  # fmt: skip
    session.add_all(trial for _, trial in answered)
    await session.flush()
    given: dict[Any, int] = {}
    ratings = []
    for person, trial in answered:
        for construct in study.constructs:
            value = chance.choice(list(construct.values))
            ratings.append({"trial_id": trial.id, "construct_id": construct.id, "value": value})
            given[person.external_id, trial.position, construct.key] = value
    await session.execute(insert(Rating), ratings)
    await session.commit()
    return given
