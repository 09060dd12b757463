"""When nobody, or nobody new, may come in; and forms that no page of ours has sent."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.participation.models import Participant, Rating, Trial
from app.studies.models import Study
from tests.factories import make_study
from tests.participation.walking import Walker


async def set_state(session: AsyncSession, state: str) -> None:
    await session.execute(update(Study).values(state=state))
    await session.commit()


async def count(session: AsyncSession, table: type) -> int:
    return await session.scalar(select(func.count()).select_from(table)) or 0


async def test_an_unknown_study_is_a_friendly_404(client: httpx.AsyncClient) -> None:
    for response in (await client.get("/s/nowhere"), await client.post("/s/nowhere", data={"step": "consent"})):
        assert response.status_code == 404
        assert "check that the link is complete" in response.text
        assert "set-cookie" not in response.headers
    assert (await client.get("/s/%00%ff<script>")).status_code == 404


@pytest.mark.parametrize(
    ("state", "heading"),
    [
        ("draft", "This study has not started yet"),
        ("paused", "This study is paused"),
        ("closed", "This study is closed"),
    ],
)
async def test_a_study_that_is_not_live_says_so_and_what_to_do(
    client: httpx.AsyncClient, session: AsyncSession, state: str, heading: str
) -> None:
    await make_study(session, state=state)
    page = await (walker := Walker(client)).open(PROLIFIC_PID="p")
    assert page.heading == heading and page.step is None
    assert "return your place" in walker.html and "study@example.org" in walker.html


async def test_pausing_keeps_new_people_out_and_lets_those_under_way_finish(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    await make_study(session)
    walker = Walker(client)
    await walker.open()
    form = walker.form()
    await set_state(session, "paused")
    assert (await walker.send(form)).heading == "This study is paused"
    assert await count(session, Participant) == 0
    await set_state(session, "live")
    await walker.open()
    await walker.until("trials")
    await set_state(session, "paused")
    assert (await walker.until(None)).completion_code == "DONE-1234"


async def test_closing_ends_the_visits_under_way_and_still_shows_the_code_to_who_has_finished(
    client: httpx.AsyncClient, app: FastAPI, session: AsyncSession
) -> None:
    await make_study(session)
    done, late = Walker(client), Walker(httpx.AsyncClient(transport=client._transport, base_url="http://testserver"))
    await done.open()
    await done.until(None)
    await late.open()
    await late.until("trials")
    await set_state(session, "closed")
    before = await count(session, Rating)
    assert (await late.step()).heading == "This study is closed"
    assert await count(session, Rating) == before
    assert (await done.open()).completion_code == "DONE-1234"
    await late.client.aclose()


async def test_a_full_study_takes_exactly_its_target_even_when_many_consent_at_once(
    app: FastAPI, session: AsyncSession
) -> None:
    await make_study(session, design={"trials_per_condition": 3, "target_participants": 3})
    transport = httpx.ASGITransport(app=app)
    clients = [httpx.AsyncClient(transport=transport, base_url="http://testserver") for _ in range(8)]
    walkers = [Walker(c) for c in clients]
    await asyncio.gather(*(w.open() for w in walkers))
    pages = await asyncio.gather(*(w.step() for w in walkers))
    assert sorted(p.heading for p in pages) == ["Instructions"] * 3 + ["This study is full"] * 5
    assert await count(session, Participant) == 3
    inside = [w for w, p in zip(walkers, pages, strict=True) if p.step]
    assert (await inside[0].until(None)).completion_code == "DONE-1234"
    latecomer = Walker(httpx.AsyncClient(transport=transport, base_url="http://testserver"))
    assert (await latecomer.open(PROLIFIC_PID="late")).heading == "This study is full"
    for client in [*clients, latecomer.client]:
        await client.aclose()


async def test_someone_who_declined_does_not_take_a_place(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await make_study(session, design={"trials_per_condition": 3, "target_participants": 1})
    walker = Walker(client)
    await walker.open(PROLIFIC_PID="a")
    await walker.send(walker.form({"decision": "decline"}))
    assert (await walker.open(PROLIFIC_PID="b")).step == "consent"


async def test_stimuli_that_do_not_suffice_end_at_the_full_page_and_store_nothing(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    await make_study(session, questions=11)
    walker = Walker(client)
    await walker.open()
    await walker.until("practice")
    page = await walker.step()
    assert (walker.status, page.heading) == (409, "This study is full")
    assert await count(session, Trial) == 0


BAD_FIELDS = [
    {"rating-plausibility": "6"},
    {"rating-plausibility": "0"},
    {"rating-plausibility": "-1"},
    {"rating-plausibility": "2.5"},
    {"rating-plausibility": "03"},
    {"rating-plausibility": "٣"},
    {"rating-plausibility": "four"},
    {"rating-plausibility": "9" * 400},
    {"rating-honesty": "3"},
    {"extra": "1"},
    {"is_bot": "true"},
]


@pytest.mark.parametrize("fields", BAD_FIELDS, ids=lambda f: "=".join(next(iter(f.items())))[:30])
async def test_a_value_off_the_scale_or_a_field_that_is_not_on_the_page_is_refused(
    client: httpx.AsyncClient, session: AsyncSession, fields: dict[str, str]
) -> None:
    await make_study(session, questions=12)
    walker = Walker(client)
    await walker.open()
    await walker.until("trials")
    page = await walker.send(walker.form() | fields)
    assert walker.status == 400 and page.heading == "That did not work" and "<form" not in walker.html
    assert await count(session, Rating) == 0
    assert (await walker.open()).heading == "Explanation 1 of 12"


async def test_doubled_fields_files_and_oversized_forms_are_refused(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    await make_study(session, questions=12)
    walker = Walker(client)
    await walker.open()
    await walker.until("trials")
    form = walker.form()
    doubled = await client.post(walker.path, data=form | {"rating-plausibility": ["1", "5"]})
    file = await client.post(walker.path, data=form, files={"rating-plausibility": ("a.txt", b"3")})
    large = await client.post(walker.path, data=form | {"extra": "x" * 70_000})
    many = await client.post(walker.path, data=form | {f"field-{i}": "1" for i in range(300)})
    assert [r.status_code for r in (doubled, file, large, many)] == [400, 400, 413, 400]
    assert await count(session, Rating) == 0


async def test_forged_and_foreign_forms_are_refused_and_nothing_is_stored(
    client: httpx.AsyncClient, app: FastAPI, session: AsyncSession
) -> None:
    await make_study(session)
    mine, theirs = Walker(client), Walker(httpx.AsyncClient(transport=client._transport, base_url="http://testserver"))
    for walker in (mine, theirs):
        await walker.open()
        await walker.until("trials")
    good, foreign = mine.form(), theirs.form()
    forged = [
        foreign,
        good | {"part": foreign["part"]},
        good | {"part": foreign["part"], "form": foreign["form"]},
        good | {"form": "0" * 64},
        good | {"form": "é"},
        {k: v for k, v in good.items() if k != "form"},
        good | {"step": "background"},
        {},
    ]
    for form in forged:
        page = await mine.send(form)
        assert (mine.status, page.heading) == (403, "This form cannot be used")
    assert await count(session, Rating) == 0
    await mine.send(good)
    assert await count(session, Rating) == 5
    await theirs.client.aclose()


async def test_a_form_without_the_cookie_or_with_a_made_up_one_is_refused(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    await make_study(session)
    walker = Walker(client)
    await walker.open()
    await walker.until("trials")
    form = walker.form()
    token = client.cookies["visit"]
    for cookie in (None, "x", "A" * 22 + "." + "0" * 32, token[:-1] + ("0" if token[-1] != "0" else "1")):
        client.cookies.clear()
        headers = {"cookie": f"visit={cookie}"} if cookie else {}
        response = await client.post(walker.path, data=form, headers=headers)
        assert response.status_code == 403 and "allow cookies" in response.text
    assert await count(session, Rating) == 0


async def test_a_visit_to_one_study_is_none_to_another(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await make_study(session)
    await make_study(session, slug="second", questions=12)
    walker = Walker(client)
    await walker.open()
    await walker.until("trials")
    headers = {"cookie": f"visit={client.cookies['visit']}"}
    response = await client.post("/s/second", data=walker.form(), headers=headers)
    assert response.status_code == 403
    assert await count(session, Rating) == 0


async def test_a_form_sent_from_another_site_is_refused(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await make_study(session)
    walker = Walker(client)
    await walker.open()
    response = await client.post(walker.path, data=walker.form(), headers={"origin": "https://elsewhere.example"})
    assert response.status_code == 403
    assert await count(session, Participant) == 0


async def test_nobody_can_make_themselves_a_bot(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await make_study(session)
    walker = Walker(client)
    await walker.open(PROLIFIC_PID="simulated-1", is_bot="true", bot="1")
    await walker.step()
    assert (await session.scalars(select(Participant.is_bot))).all() == [False]
