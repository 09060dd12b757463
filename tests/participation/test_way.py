"""The participant's way over HTTP: every step, and every way to come back to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.participation.models import Participant, Rating, Trial
from app.studies.models import Construct
from tests.factories import make_study
from tests.participation.walking import Walker


@pytest.fixture
async def walker(client: httpx.AsyncClient, session: AsyncSession) -> Walker:
    await make_study(session)
    return Walker(client)


@pytest.fixture
async def other(app: FastAPI) -> AsyncIterator[Walker]:
    """Another browser."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield Walker(client)


async def ratings(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(Rating)) or 0


async def participants(session: AsyncSession) -> list[Participant]:
    return list((await session.scalars(select(Participant).execution_options(populate_existing=True))).all())


async def test_a_participant_gets_from_the_link_to_the_code_and_all_values_are_stored(
    walker: Walker, session: AsyncSession
) -> None:
    await walker.open(PROLIFIC_PID="person-1", STUDY_ID="s", other="x")
    seen = []
    while walker.page.step:
        if walker.page.step not in seen:
            seen.append(walker.page.step)
        await walker.step()
    assert seen == ["consent", "instructions", "comprehension", "practice", "trials", "background"]
    assert walker.page.completion_code == "DONE-1234"
    assert "https://panel.example/submit?cc=DONE-1234" in walker.html
    (person,) = await participants(session)
    assert (person.outcome, person.step, person.external_id) == ("completed", "finished", "person-1")
    assert person.external == {"PROLIFIC_PID": "person-1", "STUDY_ID": "s"}
    assert person.background == {"age": 34, "gender": "Woman", "remarks": "None"}
    assert person.comprehension_attempts == 1 and not person.is_bot
    rows = await session.execute(
        select(Trial.position, Construct.key, Rating.value)
        .join(Rating, Rating.trial_id == Trial.id)
        .join(Construct, Construct.id == Rating.construct_id)
    )
    assert {(position, key): value for position, key, value in rows} == {
        (number, key): int(value) for number, sent in walker.sent.items() for key, value in sent.items()
    }
    trials = (await session.scalars(select(Trial))).all()
    assert len(trials) == 12
    assert all(t.state == "answered" and t.shown_at and t.submitted_at and t.shown_at < t.submitted_at for t in trials)


async def test_nothing_is_stored_before_consent(walker: Walker, session: AsyncSession) -> None:
    for parameters in ({}, {"PROLIFIC_PID": "person-1"}):
        await walker.open(**parameters)
        await walker.client.head(walker.path, params=parameters)
    assert await participants(session) == []


async def test_a_head_request_neither_shows_a_trial_nor_sets_a_cookie(walker: Walker, session: AsyncSession) -> None:
    await walker.open()
    await walker.until("practice")
    response = await walker.client.post(walker.path, data=walker.form())
    assert response.status_code == 303
    response = await walker.client.head(walker.path)
    assert response.status_code == 200 and "set-cookie" not in response.headers
    assert set((await session.scalars(select(Trial.state))).all()) == {"reserved"}


async def test_refresh_shows_the_same_step_and_keeps_the_first_time_shown(
    walker: Walker, session: AsyncSession
) -> None:
    await walker.open()
    await walker.until("trials")
    query = select(Trial.shown_at).where(Trial.position == 1)
    first = await session.scalar(query)
    before = walker.html
    await walker.open()
    assert walker.html == before
    assert first is not None and await session.scalar(query) == first


async def test_a_repeated_submit_is_stored_once_and_moves_on(walker: Walker, session: AsyncSession) -> None:
    await walker.open()
    await walker.until("trials")
    form = walker.form()
    answers = await asyncio.gather(*(walker.client.post(walker.path, data=form) for _ in range(4)))
    assert [a.status_code for a in answers] == [303] * 4
    assert await ratings(session) == 5
    assert (await walker.open()).heading == "Explanation 2 of 12"
    changed = form | {"rating-plausibility": "5"}
    assert (await walker.send(changed)).heading == "Explanation 2 of 12"
    values = (await session.scalars(select(Rating.value))).all()
    assert sorted(values) == sorted(int(v) for k, v in form.items() if k.startswith("rating-"))


