"""The server tells whether it and its database are well."""

from __future__ import annotations

import httpx
import pytest


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/"])
async def test_a_healthy_server_answers(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]


async def test_an_unknown_address_gets_a_plain_page(client: httpx.AsyncClient) -> None:
    response = await client.get("/nothing-here")
    assert response.status_code == 404
    assert "Check the link" in response.text


async def test_a_post_from_another_site_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/", headers={"Origin": "https://elsewhere.example"})
    assert response.status_code == 403
