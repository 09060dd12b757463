"""While a study is blinded, nothing that a researcher gets from its pages tells which condition is which; afterwards everything does."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.explanations.models import Explanation, ExplanationSet
from app.studies.models import Condition, Study
from app.studies.service import get_study
from tests.factories import CONDITIONS, MODEL, make_study
from tests.reports.rating import rate
from tests.researchers.acting import enter

ROOM = "/admin/studies/demo"


async def responses(client: httpx.AsyncClient) -> dict[str, httpx.Response]:
    """Everything that can be reached from the study's page without leaving the study, and the list of studies."""
    waiting, seen = [ROOM, f"{ROOM}/live", "/admin"], {}  # a closed study no longer asks for /live
    while waiting:
        address = waiting.pop()
        if address in seen:
            continue
        seen[address] = response = await client.get(address)
        assert response.status_code == 200, address
        for link in re.findall(r'(?:href|src|action|hx-get)="([^"]+)"', response.text):
            if link.startswith("?"):
                link = address.partition("?")[0] + link.replace("&amp;", "&")
            if link.startswith(ROOM):
                waiting.append(link)
    return seen


def told(seen: dict[str, httpx.Response], words: set[str]) -> list[tuple[str, str]]:
    """Which response tells which word, in body or headers."""
    return [
        (address, word)
        for address, response in seen.items()
        for word in words
        if word.casefold() in (response.text + str(response.headers)).casefold()
    ]


@pytest.fixture
async def study(session: AsyncSession) -> Study:
    await make_study(session, state="closed")
    found = await get_study(session, "demo")
    await rate(session, found, 6)
    await rate(session, found, 3, is_bot=True)
    return found


async def secrets_of(session: AsyncSession) -> set[str]:
    sets = set((await session.scalars(select(ExplanationSet.name))).all())
    return {
        *CONDITIONS[:4],
        "few_shot",
        "critique_revision",
        "multitask",
        "counterfactual",
        MODEL,
        "/admin/explanations/",
    } | sets


async def test_a_blinded_study_tells_no_condition(
    client: httpx.AsyncClient, session: AsyncSession, study: Study
) -> None:
    await enter(client, session)
    seen = await responses(client)
    assert {a.partition("?")[0].removeprefix(ROOM) for a in seen if a.startswith(ROOM)} >= {
        "", "/results", "/participants", "/stimuli", "/definition", "/live", "/do/unblind",
        "/export/ratings.csv", "/export/trials.csv", "/export/participants.csv",
    }  # fmt: skip
    assert "<svg" in seen[f"{ROOM}/results"].text
    # "/admin/explanations" itself is in the navigation: what may not be there is a link from the study to one of them
    assert told(seen, await secrets_of(session)) == []


async def test_a_blinded_study_does_not_even_tell_ids_that_lead_to_a_method(
    client: httpx.AsyncClient, session: AsyncSession, study: Study
) -> None:
    await enter(client, session)
    seen = await responses(client)
    trials = seen[f"{ROOM}/export/trials.csv"].text.splitlines()[1:]
    shown = {row.split(",")[4] for row in trials}
    assert shown and all(re.fullmatch(r"S\d+", name) for name in shown)
    rows = await session.execute(select(Explanation.text, Explanation.method))
    texts = dict(rows.all())
    order = re.findall(r"People keep such things[^<]*Text \w+\.", seen[f"{ROOM}/stimuli"].text)
    methods = [texts[text] for text in order]
    groups = [tuple(methods[i : i + 4]) for i in range(0, len(methods), 4)]
    assert len(groups) == 24 and all(len(set(group)) == 4 for group in groups)


async def test_the_trace_of_an_explanation_tells_no_study(
    client: httpx.AsyncClient, session: AsyncSession, study: Study
) -> None:
    await enter(client, session)
    number = await session.scalar(select(Explanation.id).limit(1))
    page = await client.get(f"/admin/explanations/{number}")
    assert page.status_code == 200 and "few_shot" in page.text + CONDITIONS[1]
    assert "/admin/studies/" not in page.text and study.title not in page.text
    assert not re.search(r"\bS\d+\b|Condition [A-D]\b", page.text)


async def test_after_unblinding_the_study_tells_its_conditions(
    client: httpx.AsyncClient, session: AsyncSession, study: Study
) -> None:
    study.unblinded_at = datetime.now(UTC)
    await session.commit()
    await enter(client, session)
    seen = await responses(client)
    names = set((await session.scalars(select(Condition.name))).all())
    for end in ("", "/results", "/stimuli", "/definition", "/live", "/export/ratings.csv", "/export/trials.csv"):
        page = {end: seen[ROOM + end]}
        assert {word for _, word in told(page, names)} == names, end
    assert re.search(r"/admin/explanations/\d+", seen[f"{ROOM}/stimuli"].text)
