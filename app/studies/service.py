"""Studies: made from a definition, launched, paused, closed, unblinded. Each step is on record."""

from __future__ import annotations

import random
import secrets
import string
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import ValidationError
from sqlalchemy import and_, delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from app.errors import ConflictError, InputError, NotFoundError
from app.explanations.models import Explanation, ExplanationSet
from app.researchers.models import AuditEvent, Researcher
from app.studies.allocation import Candidate, check_supply
from app.studies.definitions import problems, telltales
from app.studies.models import Condition, Construct, Stimulus, Study
from app.studies.schemas import ConditionDefinition, StudyDefinition

# action: (states from which it may be taken, state that follows)
STEPS: dict[str, tuple[tuple[str, ...], str]] = {
    "launch": (("draft",), "live"),
    "pause": (("live",), "paused"),
    "resume": (("paused",), "live"),
    "close": (("live", "paused"), "closed"),
}
CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # of a completion code: none that is taken for another when read out


def parse_definition(content: object) -> StudyDefinition:
    """A definition from parsed YAML. Raises InputError with one line for each thing that is wrong, by its dotted path."""
    try:
        return StudyDefinition.model_validate(content)
    except ValidationError as error:
        raise InputError("\n".join(text for _, text in problems(error))) from error


async def get_study(session: AsyncSession, slug: str, *, lock: bool = False) -> Study:
    """A study with its conditions and constructs. Raises NotFoundError."""
    statement = (
        select(Study).where(Study.slug == slug).options(selectinload(Study.conditions), selectinload(Study.constructs))
    )
    study: Study | None = None
    if slug.isprintable():  # PostgreSQL takes no NUL in a text
        study = await session.scalar(statement.with_for_update() if lock else statement)
    if study is None:
        raise NotFoundError(f"There is no study {slug!r}.")
    return study


async def list_studies(session: AsyncSession) -> Sequence[Study]:
    """All studies, newest first."""
    return (await session.scalars(select(Study).order_by(Study.id.desc()))).all()


async def create_study(session: AsyncSession, definition: StudyDefinition, researcher_id: int | None = None) -> Study:
    """A draft: its conditions with their stimuli, its constructs. Raises ConflictError, or InputError naming what is missing.

    Codes A, B, … are drawn from the system's randomness, not from the definition's order or seed, so that a code tells nothing,
    not even to the person who wrote the definition.
    """
    if await session.scalar(select(Study.id).where(Study.slug == definition.slug)):
        raise ConflictError(f"There is a study {definition.slug!r} already; choose another slug.")
    if found := telltales(definition):
        raise InputError("The study would not be blind.\n" + "\n".join(found))
    chosen = await _stimuli(session, definition)
    study = Study(
        slug=definition.slug,
        title=definition.title,
        definition=definition.model_dump(mode="json"),
        seed=definition.seed,
    )
    codes = list(string.ascii_uppercase[: len(definition.conditions)])
    random.SystemRandom().shuffle(codes)
    study.conditions = [Condition(code=code, name=c.name) for code, c in zip(codes, definition.conditions, strict=True)]
    study.constructs = [
        Construct(key=c.key, name=c.name, statement=c.statement, labels=c.labels, minimum=c.minimum, position=i)
        for i, c in enumerate(definition.constructs, 1)
    ]
    session.add(study)
    await session.flush()
    stimuli = [
        Stimulus(study_id=study.id, condition_id=condition.id, explanation_id=explanation.id)
        for condition in study.conditions
        for explanation in chosen[condition.name]
    ]
    # inserted in random order: the ids of stimuli must not tell the condition either
    random.SystemRandom().shuffle(stimuli)
    session.add_all(stimuli)
    await session.flush()
    _record(session, "study.create", study, researcher_id, {"stimuli": len(stimuli)})
    return study


async def _stimuli(session: AsyncSession, definition: StudyDefinition) -> dict[str, list[Explanation]]:
    """The explanations of each condition: one a question, and with `same_questions` only questions that all conditions have."""
    found = {c.name: await _explanations(session, c, definition) for c in definition.conditions}
    for condition, explanations in found.items():
        _check_unambiguous(condition, explanations)
    _check_disjoint(found)
    sizes = ", ".join(f"{name}: {len(part)}" for name, part in found.items())
    if definition.design.same_questions:
        shared = set.intersection(*({e.question_id for e in part} for part in found.values()))
        found = {name: [e for e in part if e.question_id in shared] for name, part in found.items()}
        sizes += f"; questions for which all have one (design.same_questions): {len(shared)}"
    if definition.design.only_correct:
        sizes += "; explanations of wrong answers are left out (design.only_correct)"
    candidates = [Candidate(e.id, i, e.question_id) for i, part in enumerate(found.values()) for e in part]
    try:
        check_supply(candidates, len(found), definition.design.trials_per_condition)
    except InputError as error:
        raise InputError(
            f"There are too few explanations: {error}\nUsable explanations of each condition: {sizes}."
        ) from error
    return found


async def _explanations(
    session: AsyncSession, condition: ConditionDefinition, definition: StudyDefinition
) -> list[Explanation]:
    wanted = []
    if condition.set is not None:
        if await session.scalar(select(ExplanationSet.id).where(ExplanationSet.name == condition.set)) is None:
            names = (
                await session.scalars(select(ExplanationSet.name).order_by(ExplanationSet.id.desc()).limit(20))
            ).all()
            raise InputError(
                f"conditions: {condition.name!r} wants the set {condition.set!r}, which does not exist. "
                f"The sets are: {', '.join(names) or 'none yet; import explanations or publish a run first'}."
            )
        wanted.append(ExplanationSet.name == condition.set)
    for column, value in (
        (Explanation.method, condition.method),
        (Explanation.model, condition.model),
        (Explanation.seed, condition.seed),
    ):
        if value is not None:
            wanted.append(column == value)
    if definition.design.only_correct:
        wanted.append(Explanation.correct.is_(True))
    wanted.append(Explanation.text.regexp_match(r"\S"))  # an empty one cannot be rated
    rows = await session.scalars(select(Explanation).join(ExplanationSet).where(and_(*wanted)).order_by(Explanation.id))
    return list(rows.all())


