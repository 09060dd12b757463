"""Nothing that a participant gets tells which condition, method, model or run an explanation came from."""

from __future__ import annotations

import re
from html import escape
from urllib.parse import urljoin

import httpx
import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.explanations.models import Explanation, ExplanationSet
from app.participation.models import Participant, Trial
from app.runs.models import Run
from app.studies.models import Condition, Stimulus, Study
from tests.factories import make_study
from tests.participation.walking import Walker

FIRST_ID = 731_000_001  # row ids that can be told from any other number on a page


@pytest.fixture
async def study(session: AsyncSession) -> Study:
    """A launched study whose explanations come from a published run, and whose ids and codes are unmistakable."""
    for number, table in enumerate(
        ("explanations", "stimuli", "conditions", "trials", "participants", "runs", "studies")
    ):
        await session.execute(text(f"alter table {table} alter column id restart with {FIRST_ID + number * 1_000_000}"))
    study = await make_study(session)
    run = Run(
        name="run-20260101-tiny-seed3",
        fingerprint="f1d2" * 16,
        objective="multitask_counterfactual",
        generation_method="critique_revision",
        model="SmolLM2-135M-Instruct",
        seed=3,
        metrics={},
        provenance={"code_version": "0.1.0+abcdef1", "model_sha256": "ab12" * 16},
    )
    session.add(run)
    await session.flush()
    origin = (await session.scalars(select(ExplanationSet))).one()
    origin.source, origin.run_id, origin.name = "run", run.id, "set-of-the-tiny-run"
    for number, condition in enumerate(await session.scalars(select(Condition))):
        condition.code = f"ZQ{number}"
    await session.commit()
    return study


async def secrets_of(session: AsyncSession) -> set[str]:
    """Every name, code, hash and id in the database that could tell a condition, in the forms in which it could appear."""
    words: set[str] = set()
    for condition in await session.scalars(select(Condition)):
        words |= {condition.name, condition.code, str(condition.id), *re.split(r"[/_]", condition.name)}
    for explanation in await session.scalars(select(Explanation)):
        words |= {str(explanation.id), explanation.method, str(explanation.model)}
        words |= {str(explanation.objective), str(explanation.generation_method)}
    words |= {str(i) for i in await session.scalars(select(Stimulus.id))}
    words |= {str(i) for i in await session.scalars(select(Trial.id))}
    words |= {str(i) for i in await session.scalars(select(Participant.id))}
    for run in await session.scalars(select(Run)):
        words |= {str(run.id), run.name, run.fingerprint, run.model, *run.provenance.values()}
    words |= set(await session.scalars(select(ExplanationSet.name)))
    # Pieces that are ordinary words of the studied texts ("few", "shot") would be found by chance.
    return {w.lower() for w in words if len(w) >= 8 or w.startswith("ZQ")}


