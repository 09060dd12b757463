"""Leaving a participant out of the analysis, and taking one back in: with a reason, on record, and before anybody knows which
condition is which. Nothing that the person answered is changed or lost.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import ConflictError, InputError, NotFoundError
from app.participation.models import Participant
from app.researchers.models import AuditEvent
from app.studies.models import Study
from app.studies.service import get_study

LONGEST = 200  # characters of a reason, which names a rule in the report


async def numbered_participant(session: AsyncSession, study: Study, number: int, *, lock: bool = False) -> Participant:
    """The participant with this number in the exports and on the participants' page. Raises NotFoundError."""
    everyone = select(Participant).where(Participant.study_id == study.id).order_by(Participant.id)
    one = everyone.offset(number - 1).limit(1)
    found = await session.scalar(one.with_for_update() if lock else one) if number > 0 else None
    if found is None:
        raise NotFoundError(f"Study {study.slug!r} has no participant {number}.")
    return found


async def set_exclusion(
    session: AsyncSession, slug: str, number: int, reason: str, *, excluded: bool, researcher_id: int | None = None
) -> Participant:
    """Exclude a participant from the analysis, or take one back in.

    The reason of an exclusion is the name of its rule in the report, which counts people by it. An excluded person frees a place
    of the target, and their explanations are given to others again; who is under way may finish.

    Raises:
        InputError: no reason, one that is too long, or one with a semicolon, which separates rules.
        ConflictError: the study is unblinded, or the participant is excluded (or taken in) already.
    """
    study = await get_study(session, slug)
    person = await numbered_participant(session, study, number, lock=True)
    # the person first, then the study, as when somebody takes part: in the other order the two could wait for each other
    await session.refresh(study, ["unblinded_at"], with_for_update=True)
    reason = " ".join(reason.split())
    if not reason.isprintable() or not 0 < len(reason) <= LONGEST or ";" in reason:
        raise InputError(
            f"A reason is needed: one rule, of at most {LONGEST} characters and without a semicolon. It is kept on record."
        )
    if study.unblinded_at is not None:
        raise ConflictError(
            f"Study {slug!r} is unblinded: who is left out had to be settled before. In the exported files you can still leave rows out."
        )
    if person.excluded == excluded:
        raise ConflictError(f"Participant {number} is {'excluded' if excluded else 'counted'} already.")
    person.excluded, person.exclusion_reason = excluded, reason if excluded else None
    action = "study.exclude" if excluded else "study.include"
    details = {"participant": number, "reason": reason}
    session.add(AuditEvent(researcher_id=researcher_id, action=action, subject=f"study {study.slug}", details=details))
    return person
