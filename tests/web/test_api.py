"""The API: who may ask, what it tells, and that nothing sent to it breaks it."""

from __future__ import annotations

import asyncio
import csv
import io

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.database.session import make_engine, make_sessions
from app.researchers.models import ApiToken, AuditEvent, Researcher
from app.researchers.service import add_researcher
from app.researchers.tokens import make_token
from app.studies.models import Study
from app.studies.service import get_study
from tests.blinding.test_researcher_crawl import secrets_of
from tests.factories import CONDITIONS, make_study, study_definition
from tests.reports.rating import rate
from tests.researchers.acting import PASSWORD, enter, post
from tests.studies.stocking import stock

STUDIES = "/api/v1/studies"


async def token(session: AsyncSession, role: str = "editor") -> dict[str, str]:
    """Headers of a new researcher with this role."""
    key = await make_token(session, await add_researcher(session, f"{role}@scripts.org", PASSWORD, role), "a test")
    await session.commit()
    return {"Authorization": f"Bearer {key}"}


def operations(app: FastAPI) -> list[tuple[str, str]]:
    """Every operation of the API, with an address that fits its pattern."""
    values = {"{slug}": "demo", "{number}": "1", "{name}": "ratings"}
    found = []
    for path, methods in app.openapi()["paths"].items():
        for pattern, value in values.items():
            path = path.replace(pattern, value)
        found += [(method.upper(), path) for method in methods]
    return found


