"""A study's data as CSV files and as DataFrames.

Conditions are called as `condition_labels` allows: codes while the study is blinded. So are explanations: while blinded, by the number
of the stimulus (drawn at random), which leads to no page; afterwards by the number under which /admin/explanations shows them.
Participants are numbered in the order in which they entered; the panel's id is in participants.csv alone.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import InputError
from app.explanations.models import Explanation
from app.participation.models import Participant, Rating, Trial
from app.questions.models import Question
from app.studies.models import Condition, Stimulus, Study
from app.studies.schemas import StudyDefinition
from app.studies.service import condition_labels, get_study

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("ratings", "trials", "participants")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
CHUNK = 500  # rows to a piece of a download


def _safe(value: Any) -> Any:
    """Times as ISO 8601 in UTC; free text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return "" if value is None else value


def background_keys(study: Study) -> list[str]:
    """The keys of the background questions, in their order."""
    return [question.key for question in StudyDefinition.model_validate(study.definition).background]


def columns(study: Study, kind: str) -> list[str]:
    """The header of each file."""
    trial = ["participant", "position", "condition", "question_id", "explanation_id"]
    if kind == "ratings":
        return [*trial, "construct", "value"]
    background = background_keys(study)
    if kind == "trials":
        return [
            *trial,
            *(c.key for c in study.constructs),
            "explanation_length",
            "shown_at",
            "submitted_at",
            *background,
        ]
    person = ["participant", "state", "outcome", "entered_at", "finished_at", "flags", "excluded"]
    return [*person, *background, "exclusion_reason", "is_bot", "external_id"]


def _numbered(study: Study, bots: bool) -> Any:
    """Participants of the study with their running number; bots have numbers too, so that asking for them changes no other's."""
    number = func.row_number().over(order_by=Participant.id).label("number")
    people = select(Participant.id.label("participant_id"), number).where(Participant.study_id == study.id).subquery()
    wanted = select(people.c.participant_id, people.c.number).join(
        Participant, Participant.id == people.c.participant_id
    )
    return (wanted if bots else wanted.where(Participant.is_bot.is_(False))).subquery()


async def _trial_rows(
    session: AsyncSession, study: Study, bots: bool
) -> AsyncIterator[tuple[list[Any], dict[str, int], list[Any]]]:
    """Each answered trial: its identifying cells, its ratings by construct key, its length, times and background."""
    numbered = _numbered(study, bots)
    labels, blinded = condition_labels(study), study.unblinded_at is None
    keys = {c.id: c.key for c in study.constructs}
    background = background_keys(study)
    values = (
        select(Rating.trial_id, func.jsonb_object_agg(Rating.construct_id, Rating.value).label("values"))
        .group_by(Rating.trial_id)
        .subquery()
    )
    statement = (
        select(
            numbered.c.number, Trial.position, Stimulus.condition_id, Question.key, Stimulus.id, Explanation.id,
            values.c["values"], func.length(Explanation.text), Trial.shown_at, Trial.submitted_at, Participant.background,
        )
        .join(numbered, numbered.c.participant_id == Trial.participant_id)
        .join(Participant, Participant.id == Trial.participant_id)
        .join(Stimulus, Stimulus.id == Trial.stimulus_id)
        .join(Explanation, Explanation.id == Stimulus.explanation_id)
        .join(Question, Question.id == Explanation.question_id)
        .join(values, values.c.trial_id == Trial.id)
        .where(Trial.state == "answered")
        .order_by(numbered.c.number, Trial.position)
    )  # fmt: skip
    rows = await session.stream(statement.execution_options(yield_per=CHUNK))
    async for (
        number,
        position,
        condition,
        question,
        stimulus,
        explanation,
        given,
        length,
        shown,
        submitted,
        about,
    ) in rows:
        identity = [number, position, labels[condition], question, f"S{stimulus}" if blinded else explanation]
        by_key = {keys[int(construct)]: value for construct, value in given.items()}
        yield identity, by_key, [length, shown, submitted, *(about.get(key) for key in background)]


async def rows_of(session: AsyncSession, study: Study, kind: str, *, bots: bool = False) -> AsyncIterator[list[Any]]:
    """The rows of a file, without header, in a fixed order: by participant, position, construct."""
    if kind == "participants":
        async for row in _participant_rows(session, study, bots):
            yield row
        return
    keys = [c.key for c in study.constructs]
    async for identity, values, rest in _trial_rows(session, study, bots):
        if kind == "trials":
            yield [*identity, *(values.get(key) for key in keys), *rest]
        else:
            for key in keys:
                if key in values:
                    yield [*identity, key, values[key]]


