"""The participant's way: which step follows which, and what a submitted step does. State is in the database alone.

Every form carries its step, its part (which trial, which attempt) and a token signed over both and the visit. So a form that was
made for somebody else, or by nobody, is refused, while one that comes late or twice (Back, another tab, a double click) is
known as old: it changes nothing, and the participant sees the current step.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app.participation import forms, service
from app.participation.models import Participant
from app.studies.models import Study
from app.studies.schemas import StudyDefinition
from app.web.csrf import sign

ORDER = ("consent", "instructions", "comprehension", "practice", "trials", "background", "finished")
ENDS = {"finished", "declined"}


@dataclass
class Visit:
    """One request's participant in one study; `participant` is None until consent is given or declined."""

    study: Study
    definition: StudyDefinition
    token: str
    entry: Mapping[str, str]
    participant: Participant | None = None

    @property
    def step(self) -> str:
        """The step that the one address shows."""
        return self.participant.step if self.participant else "consent"


def form_token(secret: bytes, visit: Visit, step: str, part: str) -> str:
    """What a form of this step must send back."""
    return sign(secret, f"step of {visit.study.slug}", f"{visit.token}:{step}:{part}")


def is_own_form(secret: bytes, visit: Visit, fields: Mapping[str, str]) -> bool:
    """Whether the form was made by this server for this visit."""
    expected = form_token(secret, visit, fields.get("step", ""), fields.get("part", ""))
    return hmac.compare_digest(expected.encode(), fields.get("form", "").encode())


def following(definition: StudyDefinition, step: str) -> str:
    """The step after `step`, leaving out those that the study does not have."""
    has = {
        "comprehension": bool(definition.comprehension),
        "practice": definition.practice is not None,
        "background": bool(definition.background),
    }
    return next(s for s in ORDER[ORDER.index(step) + 1 :] if has.get(s, True))


async def submit(session: AsyncSession, visit: Visit, fields: Mapping[str, str]) -> forms.Incomplete | None:
    """Do what the form asks, and move on. Returns what is missing when the form must come back; an old form changes nothing.

    Raises forms.BadForm (nothing may be stored then) and service.StudyFullError.
    """
    step = fields.get("step", "")
    if step != visit.step or step not in SUBMITS:
        return None
    try:
        await SUBMITS[step](session, visit, fields)
    except forms.Incomplete as incomplete:
        return incomplete
    return None


async def _consent(session: AsyncSession, visit: Visit, fields: Mapping[str, str]) -> None:
    decision = forms.only({"consent", "decision"}, {k: v for k, v in fields.items() if not k.startswith("entry-")})
    declined = decision.get("decision") == "decline"
    if not declined and decision.get("consent") != "yes":
        raise forms.Incomplete({"consent": "Tick the box if you agree to take part"}, decision)
    visit.participant = await service.enter(session, visit.study, visit.definition, visit.token, visit.entry)
    if visit.participant.step != "consent":
        return  # another tab or a double click was quicker
    if declined:
        visit.participant.step, visit.participant.outcome = "declined", "declined"
        visit.participant.finished_at = datetime.now(UTC)
        return
    await service.consent(session, visit.study, visit.definition, visit.participant)
    await _move_on(session, visit)


async def _instructions(session: AsyncSession, visit: Visit, fields: Mapping[str, str]) -> None:
    forms.only(set(), fields)
    await _move_on(session, visit)


async def _comprehension(session: AsyncSession, visit: Visit, fields: Mapping[str, str]) -> None:
    participant = _present(visit)
    if fields.get("part") != str(participant.comprehension_attempts):
        return  # this attempt was counted already
    hints = forms.comprehension(visit.definition.comprehension, fields)
    participant.comprehension_attempts += 1
    if hints:
        raise forms.Incomplete(hints, forms.without_control(fields))
    await _move_on(session, visit)


async def _practice(session: AsyncSession, visit: Visit, fields: Mapping[str, str]) -> None:
    forms.ratings(visit.definition.constructs, fields)
    await _move_on(session, visit)


async def _trials(session: AsyncSession, visit: Visit, fields: Mapping[str, str]) -> None:
    current = await service.current_trial(session, _present(visit), texts=False)
    if current is None or fields.get("part") != current.trial.token:
        return
    values = forms.ratings(visit.definition.constructs, fields)
    await service.answer_trial(session, visit.study, current.trial, values)
    if current.number == current.total:
        await _move_on(session, visit)


async def _background(session: AsyncSession, visit: Visit, fields: Mapping[str, str]) -> None:
    _present(visit).background = forms.background(visit.definition.background, fields)
    await _move_on(session, visit)


SUBMITS: dict[str, Callable[[AsyncSession, Visit, Mapping[str, str]], Awaitable[None]]] = {
    "consent": _consent,
    "instructions": _instructions,
    "comprehension": _comprehension,
    "practice": _practice,
    "trials": _trials,
    "background": _background,
}


async def _move_on(session: AsyncSession, visit: Visit) -> None:
    participant = _present(visit)
    participant.step = following(visit.definition, participant.step)
    if participant.step == "trials":
        await service.reserve_trials(session, visit.study, visit.definition, participant)
    if participant.step == "finished":
        participant.outcome, participant.finished_at = "completed", datetime.now(UTC)
        participant.completion_code = service.completion_code(visit.study, visit.definition)


def _present(visit: Visit) -> Participant:
    assert visit.participant is not None
    return visit.participant
