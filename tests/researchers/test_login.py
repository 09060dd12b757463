"""Logging in, staying in, and what keeps others out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.main import create_app
from app.researchers import service
from app.researchers.models import LoginAttempt, ResearcherSession
from app.researchers.pages import safe_target
from app.settings import Settings
from tests.researchers.acting import PASSWORD, admin_routes, enter, log_in, post, token_in

EMAIL = "ada@example.org"


@pytest.fixture
async def ada(session: AsyncSession) -> str:
    await service.add_researcher(session, EMAIL, PASSWORD, "owner")
    await session.commit()
    return EMAIL


async def test_a_researcher_logs_in_and_out(client: httpx.AsyncClient, ada: str) -> None:
    response = await log_in(client, "Ada@Example.org")
    assert (response.status_code, response.headers["location"]) == (303, "/admin")
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie
    page = await client.get("/admin")
    assert page.status_code == 200 and EMAIL in page.text
    await client.post("/admin/logout", data={"form_token": token_in(page.text)})
    assert (await client.get("/admin")).headers["location"].startswith("/admin/login")


async def test_logging_out_ends_the_session_on_the_server_too(client: httpx.AsyncClient, ada: str) -> None:
    await log_in(client, ada)
    stolen = client.cookies["blindrate_session"]
    await post(client, "/admin/logout")
    client.cookies.set("blindrate_session", stolen, path="/admin")
    assert (await client.get("/admin")).status_code == 303


async def test_the_table_holds_no_key_that_a_cookie_could_carry(
    client: httpx.AsyncClient, session: AsyncSession, ada: str
) -> None:
    await log_in(client, ada)
    stored = await session.scalar(select(ResearcherSession.key_sha256))
    assert stored and stored != client.cookies["blindrate_session"] and len(stored) == 64


async def test_logging_in_gives_a_new_key_whatever_cookie_came(client: httpx.AsyncClient, ada: str) -> None:
    client.cookies.set("blindrate_session", "planted", path="/admin")
    response = await log_in(client, ada)
    assert re.search(r"blindrate_session=([\w-]{43});", response.headers["set-cookie"])


async def test_a_wrong_password_and_an_unknown_email_are_told_alike(client: httpx.AsyncClient, ada: str) -> None:
    for email, password in ((EMAIL, "wrong password"), ("nobody@example.org", PASSWORD), ("", "")):
        response = await log_in(client, email, password)
        assert response.status_code == 422
        assert "The e-mail or the password is not right." in response.text
        assert "blindrate_session" not in client.cookies


async def test_an_unknown_email_costs_a_verification_too(session: AsyncSession) -> None:
    # the cost lies in verifying a hash of the same parameters, so that is what must be there, for anybody
    assert service._nobody().split("$")[1:4] == service.hasher.hash("x").split("$")[1:4]
    assert await service.authenticate(session, "nobody@example.org", "x") is None


async def test_nothing_odd_in_the_form_breaks_the_page(client: httpx.AsyncClient, ada: str) -> None:
    for email in ("\x00", "a\x00@example.org", "x" * 100_000, "%", "'; drop table researchers; --"):
        assert (await log_in(client, email, "\x00")).status_code == 422


async def test_nobody_sees_a_page_without_logging_in(app: FastAPI, client: httpx.AsyncClient) -> None:
    for path in admin_routes(app, "GET"):
        response = await client.get(path)
        assert (response.status_code, response.headers["location"]) == (303, f"/admin/login?next={path}")


async def test_nobody_changes_anything_without_a_token_or_session(
    app: FastAPI, client: httpx.AsyncClient, session: AsyncSession
) -> None:
    for path in admin_routes(app, "POST"):
        assert (await client.post(path)).status_code in (303, 403), path
    await enter(client, session)
    for path in admin_routes(app, "POST"):
        assert (await client.post(path)).status_code == 403, path


async def test_a_viewer_may_change_nothing(app: FastAPI, client: httpx.AsyncClient, session: AsyncSession) -> None:
    await enter(client, session, "viewer")
    token = token_in((await client.get("/admin")).text)
    of_their_own = ("/admin/logout", "/admin/account")
    for path in (path for path in admin_routes(app, "POST") if not path.startswith(of_their_own)):
        response = await client.post(path, data={"form_token": token})
        assert response.status_code == 403 and "change nothing" in response.text, path


async def test_one_lands_where_one_wanted(client: httpx.AsyncClient, ada: str) -> None:
    response = await log_in(client, ada, wanted="/admin/studies/new?x=1")
    assert response.headers["location"] == "/admin/studies/new?x=1"


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/admin//evil.example/..", "javascript:alert(1)", "/s/x",
     "/admin\\evil", "/admin/\r\nSet-Cookie: x=y", "/administrator"],
)  # fmt: skip
def test_nobody_is_sent_to_another_site(wanted: str) -> None:
    assert safe_target(wanted) == "/admin"


async def test_a_form_without_its_token_is_refused(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await enter(client, session)
    for token in ("", "0" * 64, "ä"):
        response = await client.post("/admin/logout", data={"form_token": token})
        assert response.status_code == 403
    assert (await client.get("/admin")).status_code == 200


async def test_a_post_from_another_site_is_refused_even_with_the_token(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    await enter(client, session)
    token = token_in((await client.get("/admin")).text)
    response = await client.post(
        "/admin/logout", data={"form_token": token}, headers={"Origin": "https://evil.example"}
    )
    assert response.status_code == 403


async def test_the_token_of_one_session_is_worth_nothing_in_another(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    await enter(client, session, "owner")
    token = token_in((await client.get("/admin")).text)
    await post(client, "/admin/logout")
    await enter(client, session, "editor")
    assert (await client.post("/admin/logout", data={"form_token": token})).status_code == 403


@pytest.fixture
async def strict(settings: Settings) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Clients of two server processes' applications on one database, which allow three failures."""
    apps: list[FastAPI] = [create_app(settings.model_copy(update={"login_attempts": 3})) for _ in range(2)]
    clients = []
    async with apps[0].router.lifespan_context(apps[0]), apps[1].router.lifespan_context(apps[1]):
        for app in apps:
            clients.append(httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://testserver"))
        yield clients
        for client in clients:
            await client.aclose()


async def test_failed_logins_are_limited_over_all_processes(
    strict: list[httpx.AsyncClient], session: AsyncSession, ada: str
) -> None:
    for i in range(3):
        assert (await log_in(strict[i % 2], ada, "wrong password")).status_code == 422
    refused = await log_in(
        strict[1], ada
    )  # even with the right password: who guesses must not learn that they were right
    assert refused.status_code == 429
    assert "15 minutes" in refused.text and refused.headers["retry-after"] == "900"
    assert (await log_in(strict[1], "other@example.org", "wrong password")).status_code == 422
    await session.execute(update(LoginAttempt).values(at=datetime.now(UTC) - timedelta(minutes=16)))
    await session.commit()
    assert (await log_in(strict[0], ada)).status_code == 303


async def test_failures_at_the_same_moment_are_counted_one_by_one(
    strict: list[httpx.AsyncClient], session: AsyncSession, ada: str
) -> None:
    tokens = {}
    for client in strict:
        page = await client.get("/admin/login", follow_redirects=True)
        tokens[client] = token_in(page.text)
    responses = await asyncio.gather(
        *(
            client.post("/admin/login", data={"email": ada, "password": f"guess {i}", "form_token": tokens[client]})
            for i in range(6)
            for client in strict
        )
    )
    assert sorted(r.status_code for r in responses) == [422] * 3 + [429] * 9


async def test_a_login_clears_the_failures_before_it(strict: list[httpx.AsyncClient], ada: str) -> None:
    for _ in range(2):
        for _ in range(2):
            assert (await log_in(strict[0], ada, "wrong password")).status_code == 422
        assert (await log_in(strict[0], ada)).status_code == 303


async def test_a_session_ends_when_it_is_not_used(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await enter(client, session)
    await session.execute(update(ResearcherSession).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    await session.commit()
    assert (await client.get("/admin")).status_code == 303


async def test_use_moves_the_end_of_a_session(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await enter(client, session)
    soon = datetime.now(UTC) + timedelta(minutes=5)
    await session.execute(
        update(ResearcherSession).values(expires_at=soon, last_seen_at=datetime.now(UTC) - timedelta(minutes=2))
    )
    await session.commit()
    polled = await client.get("/admin", headers={"HX-Request": "true"})  # a page that refreshes itself is not a use
    assert polled.status_code == 200 and await session.scalar(select(ResearcherSession.expires_at)) == soon
    assert (await client.get("/admin")).status_code == 200
    session.expire_all()
    assert (await session.scalar(select(ResearcherSession.expires_at)) or soon) > soon + timedelta(hours=11)


async def test_a_locked_account_is_out_at_once(client: httpx.AsyncClient, session: AsyncSession) -> None:
    email = await enter(client, session)
    await service.deactivate(session, email)
    await session.commit()
    assert (await client.get("/admin")).status_code == 303
    assert (await log_in(client, email)).status_code == 422


async def test_a_new_password_ends_every_session(client: httpx.AsyncClient, session: AsyncSession) -> None:
    email = await enter(client, session)
    refused = await post(client, "/admin/account", old="not the password", new="another long password")
    assert refused.status_code == 422 and "present password" in refused.text
    short = await post(client, "/admin/account", old=PASSWORD, new="short")
    assert short.status_code == 422 and "at least 10 characters" in short.text
    assert (await post(client, "/admin/account", old=PASSWORD, new="another long password")).status_code == 303
    assert (await client.get("/admin")).status_code == 303
    assert (await log_in(client, email)).status_code == 422
    assert (await log_in(client, email, "another long password")).status_code == 303


async def test_cookies_are_for_https_alone_where_the_address_is(settings: Settings, ada: str) -> None:
    app = create_app(settings.model_copy(update={"base_url": "https://study.example.org"}))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="https://study.example.org") as client,
    ):
        response = await log_in(client, ada)
        assert "; secure" in response.headers["set-cookie"].lower()


async def test_a_poll_of_a_live_page_after_the_session_ended_leads_to_the_login(client: httpx.AsyncClient) -> None:
    response = await client.get("/admin/studies/demo/live", headers={"HX-Request": "true"})
    assert response.headers["hx-redirect"].startswith("/admin/login")
