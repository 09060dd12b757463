"""A study's life: made, launched, paused, closed, unblinded, and what is refused on the way."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import ConflictError, InputError, NotFoundError
from app.explanations.models import Explanation
from app.researchers.models import AuditEvent
from app.studies import service
from app.studies.models import Condition, Stimulus, Study
from app.studies.schemas import StudyDefinition
from tests.factories import CONDITIONS, study_definition
from tests.studies.stocking import stock


async def draft(session: AsyncSession, **changes: Any) -> Study:
    return await service.create_study(session, study_definition(**changes))


async def stimuli(session: AsyncSession, study: Study) -> list[tuple[str, Explanation]]:
    rows = await session.execute(
        select(Condition.name, Explanation)
        .select_from(Stimulus)
        .join(Condition, Condition.id == Stimulus.condition_id)
        .join(Explanation, Explanation.id == Stimulus.explanation_id)
        .where(Stimulus.study_id == study.id)
    )
    return [(name, explanation) for name, explanation in rows]


async def test_each_condition_gets_the_explanations_of_its_method(session: AsyncSession) -> None:
    await stock(session)
    found = await stimuli(session, await draft(session))
    assert len(found) == 4 * 12 and all(name == explanation.method for name, explanation in found)
    assert all(explanation.correct for _, explanation in found)


async def test_wrong_answers_take_part_when_that_is_wanted(session: AsyncSession) -> None:
    await stock(session)
    study = await draft(session, design={"trials_per_condition": 3, "only_correct": False})
    assert len(await stimuli(session, study)) == 4 * 14


async def test_only_questions_that_all_conditions_explain_are_used(session: AsyncSession) -> None:
    made = await stock(session, questions=16)
    await session.execute(update(Explanation).where(Explanation.id == made[1].id).values(text="  \n "))
    shared = await stimuli(session, await draft(session))
    assert {e.question_id for _, e in shared} == {e.question_id for e in made if e.correct} - {made[1].question_id}
    design = {"trials_per_condition": 3, "same_questions": False}
    assert len(await stimuli(session, await draft(session, slug="other", design=design))) == 4 * 13 - 1


async def test_the_order_of_definition_does_not_decide_the_codes(session: AsyncSession) -> None:
    await stock(session, methods=6, questions=24)
    orders = set()
    for i in range(12):
        study = await draft(session, slug=f"study-{i}", conditions=6)
        codes = {c.name: c.code for c in study.conditions}
        assert sorted(codes.values()) == list("ABCDEF")
        orders.add(tuple(codes[name] for name in CONDITIONS))
    assert len(orders) > 6  # of 720 possible ones


async def test_ids_of_stimuli_and_conditions_do_not_tell_the_order_of_definition(session: AsyncSession) -> None:
    await stock(session)
    await draft(session)
    rows = (await session.execute(select(Stimulus.condition_id).order_by(Stimulus.id))).scalars().all()
    assert len(set(rows[:12])) > 1  # 12 in a row would be of one condition if they came in order


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"conditions": [{"name": "x", "set": "nowhere"}, {"name": "y", "method": CONDITIONS[0]}]}, "The sets are: a set"),
        ({"conditions": [{"name": "x", "method": "magic"}, {"name": "y", "method": CONDITIONS[0]}]}, "x: 0, y: 12; questions for"),
        ({"conditions": [{"name": "x", "set": "a set"}, {"name": "y", "method": CONDITIONS[0]}]}, "narrow it by"),
        (
            {"conditions": [{"name": "x", "method": CONDITIONS[0]}, {"name": "y", "method": CONDITIONS[0], "seed": 0}]},
            "match the same explanations",
        ),
        ({"design": {"trials_per_condition": 4}}, "16 questions are needed; there are 12"),
        ({"design": {"trials_per_condition": 13}}, "one condition has only 12"),
        ({"title": "Good old multitask/few_shot"}, "would not be blind"),
    ],
)  # fmt: skip
async def test_what_cannot_be_a_study_is_told(session: AsyncSession, changes: dict[str, Any], says: str) -> None:
    await stock(session)
    fields = study_definition().model_dump(mode="json") | changes
    with pytest.raises(InputError) as caught:
        await service.create_study(session, StudyDefinition.model_validate(fields))
    assert says in str(caught.value)
    assert await session.scalar(select(Study.id)) is None


async def test_an_address_is_given_once(session: AsyncSession) -> None:
    await stock(session)
    await draft(session)
    with pytest.raises(ConflictError, match="choose another slug"):
        await draft(session)


async def test_launch_freezes_and_records_the_hash_over_definition_and_stimuli(session: AsyncSession) -> None:
    await stock(session)
    await draft(session)
    study = await service.take_step(session, "demo", "launch")
    assert study.state == "live" and study.launched_at
    pairs = [(name, e.id) for name, e in await stimuli(session, study)]
    assert study.definition_sha256 == StudyDefinition.model_validate(study.definition).sha256(pairs[::-1])
    assert study.definition_sha256 != StudyDefinition.model_validate(study.definition).sha256(pairs[1:])


async def test_launch_draws_a_code_when_none_is_given(session: AsyncSession) -> None:
    await stock(session)
    codes = set()
    for slug in ("one", "two"):
        await draft(session, slug=slug, completion={})
        study = await service.take_step(session, slug, "launch")
        codes.add(StudyDefinition.model_validate(study.definition).completion.code)
    assert len(codes) == 2 and all(code and len(code) == 8 for code in codes)
    await draft(session, slug="three")
    assert (await service.take_step(session, "three", "launch")).definition["completion"]["code"] == "DONE-1234"


POSSIBLE = {
    "draft": {"launch"},
    "live": {"pause", "close"},
    "paused": {"resume", "close"},
    "closed": set(),
}


@pytest.mark.parametrize("state", list(POSSIBLE))
async def test_only_the_steps_of_its_state_are_possible(session: AsyncSession, state: str) -> None:
    await stock(session)
    study = await draft(session)
    for action in service.STEPS:
        study.state = state
        await session.flush()
        if action in POSSIBLE[state]:
            assert (await service.take_step(session, "demo", action)).state == service.STEPS[action][1]
        else:
            with pytest.raises(ConflictError, match=f"is {state}; {action} is not possible now"):
                await service.take_step(session, "demo", action)
            assert study.state == state


async def test_unblinding_happens_once_with_a_reason_after_closing(session: AsyncSession) -> None:
    await stock(session)
    study = await draft(session)
    for state in ("draft", "live", "paused"):
        study.state = state
        await session.flush()
        with pytest.raises(ConflictError, match="close it before"):
            await service.unblind(session, "demo", "because")
    study.state = "closed"
    await session.flush()
    with pytest.raises(InputError, match="needs a reason"):
        await service.unblind(session, "demo", "  ")
    assert set(service.condition_labels(study).values()) == set("ABCD")
    await service.unblind(session, "demo", " collection is complete ")
    assert set(service.condition_labels(study).values()) == set(CONDITIONS[:4])
    with pytest.raises(ConflictError, match="was unblinded on"):
        await service.unblind(session, "demo", "again")


async def test_every_step_is_on_record(session: AsyncSession) -> None:
    await stock(session)
    study = await draft(session)
    for action in ("launch", "pause", "resume", "close"):
        await service.take_step(session, "demo", action)
    await service.unblind(session, "demo", "collection is complete")
    events = [event for event, _ in await service.history(session, study)]
    assert [e.action for e in events] == [
        "study.create", "study.launch", "study.pause", "study.resume", "study.close", "study.unblind",
    ]  # fmt: skip
    assert events[-1].details["reason"] == "collection is complete"
    assert (await session.scalars(select(AuditEvent.subject).distinct())).all() == ["study demo"]


async def test_an_unknown_study_is_told(session: AsyncSession) -> None:
    for slug in ("nowhere", "no\x00where", "x" * 10_000):
        with pytest.raises(NotFoundError, match="There is no study"):
            await service.get_study(session, slug)
