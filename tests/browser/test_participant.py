"""A participant in a real Chromium on a real server: from link to code with and without JavaScript, by keyboard, on a phone."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.database.session import make_engine, make_sessions
from app.participation.models import Participant, Rating, Trial
from app.reports.exports import rows_of
from app.studies.models import Construct, Study
from app.studies.service import get_study
from tests.factories import CONSTRUCTS, make_study

pytestmark = pytest.mark.browser
KEYS = list(CONSTRUCTS)


@dataclass
class Place:
    """A study of the test's own on the running server."""

    slug: str
    link: str
    session: AsyncSession
    study: Study | None = None

    async def make(self, **changes: Any) -> None:
        """Launch the study."""
        self.study = await make_study(self.session, slug=self.slug, **changes)

    async def values(self) -> list[tuple[int, str, int]]:
        """All ratings stored: position, construct, value."""
        rows = await self.session.execute(
            select(Trial.position, Construct.key, Rating.value)
            .join(Rating, Rating.trial_id == Trial.id)
            .join(Construct, Construct.id == Rating.construct_id)
            .where(Construct.study_id == self.study.id)
        )
        return [(position, key, value) for position, key, value in rows]


@pytest.fixture
async def place(shared_server: tuple[str, str]) -> AsyncIterator[Place]:
    """Where this test's study stands."""
    address, database = shared_server
    slug = f"b-{uuid.uuid4().hex[:10]}"
    engine = make_engine(database)
    async with make_sessions(engine)() as session:
        yield Place(slug, f"{address}/s/{slug}", session)
    await engine.dispose()


async def press(page: Page, button: str) -> None:
    """Press a button and wait until the next page stands."""
    await page.evaluate("document.getElementById('main').dataset.old = '1'")
    await page.get_by_role("button", name=button).click()
    await page.wait_for_selector("#main:not([data-old])")


async def rate(page: Page, values: dict[str, int]) -> None:
    """Click a value for each construct."""
    for key, value in values.items():
        await page.locator(f"label.option:has(input[name=rating-{key}][value='{value}'])").click()


async def to_the_trials(page: Page, place: Place) -> None:
    await page.goto(f"{place.link}?PROLIFIC_PID=browser-1")
    await page.get_by_role("checkbox").check()
    await press(page, "Start")
    await press(page, "Continue")
    await page.get_by_label("The explanation").check()
    await press(page, "Continue")
    await rate(page, dict.fromkeys(KEYS, 3))
    await press(page, "Continue")


@pytest.mark.slow
@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
async def test_from_link_to_code_and_all_sixty_clicked_values_are_stored_and_exported(
    place: Place, chromium: Browser, javascript: bool
) -> None:
    await place.make()
    context = await chromium.new_context(java_script_enabled=javascript)
    page = await context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    await to_the_trials(page, place)
    clicked: dict[tuple[int, str], int] = {}
    for number in range(1, 13):
        await expect(page.get_by_role("heading", level=1)).to_have_text(f"Explanation {number} of 12")
        values = {key: (number * (i + 2) + i) % 5 + 1 for i, key in enumerate(KEYS)}
        await rate(page, values)
        await press(page, "Continue")
        clicked |= {(number, key): value for key, value in values.items()}
    await page.get_by_label("How old are you?").fill("41")
    await page.get_by_label("Man", exact=True).check()
    await press(page, "Finish")
    await expect(page.locator("#completion-code")).to_have_text("DONE-1234")
    await context.close()

    assert problems == []
    assert {(position, key): value for position, key, value in await place.values()} == clicked
    assert len(clicked) == 60
    study = await get_study(place.session, place.slug)
    exported = [row async for row in rows_of(place.session, study, "ratings")]
    assert {(row[1], row[-2]): row[-1] for row in exported} == clicked
    assert len(exported) == 60


async def check_page(page: Page, name: str) -> list[str]:
    """What is wrong with the page for people: serious or critical findings of axe, sideways scrolling."""
    results: Any = await Axe().run(page)
    found = [
        f"{name}: {v['id']} {v['nodes'][0]['html'][:120]}"
        for v in results.response["violations"]
        if v["impact"] in ("serious", "critical")
    ]
    width, room = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    return found + ([f"{name}: {width} px wide on {room}"] if width > room else [])