async def _participant_rows(session: AsyncSession, study: Study, bots: bool) -> AsyncIterator[list[Any]]:
    numbered = _numbered(study, bots)
    background = background_keys(study)
    statement = (
        select(numbered.c.number, Participant)
        .join(numbered, numbered.c.participant_id == Participant.id)
        .order_by(numbered.c.number)
    )
    rows = await session.stream(statement.execution_options(yield_per=CHUNK))
    async for number, person in rows:
        flags = " ".join(sorted(key for key, value in person.flags.items() if value))
        yield [
            number, person.step, person.outcome, person.entered_at, person.finished_at, flags, person.excluded,
            *(person.background.get(key) for key in background), person.exclusion_reason, person.is_bot, person.external_id,
        ]  # fmt: skip


async def csv_pieces(session: AsyncSession, study: Study, kind: str, *, bots: bool = False) -> AsyncIterator[str]:
    """A file in pieces (RFC 4180, UTF-8), so that a large study needs no memory to match."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns(study, kind))
    count = 0
    async for row in rows_of(session, study, kind, bots=bots):
        writer.writerow([_safe(value) for value in row])
        count += 1
        if count % CHUNK == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


async def write_exports(
    session: AsyncSession, slug: str, out: Path, kinds: Sequence[str] = KINDS, *, bots: bool = False
) -> list[tuple[Path, int]]:
    """Write a study's files into the folder `out`: paths and numbers of rows. A file is replaced as a whole, or not at all."""
    study = await get_study(session, slug)
    written = []
    for kind in kinds:
        path, partial = out / f"{kind}.csv", out / f".{kind}.csv.partial"
        count = 0
        try:
            with partial.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(columns(study, kind))
                async for row in rows_of(session, study, kind, bots=bots):
                    writer.writerow([_safe(value) for value in row])
                    count += 1
            partial.replace(path)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}") from error
        finally:
            partial.unlink(missing_ok=True)
        written.append((path, count))
    return written


@dataclass(frozen=True)
class StudyFrame:
    """A study's answered trials for the analysis: one row a trial as in trials.csv, and what its columns mean.

    trials: columns participant, position, condition, question_id, explanation_id, one per construct key, explanation_length,
    shown_at, submitted_at, then background. participants: as participants.csv (with excluded and exclusion_reason).
    """

    slug: str
    title: str
    blinded: bool
    trials: pd.DataFrame
    participants: pd.DataFrame
    constructs: dict[str, str]  # key → name
    statements: dict[str, str]  # key → statement
    sources: dict[str, str]  # key → where the item comes from
    labels: list[str]  # of the scale, of the first construct
    minimum: int
    conditions: list[str]
    background: list[str]
    preregistration: str | None


async def study_frame(session: AsyncSession, slug: str, *, bots: bool = False) -> StudyFrame:
    """A study's data for `blindrate analyze SLUG` and the results page. Raises NotFoundError."""
    import pandas as pd

    study = await get_study(session, slug)
    definition = StudyDefinition.model_validate(study.definition)
    frames = {
        kind: pd.DataFrame(
            [row async for row in rows_of(session, study, kind, bots=bots)], columns=columns(study, kind)
        )
        for kind in ("trials", "participants")
    }
    first = study.constructs[0]
    return StudyFrame(
        slug=study.slug,
        title=study.title,
        blinded=study.unblinded_at is None,
        trials=frames["trials"],
        participants=frames["participants"],
        constructs={c.key: c.name for c in study.constructs},
        statements={c.key: c.statement for c in study.constructs},
        sources={c.key: c.source or "" for c in definition.constructs},
        labels=first.labels,
        minimum=first.minimum,
        conditions=sorted(condition_labels(study).values()),
        background=background_keys(study),
        preregistration=definition.preregistration,
    )


async def ratings_per_stimulus(session: AsyncSession, study: Study) -> dict[str, tuple[int, int, int]]:
    """By condition label: the number of stimuli, and the fewest and most people (not excluded) who rated one."""
    counts = (
        select(Stimulus.condition_id, Stimulus.id, func.count(Participant.id).label("n"))
        .outerjoin(Trial, (Trial.stimulus_id == Stimulus.id) & (Trial.state == "answered"))
        .outerjoin(Participant, (Participant.id == Trial.participant_id) & ~Participant.is_bot & ~Participant.excluded)
        .where(Stimulus.study_id == study.id)
        .group_by(Stimulus.condition_id, Stimulus.id)
        .subquery()
    )
    rows = await session.execute(
        select(Condition.id, func.count(), func.min(counts.c.n), func.max(counts.c.n))
        .join(counts, counts.c.condition_id == Condition.id)
        .group_by(Condition.id)
    )
    labels = condition_labels(study)
    return dict(sorted((labels[c], (n, low, high)) for c, n, low, high in rows))
