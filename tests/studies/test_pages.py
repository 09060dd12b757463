"""Researchers' pages of studies."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.participation.models import Participant
from app.researchers.models import AuditEvent
from app.studies.models import Stimulus, Study
from app.studies.service import get_study
from tests.factories import make_study, study_definition
from tests.participation.walking import Walker
from tests.reports.rating import rate
from tests.researchers.acting import enter, post
from tests.studies.stocking import stock

EXAMPLE = (Path(__file__).resolve().parents[2] / "examples" / "study.yaml").read_text(encoding="utf-8")
ROOM = "/admin/studies/demo"


def definition(**changes: object) -> str:
    return yaml.safe_dump(study_definition(**changes).model_dump(mode="json"))


async def test_a_study_lives_on_its_pages(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await stock(session)
    email = await enter(client, session, "editor")
    made = await post(client, "/admin/studies/new", definition=definition())
    assert (made.status_code, made.headers["location"]) == (303, ROOM)
    assert "A draft: nobody can take part yet." in (await client.get(ROOM)).text
    for action, state in (("launch", "live"), ("pause", "paused"), ("resume", "live"), ("close", "closed")):
        assert f"{ROOM}/do/{action}" in (await client.get(ROOM)).text
        asked = await client.get(f"{ROOM}/do/{action}")
        assert f"{action.capitalize()} this study?" in asked.text
        assert (await post(client, f"{ROOM}/do/{action}")).headers["location"] == ROOM
        assert f'<span class="state {state}">' in (await client.get(ROOM)).text
    refused = await post(client, f"{ROOM}/do/unblind", reason=" ")
    assert refused.status_code == 422 and "needs a reason" in refused.text
    await post(client, f"{ROOM}/do/unblind", reason="collection is complete")
    page = (await client.get(ROOM)).text
    assert "Unblinded on" in page and "collection is complete" in page and "/do/" not in page
    events = (await session.execute(select(AuditEvent.action, AuditEvent.researcher_id).order_by(AuditEvent.id))).all()
    assert [a for a, _ in events] == [f"study.{a}" for a in ("create", "launch", "pause", "resume", "close", "unblind")]
    assert len({who for _, who in events} - {None}) == 1 and page.count(f"<td>{email}</td>") == 6


async def test_a_draft_is_discarded_and_made_anew_and_a_launched_study_is_kept(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    await stock(session)
    await enter(client, session, "editor")
    await post(client, "/admin/studies/new", definition=definition(title="Wrnog"))
    assert f"{ROOM}/do/discard" in (await client.get(ROOM)).text
    assert "Keep the definition’s own text" in (await client.get(f"{ROOM}/do/discard")).text
    assert (await post(client, f"{ROOM}/do/discard")).headers["location"] == "/admin"
    assert (await client.get(ROOM)).status_code == 404 and "Wrnog" not in (await client.get("/admin")).text
    assert await session.scalar(select(func.count()).select_from(Stimulus)) == 0
    await post(client, "/admin/studies/new", definition=definition(title="Right"))
    await post(client, f"{ROOM}/do/launch")
    assert "/do/discard" not in (await client.get(ROOM)).text
    refused = await post(client, f"{ROOM}/do/discard")
    assert refused.status_code == 409 and "only a draft can be discarded" in refused.text
    actions = (await session.scalars(select(AuditEvent.action).order_by(AuditEvent.id))).all()
    assert [a.removeprefix("study.") for a in actions] == ["create", "discard", "create", "launch"]


async def test_a_definition_that_needs_mending_comes_back_as_it_was(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    await enter(client, session)
    text = definition().replace("title:", "titel:") + "# <b>mine</b>\n"
    page = await post(client, "/admin/studies/new", definition=text)
    assert page.status_code == 422
    assert "did you mean title?" in page.text and "Nothing was stored." in page.text
    assert "# &lt;b&gt;mine&lt;/b&gt;" in page.text
    assert await session.scalar(select(Study.id)) is None


async def test_the_form_begins_with_the_example(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await enter(client, session)
    page = (await client.get("/admin/studies/new")).text
    assert EXAMPLE.splitlines()[0] in page and "trials_per_condition: 3" in page


async def test_a_file_can_be_sent_instead_of_pasted_text(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await stock(session)
    await enter(client, session)
    token = re.search(r'name="form_token" value="(\w+)"', (await client.get("/admin/studies/new")).text)
    assert token
    for content, status in ((definition().encode("utf-8-sig"), 303), (b"\xff\xfe", 422), (b"slug: x", 422)):
        response = await client.post(
            "/admin/studies/new",
            data={"form_token": token[1], "definition": "whatever"},
            files={"file": ("study.yaml", content, "application/yaml")},
        )
        assert response.status_code == status, response.text
    assert "study.yaml, line 1: title: this is missing" in response.text


async def test_a_step_that_is_not_possible_now_says_what_is(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await make_study(session, state="closed")
    await enter(client, session)
    refused = await post(client, f"{ROOM}/do/launch")
    assert refused.status_code == 409 and "is closed; launch is not possible now" in refused.text
    assert (await post(client, f"{ROOM}/do/explode")).status_code == 404


@pytest.mark.parametrize("path", ["", "/live", "/results", "/participants", "/stimuli", "/definition", "/do/launch"])
async def test_an_unknown_study_is_a_plain_404(client: httpx.AsyncClient, session: AsyncSession, path: str) -> None:
    await enter(client, session)
    for slug in ("nowhere", "%00", "a%20b", "%F0%9F%98%80"):
        page = await client.get(f"/admin/studies/{slug}{path}")
        assert page.status_code == 404 and "There is no study" in page.text


async def test_an_unknown_file_is_told(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await make_study(session)
    await enter(client, session)
    page = await client.get(f"{ROOM}/export/secrets.csv")
    assert page.status_code == 404 and "ratings.csv" in page.text


async def test_the_page_follows_a_participant_who_comes_and_finishes(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    await make_study(session, design={"trials_per_condition": 3, "target_participants": 20})
    await enter(client, session)
    assert "Nobody has come yet." in (await client.get(f"{ROOM}/live")).text
    link = re.search(r'href="(http[^"]+PROLIFIC_PID=TEST-\w+)"', (await client.get(ROOM)).text)
    assert link
    walker = Walker(client)
    await walker.open(PROLIFIC_PID=urlsplit(link[1]).query.partition("=")[2])
    await walker.until("trials")
    await walker.step()
    live = tiles((await client.get(f"{ROOM}/live")).text)
    assert live == {"Entered": "1", "Under way": "1", "Finished": "0 of 20", "Declined": "0", "Ratings": "5"}
    await walker.until(None)
    live = (await client.get(f"{ROOM}/live")).text
    assert tiles(live)["Finished"] == "1 of 20" and tiles(live)["Ratings"] == "60"
    assert "12 of 12" in live
    people = (await client.get(f"{ROOM}/participants")).text
    assert "TEST-" in people and "DONE-1234" in people and "completed" in people


def tiles(html: str) -> dict[str, str]:
    found = re.findall(r"<div><dt>([^<]+)</dt><dd>(.*?)</dd></div>", html)
    return {name: re.sub("<[^>]+>", "", value).strip() for name, value in found}


async def test_the_first_comparison_is_shown_when_there_is_something_to_compare(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    await make_study(session)
    study = await get_study(session, "demo")
    await enter(client, session)
    assert "There is nothing to compare yet" in (await client.get(f"{ROOM}/results")).text
    await rate(session, study, 6)
    page = (await client.get(f"{ROOM}/results")).text
    assert "A first look, not the analysis" in page and "blindrate analyze demo --out report" in page
    assert "6 participants, 72 rated explanations." in page and "<svg" in page
    assert page.count('scope="rowgroup"') == 6 and all(c.name in page for c in study.constructs)
    await session.execute(update(Participant).where(Participant.external_id == "person-0-0").values(excluded=True))
    await session.commit()
    assert "5 participants, 60 rated explanations." in (await client.get(f"{ROOM}/results")).text


async def test_no_style_stands_in_a_page_where_the_security_policy_would_drop_it(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    await make_study(session)
    await rate(session, await get_study(session, "demo"), 4)
    await enter(client, session)
    for path in ("", "/results", "/stimuli", "/definition", "/participants"):
        page = (await client.get(ROOM + path)).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src)", page), path


async def test_a_download_is_a_file_and_on_record(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await make_study(session)
    await rate(session, await get_study(session, "demo"), 2)
    await enter(client, session)
    for kind, lines in (("ratings", 121), ("trials", 25), ("participants", 3)):
        response = await client.get(f"{ROOM}/export/{kind}.csv")
        assert response.headers["content-type"] == "text/csv; charset=utf-8"
        assert response.headers["content-disposition"] == f'attachment; filename="demo-{kind}.csv"'
        assert len(response.text.splitlines()) == lines
    page = (await client.get(ROOM)).text
    assert all(f"export: {kind}.csv" in page for kind in ("ratings", "trials", "participants"))


async def test_texts_of_others_are_shown_as_text(client: httpx.AsyncClient, session: AsyncSession) -> None:
    evil = "<script>alert(1)</script>"
    await make_study(session, title=f"Title {evil}")
    study = await get_study(session, "demo")
    await rate(session, study, 2)
    await session.execute(update(Participant).values(external_id=Participant.external_id + evil))
    await session.commit()
    await enter(client, session)
    for path in ("/admin", ROOM, f"{ROOM}/participants", f"{ROOM}/results", f"{ROOM}/do/pause"):
        page = (await client.get(path)).text
        assert "alert(1)" in page and evil not in page


async def test_a_viewer_sees_everything_and_no_button(client: httpx.AsyncClient, session: AsyncSession) -> None:
    await make_study(session)
    await enter(client, session, "viewer")
    for path in ("", "/results", "/participants", "/stimuli", "/definition"):
        page = await client.get(ROOM + path)
        assert page.status_code == 200 and "/do/" not in page.text
    assert "/admin/studies/new" not in (await client.get("/admin")).text
    for path in ("/admin/studies/new", f"{ROOM}/do/close"):
        assert (await client.get(path)).status_code == 403
