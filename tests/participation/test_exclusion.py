"""Participants left out of the analysis: by a researcher, with a reason, before unblinding, and nothing lost."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import ConflictError, InputError, NotFoundError
from app.participation.exclusion import set_exclusion
from app.participation.models import Participant, Rating, Trial
from app.reports.exports import ratings_per_stimulus, study_frame
from app.researchers.models import AuditEvent
from app.studies.service import get_study, take_step, unblind
from tests.factories import make_study
from tests.participation.walking import Walker
from tests.reports.rating import rate
from tests.researchers.acting import enter, post

PEOPLE = "/admin/studies/demo/participants"


async def test_a_researcher_excludes_somebody_and_takes_them_in_again(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    await make_study(session)
    await rate(session, await get_study(session, "demo"), 3)
    ratings = await session.scalar(select(func.count()).select_from(Rating))
    email = await enter(client, session, "editor")
    assert "Exclude participant 2?" in (await client.get(f"{PEOPLE}/2")).text
    sent = await post(client, f"{PEOPLE}/2", excluded="yes", reason=" failed  the <i>check</i> ")
    assert (sent.status_code, sent.headers["location"]) == (303, PEOPLE)
    page = (await client.get(PEOPLE)).text
    assert page.count("Excluded: failed the &lt;i&gt;check&lt;/i&gt;") == 1 and page.count(">Exclude<") == 2
    assert "<dt>Excluded</dt><dd>1</dd>" in (await client.get("/admin/studies/demo")).text
    frame = await study_frame(session, "demo")
    assert frame.participants.set_index("participant").loc[2, "exclusion_reason"] == "failed the <i>check</i>"
    assert set(frame.trials["participant"]) == {1, 2, 3}
    assert "2 participants, 24 rated explanations." in (await client.get("/admin/studies/demo/results")).text
    assert "Take in participant 2 again?" in (await client.get(f"{PEOPLE}/2")).text
    await post(client, f"{PEOPLE}/2", excluded="no", reason="the check was broken")
    assert "Excluded:" not in (await client.get(PEOPLE)).text
    assert "3 participants, 36 rated explanations." in (await client.get("/admin/studies/demo/results")).text
    assert await session.scalar(select(func.count()).select_from(Rating)) == ratings
    record = (await client.get("/admin/studies/demo")).text
    assert "exclude participant 2" in record and "include participant 2" in record and "the check was broken" in record
    assert record.count(f"<td>{email}</td>") == 2


async def test_only_editors_exclude(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await make_study(session)
    await rate(session, await get_study(session, "demo"), 1)
    await enter(client, session, "viewer")
    assert f"{PEOPLE}/1" not in (await client.get(PEOPLE)).text
    assert (await client.get(f"{PEOPLE}/1")).status_code == 403
    assert (await post(client, f"{PEOPLE}/1", excluded="yes", reason="no")).status_code == 403
    assert not await session.scalar(select(Participant.excluded))


@pytest.mark.parametrize("reason", ["", "  ", "one; two", "x" * 201, "a\x00b"])
async def test_an_exclusion_needs_one_reason(session: AsyncSession, reason: str) -> None:
    await make_study(session)
    await rate(session, await get_study(session, "demo"), 1)
    with pytest.raises(InputError, match="A reason is needed"):
        await set_exclusion(session, "demo", 1, reason, excluded=True)


async def test_what_cannot_be_excluded_is_said(session: AsyncSession) -> None:
    await make_study(session)
    await rate(session, await get_study(session, "demo"), 2)
    for number in (0, 3):
        with pytest.raises(NotFoundError, match=f"no participant {number}"):
            await set_exclusion(session, "demo", number, "late", excluded=True)
    with pytest.raises(ConflictError, match="Participant 1 is counted already"):
        await set_exclusion(session, "demo", 1, "late", excluded=False)
    await set_exclusion(session, "demo", 1, "late", excluded=True)
    with pytest.raises(ConflictError, match="Participant 1 is excluded already"):
        await set_exclusion(session, "demo", 1, "late", excluded=True)


async def test_nobody_is_excluded_or_taken_in_once_the_conditions_are_known(session: AsyncSession) -> None:
    await make_study(session)
    await rate(session, await get_study(session, "demo"), 2)
    await set_exclusion(session, "demo", 1, "late", excluded=True)
    await take_step(session, "demo", "close")
    await unblind(session, "demo", "complete")
    for number, excluded in ((1, False), (2, True)):
        with pytest.raises(ConflictError, match="is unblinded: who is left out had to be settled before"):
            await set_exclusion(session, "demo", number, "late", excluded=excluded)
    actions = (await session.scalars(select(AuditEvent.action).order_by(AuditEvent.id))).all()
    assert actions[-3:] == ["study.exclude", "study.close", "study.unblind"]


async def test_an_excluded_person_frees_a_place_and_the_explanations(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    await make_study(session, design={"trials_per_condition": 3, "target_participants": 1})
    first, second = Walker(client), Walker(client)
    await first.open(PROLIFIC_PID="a")
    await first.until(None)
    client.cookies.clear()
    assert (await second.open(PROLIFIC_PID="b")).heading == "This study is full"
    await set_exclusion(session, "demo", 1, "answered in no time", excluded=True)
    await session.commit()
    study = await get_study(session, "demo")
    assert {(low, high) for _, low, high in (await ratings_per_stimulus(session, study)).values()} == {(0, 0)}
    await second.open(PROLIFIC_PID="b")
    await second.until(None)
    assert {high for _, _, high in (await ratings_per_stimulus(session, study)).values()} == {1}
    assert await session.scalar(select(func.count()).where(Trial.state == "answered")) == 24