def _check_unambiguous(condition: str, explanations: list[Explanation]) -> None:
    twice = [q for q, n in Counter(e.question_id for e in explanations).items() if n > 1]
    if twice:
        methods = sorted(
            {f"{e.method}, model {e.model}, seed {e.seed}" for e in explanations if e.question_id == twice[0]}
        )
        raise InputError(
            f"conditions: {condition!r} matches several explanations of one question ({'; '.join(methods)}); "
            "narrow it by set, method, model or seed"
        )


def _check_disjoint(found: dict[str, list[Explanation]]) -> None:
    owner: dict[int, str] = {}
    for name, explanations in found.items():
        for explanation in explanations:
            other = owner.setdefault(explanation.id, name)
            if other != name:
                raise InputError(
                    f"conditions: {other!r} and {name!r} match the same explanations; each must have its own"
                )


async def take_step(session: AsyncSession, slug: str, action: str, researcher_id: int | None = None) -> Study:
    """Launch, pause, resume or close a study. Raises ConflictError when its state does not allow it.

    Launch draws the completion code, if the definition has none, and freezes the definition: its hash over definition and
    stimuli is recorded, and nothing of either changes afterwards.
    """
    study = await get_study(session, slug, lock=True)
    before, after = STEPS[action]
    if study.state not in before:
        allowed = [name for name, (states, _) in STEPS.items() if study.state in states]
        raise ConflictError(
            f"Study {slug!r} is {study.state}; {action} is not possible now. Possible: {', '.join(allowed) or 'nothing'}."
        )
    study.state = after
    now = datetime.now(UTC)
    if action == "launch":
        study.launched_at = now
        completion = study.definition["completion"]
        drawn = completion["code"] or "".join(secrets.choice(CODE_LETTERS) for _ in range(8))
        study.definition = study.definition | {"completion": completion | {"code": drawn}}
        study.definition_sha256 = await _hash(session, study)
    if action == "close":
        study.closed_at = now
    _record(session, f"study.{action}", study, researcher_id, {"definition_sha256": study.definition_sha256})
    return study


async def discard(session: AsyncSession, slug: str, researcher_id: int | None = None) -> None:
    """Delete a draft with its stimuli, so that its slug is free for a mended definition. Raises ConflictError for anything launched."""
    study = await get_study(session, slug, lock=True)
    if study.state != "draft":
        raise ConflictError(
            f"Study {slug!r} is {study.state}: only a draft can be discarded, launched studies are kept."
        )
    await session.execute(delete(Study).where(Study.id == study.id))
    _record(session, "study.discard", study, researcher_id, {})


async def _hash(session: AsyncSession, study: Study) -> str:
    rows = await session.execute(
        select(Condition.name, Stimulus.explanation_id).join(Condition).where(Stimulus.study_id == study.id)
    )
    return StudyDefinition.model_validate(study.definition).sha256([(name, number) for name, number in rows])


async def unblind(session: AsyncSession, slug: str, reason: str, researcher_id: int | None = None) -> Study:
    """Show from now on which condition is which: once, with a reason, on record, and only after the study is closed."""
    study = await get_study(session, slug, lock=True)
    if not reason.strip():
        raise InputError("Unblinding needs a reason; it is kept on record.")
    if study.unblinded_at is not None:
        raise ConflictError(f"Study {slug!r} was unblinded on {study.unblinded_at:%d %b %Y} already.")
    if study.state != "closed":
        raise ConflictError(f"Study {slug!r} is {study.state}; close it before you unblind it.")
    study.unblinded_at = datetime.now(UTC)
    _record(session, "study.unblind", study, researcher_id, {"reason": reason.strip()})
    return study


async def history(session: AsyncSession, study: Study) -> Sequence[tuple[AuditEvent, str | None]]:
    """What was done to a study, in order, and by whom (None: on the command line)."""
    rows = await session.execute(
        select(AuditEvent, Researcher.email)
        .outerjoin(Researcher, Researcher.id == AuditEvent.researcher_id)
        .where(AuditEvent.subject == f"study {study.slug}")
        .order_by(AuditEvent.id)
    )
    return [(event, email) for event, email in rows]


async def stimuli_of(session: AsyncSession, study: Study) -> Sequence[Stimulus]:
    """All stimuli with condition, explanation and question loaded."""
    rows = await session.scalars(
        select(Stimulus)
        .where(Stimulus.study_id == study.id)
        .options(joinedload(Stimulus.condition), joinedload(Stimulus.explanation).joinedload(Explanation.question))
        .order_by(Stimulus.id)
    )
    return rows.all()


def condition_labels(study: Study) -> dict[int, str]:
    """What a condition may be called now, by its id: its code while the study is blinded, its name afterwards.

    Everything that shows a condition to a researcher goes through here.
    """
    return {c.id: c.name if study.unblinded_at else c.code for c in study.conditions}


def _record(
    session: AsyncSession, action: str, study: Study, researcher_id: int | None, details: dict[str, object]
) -> None:
    session.add(AuditEvent(researcher_id=researcher_id, action=action, subject=f"study {study.slug}", details=details))
