"""What can be done with participants and their trials. Plain functions on a session; who opened it commits."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import exists, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_or_not
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from app.errors import ConflictError, NotFoundError
from app.explanations.models import Explanation
from app.participation.models import Participant, Trial
from app.studies.allocation import Candidate, TooFewStimuliError, allocate
from app.studies.models import Stimulus, Study
from app.studies.schemas import StudyDefinition

# One statement for all constructs, whose ids the pages need not know.
STORE = text(
    "insert into ratings (trial_id, construct_id, value) "
    "select :trial, c.id, cast(given.value as smallint) "
    "from jsonb_each_text(cast(:given as jsonb)) given join constructs c on c.study_id = :study and c.key = given.key "
    "returning construct_id"
)


class StudyFullError(ConflictError):
    """As many people as were wanted have begun, or the explanations do not suffice for one more."""


@dataclass(frozen=True)
class CurrentTrial:
    """The trial that a participant is at, with its text loaded, and how many there are."""

    trial: Trial
    number: int  # from 1, of the participant's trials that were not released
    total: int

    @property
    def explanation(self) -> Explanation:
        """The explanation that it shows."""
        return self.trial.stimulus.explanation


def definition_of(study: Study) -> StudyDefinition:
    """The study's definition, typed."""
    return StudyDefinition.model_validate(study.definition)


async def find_study(session: AsyncSession, slug: str) -> Study:
    """The study at /s/{slug}. Raises NotFoundError."""
    query = select(Study).where(Study.slug == slug)
    study = await session.scalar(query) if slug.isprintable() else None  # PostgreSQL takes no NUL in a text
    if study is None:
        raise NotFoundError(f"there is no study {slug!r}")
    return study


async def find_participant(
    session: AsyncSession, study: Study, *, token: str | None = None, external_id: str | None = None, lock: bool = False
) -> Participant | None:
    """The participant with this panel id, else with this visit token. `lock` makes later forms of the same person wait."""
    if external_id is None and token is None:
        return None
    is_it = Participant.external_id == external_id if external_id is not None else Participant.token == token
    query = select(Participant).where(Participant.study_id == study.id, is_it)
    return await session.scalar(query.with_for_update() if lock else query)


async def enter(
    session: AsyncSession, study: Study, definition: StudyDefinition, token: str, entry: Mapping[str, str]
) -> Participant:
    """The participant of this visit, made if new; locked. Of simultaneous first entries with the same panel id one row stays."""
    external_id = entry.get(definition.participant_parameter)
    values = {"study_id": study.id, "token": token, "external_id": external_id, "external": dict(entry)}
    await session.execute(insert_or_not(Participant).values(values).on_conflict_do_nothing())
    found = await find_participant(session, study, token=token, external_id=external_id, lock=True)
    # The visit may be in the table without that panel id: a form of an older visit in another tab.
    found = found or await find_participant(session, study, token=token, lock=True)
    assert found is not None
    return found


async def places_taken(session: AsyncSession, study: Study) -> int:
    """People who have consented and count towards the target: not bots, not excluded, none of their trials released."""
    released = exists().where(Trial.participant_id == Participant.id, Trial.state == "released")
    query = select(func.count()).where(
        Participant.study_id == study.id,
        Participant.consented_at.is_not(None),
        ~Participant.is_bot,
        ~Participant.excluded,
        ~released,
    )
    return await session.scalar(query) or 0


async def is_full(session: AsyncSession, study: Study, definition: StudyDefinition) -> bool:
    """Whether as many people as wanted have begun."""
    target = definition.design.target_participants
    return target is not None and await places_taken(session, study) >= target


async def consent(session: AsyncSession, study: Study, definition: StudyDefinition, participant: Participant) -> None:
    """Record consent. Raises StudyFullError, exactly even when many consent at the same moment."""
    if definition.design.target_participants is not None and not participant.is_bot:
        await _lock(session, study)
        if await is_full(session, study, definition):
            raise StudyFullError("the study has all its participants")
    participant.consented_at = datetime.now(UTC)


