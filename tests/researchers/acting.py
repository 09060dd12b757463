"""Acts as a researcher over HTTP, for tests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import AsyncSession

from app.researchers.service import add_researcher

PASSWORD = "a long enough password"


def token_in(html: str) -> str:
    """The form token of a page."""
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', html)
    assert found, "the page has no form with a token"
    return found.group(1)


async def log_in(client: httpx.AsyncClient, email: str, password: str = PASSWORD, wanted: str = "") -> httpx.Response:
    """Load the log-in page, fill it in, send it; redirects are not followed after that."""
    page = await client.get("/admin/login", params={"next": wanted} if wanted else {}, follow_redirects=True)
    fields = {"email": email, "password": password, "next": wanted, "form_token": token_in(page.text)}
    return await client.post("/admin/login", data=fields)


async def enter(client: httpx.AsyncClient, session: AsyncSession, role: str = "owner") -> str:
    """Add a researcher with this role and log in; the e-mail."""
    email = f"{role}@example.org"
    await add_researcher(session, email, PASSWORD, role)
    await session.commit()
    response = await log_in(client, email)
    assert response.status_code == 303, response.text
    return email


async def post(client: httpx.AsyncClient, address: str, page: str = "/admin/account", **fields: str) -> httpx.Response:
    """Post a form with the token of `page` (any page of this session has the same)."""
    token = token_in((await client.get(page)).text)
    return await client.post(address, data=fields | {"form_token": token})


def admin_routes(app: FastAPI, method: str) -> list[str]:
    """Every researchers' address but the log-in's, with 1 in the parameters' places."""

    def walk(routes: Iterable[Any]) -> Iterable[str]:
        for route in routes:
            if isinstance(route, APIRoute):
                if method in route.methods and route.path.startswith("/admin") and route.path != "/admin/login":
                    yield re.sub(r"{\w+}", "1", route.path)
            else:  # a router that was included, in newer FastAPI as an object of its own
                yield from walk(getattr(getattr(route, "original_router", route), "routes", None) or [])

    found = sorted(walk(app.routes))
    assert len(found) > 4, "the walk finds no routes"
    return found