async def test_a_study_lives_through_the_api(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await stock(session)
    client.headers.update(await token(session))
    definition = study_definition().model_dump(mode="json")
    made = await client.post(STUDIES, json=definition)
    assert made.status_code == 201 and made.json()["conditions"] == list("ABCD") and made.json()["state"] == "draft"
    assert (await client.delete(f"{STUDIES}/demo")).status_code == 204
    assert (await client.get(f"{STUDIES}/demo")).status_code == 404
    await client.post(STUDIES, json=definition)
    assert (await client.post(f"{STUDIES}/demo/steps", json={"action": "launch"})).json()["state"] == "live"
    assert [s["slug"] for s in (await client.get(STUDIES)).json()] == ["demo"]
    await rate(session, await get_study(session, "demo"), 3)
    excluded = {"excluded": True, "reason": "late"}
    assert (await client.put(f"{STUDIES}/demo/participants/2/exclusion", json=excluded)).json() == excluded
    progress = (await client.get(f"{STUDIES}/demo")).json()["progress"]
    assert (progress["finished"], progress["excluded"], progress["trials"], progress["ratings"]) == (3, 1, 36, 180)
    file = await client.get(f"{STUDIES}/demo/files/ratings.csv")
    rows = list(csv.DictReader(io.StringIO(file.text)))
    assert len(rows) == 180 and {row["condition"] for row in rows} == set("ABCD")
    refused = await client.post(f"{STUDIES}/demo/steps", json={"action": "unblind", "reason": "done"})
    assert refused.status_code == 409 and "close it before you unblind it" in refused.json()["error"]
    await client.post(f"{STUDIES}/demo/steps", json={"action": "close"})
    named = await client.post(f"{STUDIES}/demo/steps", json={"action": "unblind", "reason": "done"})
    assert named.json()["conditions"] == sorted(CONDITIONS[:4])
    actions = (await session.scalars(select(AuditEvent.action).order_by(AuditEvent.id))).all()
    assert [a.partition(".")[2] for a in actions] == [
        "make", "create", "discard", "create", "launch", "exclude", "export", "close", "unblind",
    ]  # fmt: skip


async def test_a_bad_definition_is_told_line_by_line(client: httpx.AsyncClient, session: AsyncSession) -> None:
    client.headers.update(await token(session))
    answer = await client.post(STUDIES, json={"slug": "x", "titel": "T"})
    assert answer.status_code == 422
    lines = answer.json()["error"].splitlines()
    assert any(line.startswith("titel: ") and "did you mean title?" in line for line in lines) and len(lines) > 3
    assert (await client.post(STUDIES, content=b"{")).status_code == 422


async def test_nothing_is_told_or_done_without_a_token(
    app: FastAPI, client: httpx.AsyncClient, session: AsyncSession
) -> None:
    await make_study(session)
    await enter(client, session)  # a log-in in the browser is no token
    for headers in ({}, {"Authorization": "Bearer blindrate_no"}, {"Authorization": "Basic eDp5"}):
        for method, path in operations(app):
            answer = await client.request(method, path, headers=headers, json={})
            assert (answer.status_code, answer.headers.get("WWW-Authenticate")) == (401, "Bearer"), (method, path)
            assert "Authorization: Bearer TOKEN" in answer.json()["error"]
    assert await session.scalar(select(Study.state)) == "live"


async def test_a_viewers_token_changes_nothing(app: FastAPI, client: httpx.AsyncClient, session: AsyncSession) -> None:
    await make_study(session)
    client.headers.update(await token(session, "viewer"))
    bodies = {"steps": {"action": "pause"}, "exclusion": {"excluded": True, "reason": "x"}}
    for method, path in operations(app):
        answer = await client.request(method, path, json=bodies.get(path.rpartition("/")[2], {}))
        assert answer.status_code == (200 if method == "GET" else 403), (method, path)


async def test_a_token_ends_with_its_account_or_when_it_is_ended(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    email = await enter(client, session)
    shown = (await post(client, "/admin/account/tokens", name="nightly export")).text
    key = shown.partition("blindrate_")[2].partition("<")[0]
    headers = {"Authorization": f"Bearer blindrate_{key}"}
    page = (await client.get("/admin/account")).text
    assert "nightly export" in page and key not in page
    assert await session.scalar(select(func.count()).where(ApiToken.key_sha256.contains(key))) == 0
    assert (await client.get(STUDIES, headers=headers)).status_code == 200
    session.expire_all()
    assert await session.scalar(select(ApiToken.last_used_at)) is not None
    for active, status in ((False, 401), (True, 200)):
        await session.execute(update(Researcher).where(Researcher.email == email).values(active=active))
        await session.commit()
        assert (await client.get(STUDIES, headers=headers)).status_code == status
    number = await session.scalar(select(ApiToken.id))
    assert (await post(client, f"/admin/account/tokens/{number}/end")).status_code == 303
    assert (await client.get(STUDIES, headers=headers)).status_code == 401
    assert (await post(client, f"/admin/account/tokens/{number}/end")).status_code == 404
    assert (await post(client, "/admin/account/tokens", name=" ")).status_code == 422


async def test_nobody_ends_the_token_of_somebody_else(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await token(session)
    await enter(client, session)
    number = await session.scalar(select(ApiToken.id))
    assert (await post(client, f"/admin/account/tokens/{number}/end")).status_code == 404
    assert await session.scalar(select(func.count()).select_from(ApiToken)) == 1


async def test_while_a_study_is_blinded_the_api_tells_no_condition(
    app: FastAPI, client: httpx.AsyncClient, session: AsyncSession
) -> None:
    await make_study(session)
    await rate(session, await get_study(session, "demo"), 3)
    client.headers.update(await token(session))
    words = await secrets_of(session)
    for path in (STUDIES, f"{STUDIES}/demo", *(f"{STUDIES}/demo/files/{k}.csv" for k in ("ratings", "trials"))):
        answer = await client.get(path)
        told = answer.text.casefold() + str(answer.headers).casefold()
        assert answer.status_code == 200 and not [word for word in words if word.casefold() in told], path


async def test_the_page_of_the_api_names_every_operation_and_needs_no_account(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    page = await client.get("/api/docs")
    assert page.status_code == 200 and "<script" not in page.text
    for path, methods in app.openapi()["paths"].items():
        assert all(f"<strong>{method.upper()}</strong> {path}<" in page.text for method in methods)


@pytest.mark.slow
def test_whatever_is_sent_is_answered_as_the_document_describes(database: str, server: str) -> None:
    async def prepare() -> dict[str, str]:
        engine = make_engine(database)
        async with make_sessions(engine)() as session:
            await make_study(session)
            await rate(session, await get_study(session, "demo"), 2)
            headers = await token(session)
        await engine.dispose()
        return headers

    headers = asyncio.run(prepare())
    schema = schemathesis.openapi.from_url(f"{server}/api/openapi.json")
    tried = []
    for result in schema.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def answers_as_described(case: schemathesis.Case) -> None:
            # a definition has rules that no schema tells, such as which sets there are
            case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])

        answers_as_described()
        tried.append(operation.label)
    assert len(tried) == 8
