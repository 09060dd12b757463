"""Walks participants' pages over HTTP, for tests."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from app.participation.page_reader import PageReader

GOOD = {
    "consent": {"consent": "yes"},
    "instructions": {},
    "comprehension": {"check-0": "The explanation"},
    "background": {"background-age": "34", "background-gender": "Woman", "background-remarks": "None"},
}


class Walker:
    """One browser: it follows redirects as one does, and keeps cookies."""

    def __init__(self, client: httpx.AsyncClient, slug: str = "demo") -> None:
        self.client, self.path = client, f"/s/{slug}"
        self.status = 0
        self.html = ""
        self.page = PageReader("")  # the page that is shown
        self.sent: dict[int, dict[str, str]] = {}  # what was rated, by number of the trial

    async def open(self, **parameters: str) -> PageReader:
        """Open the study's address."""
        return self._keep(await self.client.get(self.path, params=parameters, follow_redirects=True))

    async def send(self, fields: Mapping[str, str]) -> PageReader:
        """Post fields and follow the redirect."""
        return self._keep(await self.client.post(self.path, data=dict(fields), follow_redirects=True))

    def form(self, answers: Mapping[str, str] | None = None, *, value: int = 0) -> dict[str, str]:
        """The page's form filled in rightly: hidden fields and answers; ratings take the values value, value + 1, ..."""
        page = self.page
        if answers is None:
            answers = GOOD.get(page.step or "") or {
                name: values[(value + i) % len(values)]
                for i, (name, values) in enumerate(page.choices.items())
                if name.startswith("rating-")
            }
        return page.hidden | dict(answers)

    async def step(self) -> PageReader:
        """Fill in the page rightly and send it."""
        page = self.page
        number = len(self.sent) + 1
        fields = self.form(value=number)
        if page.step == "trials":
            self.sent[number] = {k.removeprefix("rating-"): v for k, v in fields.items() if k.startswith("rating-")}
        return await self.send(fields)

    async def until(self, step: str | None) -> PageReader:
        """Go on until the page of `step` (None: the last page) is shown."""
        for _ in range(100):
            page = self.page
            if page.step == step:
                return page
            if page.step is None:
                break
            await self.step()
        raise AssertionError(f"no page of step {step}: {self.status} {self.page.heading}")

    def _keep(self, response: httpx.Response) -> PageReader:
        self.status, self.html, self.page = response.status_code, response.text, PageReader(response.text)
        return self.page
