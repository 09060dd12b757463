"""A researcher in a real Chromium on a real server: from log-in to CSV, by keyboard, on a phone."""

from __future__ import annotations

import csv
import uuid
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect
from sqlalchemy import select

from app.explanations.models import Explanation, ExplanationSet
from app.researchers.service import add_researcher
from app.studies.service import get_study
from tests.browser.test_participant import KEYS, Place, check_page, place, press, rate, to_the_trials
from tests.reports.rating import rate as rate_in_database
from tests.researchers.acting import PASSWORD

__all__ = ["place"]  # a fixture
pytestmark = pytest.mark.browser


async def researcher(place: Place, role: str = "owner") -> str:
    """A new account's e-mail."""
    email = f"{uuid.uuid4().hex[:8]}@example.org"
    await add_researcher(place.session, email, PASSWORD, role)
    await place.session.commit()
    return email


def room(place: Place) -> str:
    """The address of the study's page."""
    return place.link.replace("/s/", "/admin/studies/")


async def log_in(page: Page, place: Place, address: str) -> None:
    """Open `address` and log in on the way."""
    await page.goto(address)
    await page.get_by_label("E-mail").fill(await researcher(place))
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page).to_have_url(address)


async def download(page: Page, name: str, folder: Path) -> list[dict[str, str]]:
    """Click a file's link; its rows."""
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name=name).click()
    path = folder / name
    await (await waiting.value).save_as(path)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


async def tile(page: Page, name: str, value: str) -> None:
    """Wait until the page says so by itself."""
    shown = page.locator(".tiles div", has=page.get_by_text(name, exact=True)).locator("dd")
    await expect(shown).to_have_text(value, timeout=15_000)


@pytest.mark.slow
async def test_from_login_to_csv_with_all_sixty_values_as_they_were_clicked(
    place: Place, chromium: Browser, tmp_path: Path
) -> None:
    await place.make(state="draft")
    desk, phone = await chromium.new_context(), await chromium.new_context(viewport={"width": 375, "height": 800})
    page = await desk.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    await log_in(page, place, room(place))
    await page.get_by_role("link", name="Launch").click()
    await page.get_by_role("button", name="Launch").click()
    await tile(page, "Entered", "0")

    visitor = await phone.new_page()
    await to_the_trials(visitor, place)
    await tile(page, "Under way", "1")
    clicked = {}
    for number in range(1, 13):
        values = {key: (number * (i + 1) + 2 * i) % 5 + 1 for i, key in enumerate(KEYS)}
        await rate(visitor, values)
        await press(visitor, "Continue")
        clicked |= {(str(number), key): str(value) for key, value in values.items()}
    await tile(page, "Ratings", "60")
    await visitor.get_by_label("How old are you?").fill("29")
    await visitor.get_by_label("Woman", exact=True).check()
    await press(visitor, "Finish")
    await tile(page, "Finished", "1")

    ratings = await download(page, "ratings.csv", tmp_path)
    assert {(row["position"], row["construct"]): row["value"] for row in ratings} == clicked
    assert len(ratings) == len(clicked) == 60
    trials = await download(page, "trials.csv", tmp_path)
    assert {(row["position"], key): row[key] for row in trials for key in KEYS} == clicked
    assert {(row["age"], row["gender"]) for row in trials} == {("29", "Woman")}
    (person,) = await download(page, "participants.csv", tmp_path)
    assert (person["outcome"], person["external_id"]) == ("completed", "browser-1")
    assert problems == []
    await desk.close()
    await phone.close()


@pytest.mark.slow
async def test_everything_works_without_javascript(place: Place, chromium: Browser, tmp_path: Path) -> None:
    await place.make(state="draft")
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await log_in(page, place, room(place))
    for action, state in (("Launch", "live"), ("Pause", "paused"), ("Resume", "live"), ("Close", "closed")):
        await page.get_by_role("link", name=action).click()
        await page.get_by_role("button", name=action).click()
        await expect(page.locator("h1 .state")).to_have_text(state)
    assert await download(page, "ratings.csv", tmp_path) == []
    await page.get_by_role("link", name="Unblind").click()
    await page.get_by_label("Reason").fill("the collection is complete")
    await page.get_by_role("button", name="Unblind").click()
    await expect(page.get_by_text("the collection is complete")).to_be_visible()
    await page.get_by_role("button", name="Log out").click()
    await page.goto(room(place))
    await expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    await context.close()


async def keys(page: Page, *names: str) -> None:
    for name in names:
        await page.keyboard.press(name)


async def focused(page: Page) -> str:
    """The text of what has the focus."""
    text: str = await page.evaluate("(document.activeElement.innerText || document.activeElement.name || '').trim()")
    return text


async def tab_to(page: Page, text: str) -> None:
    """Press Tab until what says `text` has the focus; every stop on the way shows an outline."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", await focused(page)
        if await focused(page) == text:
            return
    raise AssertionError(f"{text!r} cannot be reached with Tab")


@pytest.mark.slow
async def test_a_study_is_paused_with_the_keyboard_alone(place: Place, chromium: Browser) -> None:
    await place.make()
    context = await chromium.new_context()
    page = await context.new_page()
    await page.goto(room(place))
    await tab_to(page, "email")
    await page.keyboard.type(await researcher(place))
    await keys(page, "Tab")
    await page.keyboard.type(PASSWORD)
    await keys(page, "Enter")
    await expect(page).to_have_url(room(place))
    await tab_to(page, "Pause")
    await keys(page, "Enter")
    await expect(page.get_by_role("heading", name="Pause this study?")).to_be_visible()
    await tab_to(page, "Pause")
    await keys(page, "Enter")
    await expect(page.locator("h1 .state")).to_have_text("paused")
    await context.close()


async def addresses(place: Place) -> list[str]:
    """Every page of researchers, as far as this database has something to show on it."""
    study = room(place)
    admin = study.partition("/admin")[0] + "/admin"
    explanation = await place.session.scalar(select(Explanation.id).limit(1))
    origin = await place.session.scalar(select(ExplanationSet.id).limit(1))
    ends = ("", "/results", "/participants", "/participants/1", "/stimuli", "/definition", "/do/close", "/do/unblind")
    return [
        f"{admin}/login", admin, f"{admin}/account", f"{admin}/studies/new", *(study + end for end in ends),
        f"{admin}/runs", f"{admin}/runs/new", f"{admin}/explanations", f"{admin}/explanations/sets/{origin}",
        f"{admin}/explanations/{explanation}", f"{admin}/nowhere", admin.removesuffix("/admin") + "/api/docs",
    ]  # fmt: skip


@pytest.mark.slow
async def test_every_page_is_free_of_serious_axe_findings_and_fits_the_screen(place: Place, chromium: Browser) -> None:
    await place.make()
    await rate_in_database(place.session, await get_study(place.session, place.slug), 4)
    context: BrowserContext = await chromium.new_context()
    page = await context.new_page()
    await log_in(page, place, room(place))
    found: list[Any] = []
    for address in await addresses(place):
        await page.set_viewport_size({"width": 1280, "height": 800})
        await page.goto(address)
        width, space = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        found += [f"{address}: {width} px wide on {space}"] if width > space else []
        await page.set_viewport_size({"width": 375, "height": 800})
        found += await check_page(page, address)
    await page.goto(f"{room(place).rpartition('/')[0]}/new")
    await page.get_by_label("Definition (YAML)").fill("slug: x")
    await page.get_by_role("button", name="Make a draft").click()
    await expect(page.get_by_role("alert")).to_contain_text("title: this is missing")
    found += await check_page(page, "a definition that needs mending")
    await context.close()
    assert found == []