@pytest.mark.slow
@pytest.mark.parametrize("width", [375, 1280])
async def test_every_page_is_free_of_serious_axe_findings_and_fits_the_screen(
    place: Place, chromium: Browser, width: int
) -> None:
    await place.make()
    await make_study(place.session, slug=f"{place.slug}-paused", state="paused", questions=12)
    context = await chromium.new_context(viewport={"width": width, "height": 800})
    page = await context.new_page()
    found: list[str] = []
    await page.goto(place.link)
    found += await check_page(page, "consent")
    await press(page, "Start")
    found += await check_page(page, "consent, not ticked")
    await page.get_by_role("checkbox").check()
    await press(page, "Start")
    found += await check_page(page, "instructions")
    await press(page, "Continue")
    await page.get_by_label("The question").check()
    await press(page, "Continue")
    found += await check_page(page, "comprehension, wrong")
    await page.get_by_label("The explanation").check()
    await press(page, "Continue")
    found += await check_page(page, "practice")
    await rate(page, dict.fromkeys(KEYS, 3))
    await press(page, "Continue")
    found += await check_page(page, "trial")
    targets = await page.locator(".option").evaluate_all("all => all.map(x => x.getBoundingClientRect().height)")
    assert len(targets) == 25 and min(targets) >= 44
    await rate(page, {"plausibility": 2})
    await press(page, "Continue")
    found += await check_page(page, "trial, incomplete")
    for _ in range(12):
        await rate(page, dict.fromkeys(KEYS, 5))
        await press(page, "Continue")
    found += await check_page(page, "background")
    await page.get_by_label("How old are you?").fill("old")
    await press(page, "Finish")
    found += await check_page(page, "background, incomplete")
    await page.get_by_label("How old are you?").fill("41")
    await page.get_by_label("Man", exact=True).check()
    await press(page, "Finish")
    found += await check_page(page, "finished")
    for end in ("-paused", "-nowhere"):
        await page.goto(place.link + end)
        found += await check_page(page, end)
    await context.close()
    assert found == []


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
async def test_a_trial_can_be_rated_by_keyboard_alone_and_an_incomplete_one_leads_to_what_is_missing(
    place: Place, chromium: Browser, javascript: bool
) -> None:
    await place.make(comprehension=[], practice=None)
    context = await chromium.new_context(java_script_enabled=javascript)
    page = await context.new_page()
    keyboard = page.keyboard
    await page.goto(place.link)

    async def tab_to(selector: str) -> None:
        for _ in range(30):
            await keyboard.press("Tab")
            if await page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"Tab never reaches {selector}")

    async def enter() -> None:
        await page.evaluate("document.getElementById('main').dataset.old = '1'")
        await keyboard.press("Enter")
        await page.wait_for_selector("#main:not([data-old])")

    await tab_to("#consent")
    await keyboard.press("Space")
    await tab_to("button")
    await enter()
    await tab_to("button")
    await enter()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Explanation 1 of 12")
    await tab_to("[name=rating-plausibility]")
    await keyboard.press("ArrowDown")
    await keyboard.press("ArrowDown")  # from the first to the third
    outline = await page.evaluate(
        "getComputedStyle(document.activeElement.closest('.option')).outlineStyle + getComputedStyle(document.activeElement).name"
    )
    assert outline.startswith("solid")
    for key in KEYS[1:-1]:
        await tab_to(f"[name=rating-{key}]")
        await keyboard.press("Space")
    await tab_to("button")
    await enter()
    await expect(page.locator(".error-summary")).to_be_focused()
    assert await page.title() == "Error: Explanation 1 of 12 – How good are these explanations?"
    await tab_to(".error-summary a")
    await keyboard.press("Enter")
    await expect(page.locator(f"#rating-{KEYS[-1]}")).to_be_focused()
    await keyboard.press("Space")
    await tab_to("button")
    await enter()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Explanation 2 of 12")
    await context.close()
    stored = {key: value for _, key, value in await place.values()}
    assert stored == {"plausibility": 3} | dict.fromkeys(KEYS[1:], 1)


async def test_back_and_another_tab_show_the_current_step(place: Place, chromium: Browser) -> None:
    await place.make()
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await to_the_trials(page, place)
    await rate(page, dict.fromkeys(KEYS, 4))
    await press(page, "Continue")
    heading = page.get_by_role("heading", level=1)
    await expect(heading).to_have_text("Explanation 2 of 12")
    await page.go_back()
    await expect(heading).to_have_text("Explanation 2 of 12")
    tab = await context.new_page()
    await tab.goto(place.link)
    await rate(tab, dict.fromkeys(KEYS, 5))
    await press(tab, "Continue")
    await rate(page, dict.fromkeys(KEYS, 1))
    await press(page, "Continue")  # the trial that the other tab has answered
    await expect(heading).to_have_text("Explanation 3 of 12")
    await context.close()
    query = select(func.count()).where(Participant.study_id == place.study.id)
    assert await place.session.scalar(query) == 1
    assert sorted(await place.values()) == sorted((n, key, n + 3) for n in (1, 2) for key in KEYS)


async def test_a_lost_connection_keeps_the_filled_in_form_and_says_so(place: Place, chromium: Browser) -> None:
    await place.make(comprehension=[], practice=None)
    context = await chromium.new_context()
    page = await context.new_page()
    await page.goto(place.link)
    await page.get_by_role("checkbox").check()
    await press(page, "Start")
    await press(page, "Continue")
    await rate(page, dict.fromkeys(KEYS, 2))
    await context.set_offline(True)
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("alert")).to_contain_text("connection was interrupted")
    assert await page.locator("input:checked").count() == 5
    await context.set_offline(False)
    await press(page, "Continue")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Explanation 2 of 12")
    await expect(page.locator("#lost")).to_be_hidden()
    await context.close()
    assert sorted(await place.values()) == sorted((1, key, 2) for key in KEYS)