@pytest.mark.parametrize("step", ["consent", "instructions", "comprehension", "practice", "background"])
async def test_an_old_form_of_any_step_moves_on_to_the_current_one(
    walker: Walker, session: AsyncSession, step: str
) -> None:
    await walker.open(PROLIFIC_PID="p")
    await walker.until(step)
    form = walker.form()
    page = await walker.send(form)
    again = await walker.send(form)
    assert (walker.status, again.step, again.heading) == (200, page.step, page.heading)
    (person,) = await participants(session)
    assert person.comprehension_attempts == (0 if step in ("consent", "instructions") else 1)


async def test_two_tabs_end_at_one_participant_and_one_current_step(walker: Walker, session: AsyncSession) -> None:
    await walker.open()
    tab = Walker(walker.client)
    await tab.open()
    await walker.step()
    assert (await tab.step()).step == "instructions"
    await walker.until("trials")
    await tab.open()
    await tab.step()
    await walker.step()  # the form of the trial that the other tab has answered
    assert walker.page.heading == "Explanation 2 of 12"
    assert len(await participants(session)) == 1 and await ratings(session) == 5


async def test_a_lost_cookie_with_the_same_panel_id_lands_on_the_same_step(
    walker: Walker, other: Walker, session: AsyncSession
) -> None:
    await walker.open(PROLIFIC_PID="person-1")
    await walker.until("trials")
    await walker.step()
    page = await other.open(PROLIFIC_PID="person-1")
    assert page.heading == "Explanation 2 of 12"
    await other.until(None)
    assert (await walker.open()).completion_code == "DONE-1234"
    assert len(await participants(session)) == 1 and await ratings(session) == 60


async def test_the_panel_id_leaves_the_address_once_the_person_is_known(walker: Walker) -> None:
    await walker.open(PROLIFIC_PID="person-1")
    await walker.step()
    response = await walker.client.get(walker.path, params={"PROLIFIC_PID": "person-1"})
    assert (response.status_code, response.headers["location"]) == (303, "/s/demo")


async def test_simultaneous_first_entries_of_one_panel_id_end_at_one_row(app: FastAPI, session: AsyncSession) -> None:
    await make_study(session)
    transport = httpx.ASGITransport(app=app)
    clients = [httpx.AsyncClient(transport=transport, base_url="http://testserver") for _ in range(6)]
    browsers = [Walker(c) for c in clients]
    await asyncio.gather(*(b.open(PROLIFIC_PID="same") for b in browsers))
    pages = await asyncio.gather(*(b.step() for b in browsers))
    assert {p.step for p in pages} == {"instructions"}
    assert len(await participants(session)) == 1
    assert len({c.cookies["visit"] for c in clients}) == 1
    for client in clients:
        await client.aclose()


async def test_two_people_on_one_device_are_two_participants(walker: Walker, session: AsyncSession) -> None:
    await walker.open(PROLIFIC_PID="person-1")
    await walker.until("practice")
    assert (await walker.open(PROLIFIC_PID="person-2")).step == "consent"
    await walker.step()
    assert (await walker.open(PROLIFIC_PID="person-1")).step == "practice"
    assert {p.external_id for p in await participants(session)} == {"person-1", "person-2"}


@pytest.mark.parametrize(
    "text", ["x" * 5000, "na\x00me\n", "<script>alert(1)</script>", "ünï çødé 日本", "' or 1=1 --"]
)
async def test_odd_panel_ids_are_stored_harmlessly(walker: Walker, session: AsyncSession, text: str) -> None:
    await walker.open(PROLIFIC_PID=text)
    assert "<script>alert" not in walker.html
    await walker.step()
    assert (await walker.open(PROLIFIC_PID=text)).step == "instructions"
    (person,) = await participants(session)
    assert person.external_id == "".join(c for c in text if c.isprintable())[:200]