async def reserve_trials(
    session: AsyncSession, study: Study, definition: StudyDefinition, participant: Participant
) -> None:
    """Give the participant all trials: the least rated explanations of each condition. One participant of a study at a time.

    People and bots are counted apart, excluded people not at all. Raises StudyFullError when the stimuli do not allow a full set.
    """
    await _lock(session, study)
    given = (
        select(Trial.stimulus_id, func.count().label("n"))
        .join(Participant, Participant.id == Trial.participant_id)
        .where(
            Participant.study_id == study.id,
            Participant.is_bot == participant.is_bot,
            ~Participant.excluded,
            Trial.state != "released",
        )
        .group_by(Trial.stimulus_id)
        .subquery()
    )
    rows = await session.execute(
        select(Stimulus.id, Stimulus.condition_id, Explanation.question_id, func.coalesce(given.c.n, 0))
        .join(Explanation, Explanation.id == Stimulus.explanation_id)
        .outerjoin(given, given.c.stimulus_id == Stimulus.id)
        .where(Stimulus.study_id == study.id)
    )
    candidates = [Candidate(*row) for row in rows]
    try:
        chosen = allocate(candidates, definition.design.trials_per_condition, [study.seed % 2**32, participant.id])
    except TooFewStimuliError as error:
        raise StudyFullError(f"study {study.slug}: {error}") from error
    await session.execute(
        insert(Trial),
        [
            {
                "participant_id": participant.id,
                "stimulus_id": stimulus_id,
                "position": position,
                "token": secrets.token_urlsafe(16),
                "state": "reserved",
            }
            for position, stimulus_id in enumerate(chosen, 1)
        ],
    )


async def current_trial(session: AsyncSession, participant: Participant, *, texts: bool = True) -> CurrentTrial | None:
    """The first trial that is not answered yet; None when all are. `texts` loads explanation and question, for showing it."""
    counts = (
        select(func.count().label("total"), func.count().filter(Trial.state == "answered").label("answered"))
        .where(Trial.participant_id == participant.id, Trial.state != "released")
        .subquery()
    )
    query = (
        select(Trial, counts.c.answered, counts.c.total)
        .join(counts, counts.c.total > 0)
        .where(Trial.participant_id == participant.id, Trial.state.in_(("reserved", "shown")))
        .order_by(Trial.position)
        .limit(1)
    )
    if texts:
        query = (
            query.join(Trial.stimulus)
            .join(Stimulus.explanation)
            .join(Explanation.question)
            .options(
                contains_eager(Trial.stimulus).contains_eager(Stimulus.explanation).contains_eager(Explanation.question)
            )
        )
    row = (await session.execute(query)).first()
    return None if row is None else CurrentTrial(row[0], row[1] + 1, row[2])


async def mark_shown(session: AsyncSession, trial: Trial) -> None:
    """Record the first time that a trial is shown; later times change nothing."""
    if trial.state == "reserved":
        await session.execute(
            update(Trial)
            .where(Trial.id == trial.id, Trial.state == "reserved")
            .values(state="shown", shown_at=func.coalesce(Trial.shown_at, func.clock_timestamp())),
            execution_options={"synchronize_session": False},
        )


async def answer_trial(session: AsyncSession, study: Study, trial: Trial, values: Mapping[str, int]) -> None:
    """Store the ratings of a trial (value per construct key) and its time."""
    stored = await session.execute(STORE, {"trial": trial.id, "study": study.id, "given": json.dumps(dict(values))})
    assert len(stored.all()) == len(values), "the study's constructs differ from its definition"
    now = datetime.now(UTC)
    trial.state, trial.submitted_at = "answered", now
    trial.shown_at = trial.shown_at or now  # a form that was sent was shown


async def _lock(session: AsyncSession, study: Study) -> None:
    """Wait until no other transaction counts or gives out places of this study; released by commit or rollback.

    Always taken after the participant's own row, so that two transactions cannot wait for each other.
    """
    await session.execute(select(Study.id).where(Study.id == study.id).with_for_update(key_share=True))


def completion_code(study: Study, definition: StudyDefinition) -> str:
    """The code that shows a panel that the study was finished: the defined one, else one that belongs to this study for good."""
    if definition.completion.code:
        return definition.completion.code
    source = (
        f"{study.id}:{study.seed}:{study.created_at.timestamp()}"  # the microsecond of its making is known here only
    )
    return hashlib.sha256(source.encode()).hexdigest()[:8].upper()