class Recorder:
    """Keeps all that came back: address, status line, headers with cookies, body."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.seen: list[tuple[str, str]] = []
        self.links: set[str] = set()
        client.event_hooks["response"].append(self.keep)

    async def keep(self, response: httpx.Response) -> None:
        await response.aread()
        headers = "\n".join(f"{k}: {v}" for k, v in response.headers.multi_items())
        place = f"{response.request.method} {response.url} {response.status_code}"
        self.seen.append((place, f"{place}\n{headers}\n{response.text}"))
        self.links |= {
            urljoin(str(response.url), x) for x in re.findall(r'(?:href|src|action)="([^"#]+)"', response.text)
        }

    def leaks(self, secrets: set[str]) -> list[str]:
        """Where a secret appears, in any case, also percent-encoded or escaped."""
        found = []
        for place, content in self.seen:
            lower = content.lower()
            found += [
                f"{place}: {s}" for s in secrets if s in lower or s.replace("/", "%2f") in lower or escape(s) in lower
            ]
        return found


async def test_no_response_of_the_whole_way_and_of_its_errors_holds_a_secret(
    client: httpx.AsyncClient, study: Study, session: AsyncSession
) -> None:
    recorder = Recorder(client)
    walker = Walker(client)
    await walker.open(PROLIFIC_PID="person-1", STUDY_ID="st", SESSION_ID="se")
    await walker.send(walker.form({}))  # not ticked
    while (step := walker.page.step) is not None:
        form = walker.form()
        await client.head(walker.path)
        if step in ("comprehension", "practice", "trials", "background"):
            await walker.send(walker.page.hidden)  # incomplete
        if step == "trials":
            for bad in ({"rating-plausibility": "9"}, {"rating-x": "1"}, {"part": "x"}, {"form": "x"}, {"step": "x"}):
                await client.post(walker.path, data=form | bad)
            await client.put(walker.path)
            await client.post(walker.path, content=b"\xff\xfe", headers={"content-type": "text/plain"})
            await client.post(walker.path, data=form, headers={"origin": "https://elsewhere.example"})
        await walker.open()
        await walker.step()
        await client.post(walker.path, data=form)  # sent again
    assert walker.page.completion_code == "DONE-1234"
    for address in (
        "/",
        "/s/",
        "/s/nowhere",
        "/s/demo/x",
        "/static/",
        "/static/none",
        "/healthz",
        "/readyz",
        "/api/docs",
    ):
        await client.get(address)
    for state in ("draft", "paused", "closed"):
        await session.execute(text("update studies set state = :state"), {"state": state})
        await session.commit()
        client.cookies.clear()
        await walker.open(PROLIFIC_PID="somebody-else")
    for link in sorted(recorder.links):
        if link.startswith("http://testserver/") and "/s/" not in link:
            await client.get(link)

    secrets = await secrets_of(session)
    assert {"multitask_counterfactual", "critique_revision", "smollm2-135m-instruct", "zq0", str(FIRST_ID)} <= secrets
    places = " ".join(place for place, _ in recorder.seen)
    assert all(f" {status}" in places for status in (200, 303, 400, 403, 404, 405, 422))
    assert "blindrate.css" in places and "htmx.min.js" in places
    assert recorder.leaks(secrets) == []


async def test_the_crawl_finds_a_secret_when_there_is_one(
    client: httpx.AsyncClient, study: Study, session: AsyncSession
) -> None:
    name = study.conditions[0].name
    await session.execute(
        text("update studies set definition = jsonb_set(definition, '{texts,contact}', to_jsonb(cast(:n as text)))"),
        {"n": name.upper()},
    )
    await session.commit()
    recorder = Recorder(client)
    await Walker(client).open()
    assert recorder.leaks(await secrets_of(session))


async def test_pages_of_all_conditions_are_alike_but_for_the_texts_that_are_judged(
    client: httpx.AsyncClient, study: Study, session: AsyncSession
) -> None:
    walker = Walker(client)
    await walker.open()
    await walker.until("trials")
    shapes, tokens = set(), set()
    while walker.page.step == "trials":
        hidden = walker.page.hidden
        tokens.add((len(hidden["part"]), len(hidden["form"])))
        shape = walker.html.replace(hidden["part"], "PART").replace(hidden["form"], "FORM")
        shape = re.sub(r'<p class="question">.*?</p>', "", shape)
        shape = re.sub(r'<ul class="choices">.*?</ul>', "", shape, flags=re.S)
        shape = re.sub(r'<p class="answer">.*?</p>|<blockquote.*?</blockquote>', "", shape, flags=re.S)
        shape = re.sub(r"Explanation \d+ of|value=\"\d+\" aria-label|>\d+ of 12 rated", "", shape)
        shapes.add(shape)
        await walker.step()
    conditions = (
        await session.scalars(select(Stimulus.condition_id).join(Trial, Trial.stimulus_id == Stimulus.id).distinct())
    ).all()
    assert len(conditions) == 4
    assert len(shapes) == 1 and len(tokens) == 1