@pytest.mark.parametrize("text", ["", "  ", "{{%PROLIFIC_PID%}}"])
async def test_an_empty_or_unfilled_panel_id_counts_as_none(
    walker: Walker, other: Walker, session: AsyncSession, text: str
) -> None:
    for browser in (walker, other):
        await browser.open(PROLIFIC_PID=text)
        await browser.step()
    assert [p.external_id for p in await participants(session)] == [None, None]


async def test_the_cookie_is_for_the_study_only_and_out_of_reach_of_scripts(walker: Walker, app: FastAPI) -> None:
    response = await walker.client.get(walker.path)
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("visit=")
    assert {"HttpOnly", "Path=/s/demo", "SameSite=lax", "Max-Age=7776000"} <= set(cookie.split("; "))
    assert response.headers["cache-control"] == "no-store"
    app.state.settings.base_url = "https://study.example"
    assert "Secure" in (await walker.client.get(walker.path)).headers["set-cookie"].split("; ")


async def test_a_wrong_comprehension_answer_shows_its_hint_and_counts_an_attempt(
    walker: Walker, session: AsyncSession
) -> None:
    await walker.open()
    await walker.until("comprehension")
    form = walker.form({"check-0": "The question"})
    page = await walker.send(form)
    assert walker.status == 422 and "The statements are about the explanation that you read." in walker.html
    assert page.checked == {"check-0": "The question"}
    first_try = page
    await walker.send(form)  # sent twice: one attempt
    await walker.send(walker.form({}))  # nothing chosen: no attempt
    assert walker.status == 422
    await walker.send(first_try.hidden | {"check-0": "The explanation"})
    assert walker.page.step == "practice"
    (person,) = await participants(session)
    assert person.comprehension_attempts == 2


async def test_an_incomplete_trial_comes_back_with_what_was_filled_in_and_the_rest_marked(
    walker: Walker, session: AsyncSession
) -> None:
    await walker.open()
    await walker.until("trials")
    page = await walker.send(walker.form({"rating-plausibility": "4", "rating-satisfaction": "2"}))
    assert walker.status == 422 and page.heading == "Explanation 1 of 12"
    assert page.checked == {"rating-plausibility": "4", "rating-satisfaction": "2"}
    for key in ("understandability", "completeness", "contrastiveness"):
        assert f'href="#rating-{key}"' in walker.html and f'id="rating-{key}-error"' in walker.html
    assert 'id="rating-plausibility-error"' not in walker.html
    assert await ratings(session) == 0


async def test_incomplete_consent_and_background_come_back_marked(walker: Walker, session: AsyncSession) -> None:
    await walker.open(PROLIFIC_PID="p")
    page = await walker.send(walker.form({}))
    assert walker.status == 422 and 'href="#consent"' in walker.html
    assert page.hidden["entry-PROLIFIC_PID"] == "p"
    assert await participants(session) == []
    await walker.until("background")
    page = await walker.send(walker.form({"background-age": "7", "background-remarks": "Hello"}))
    assert walker.status == 422 and "from 18 to 110" in walker.html and 'href="#background-gender"' in walker.html
    assert page.texts == {"background-age": "7", "background-remarks": "Hello"}
    await walker.send(walker.form({"background-age": "18", "background-gender": "Man", "background-remarks": ""}))
    (person,) = await participants(session)
    assert person.background == {"age": 18, "gender": "Man"}


async def test_declining_ends_politely_and_stays(walker: Walker, session: AsyncSession) -> None:
    await walker.open(PROLIFIC_PID="p")
    page = await walker.send(walker.form({"decision": "decline"}))
    assert page.heading == "You are not taking part" and "return your place" in walker.html
    assert (await walker.open(PROLIFIC_PID="p")).heading == "You are not taking part"
    (person,) = await participants(session)
    assert (person.step, person.outcome, person.consented_at) == ("declined", "declined", None)


async def test_steps_that_a_study_does_not_have_are_left_out(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await make_study(session, comprehension=[], practice=None, background=[], completion={})
    walker = Walker(client)
    await walker.open()
    await walker.step()
    assert (await walker.step()).heading == "Explanation 1 of 12"
    page = await walker.until(None)
    assert page.completion_code and len(page.completion_code) == 8
    assert "enter this code there" in walker.html
