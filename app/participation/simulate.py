"""Simulated participants: bots that walk a study's real pages over HTTP, with a planted effect of the conditions.

Their rows are made in the database beforehand and marked as bots there, so nobody can pass for one from outside. The pages do not
tell them a condition (nor anybody); the simulator looks it up in the database by the trial's token.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import httpx
import numpy as np
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.errors import ConflictError, InputError
from app.explanations.models import Explanation
from app.participation import service
from app.participation.entry import new_token
from app.participation.models import Participant, Trial
from app.participation.page_reader import PageReader
from app.studies.models import Condition, Stimulus, Study
from app.studies.schemas import StudyDefinition

AGREEMENT = 0.8  # people tend to agree: how far the middle of the scale lies above indifference, in logits
PEOPLE_SD, QUESTION_SD = 0.8, 0.4  # spread of persons and of questions, in logits


@dataclass(frozen=True)
class Plan:
    """What the bots answer from: shift per condition (name or code, logits) on the constructs in `on` (None: on all)."""

    effects: Mapping[str, float]
    on: Collection[str] | None
    seed: int

    def shift(self, condition: tuple[str, str], construct: str) -> float:
        """The planted shift for a condition (name, code) on a construct."""
        if self.on is not None and construct not in self.on:
            return 0.0
        name, code = condition
        return self.effects.get(name, self.effects.get(code, 0.0))


async def simulate(
    address: str,
    slug: str,
    participants: int,
    *,
    sessions: async_sessionmaker[AsyncSession],
    secret: bytes,
    effects: Mapping[str, float] | None = None,
    on: Collection[str] | None = None,
    seed: int = 0,
    at_once: int = 8,
) -> int:
    """Let `participants` bots take part in the study at `address`/s/`slug`, `at_once` at a time; how many finished.

    Ratings follow a cumulative logit model: latent value = effect of the condition + person + question + logistic noise, cut at
    fixed thresholds. `effects`: shift in logits per condition name or code; `secret`: the server's signing key.
    Raises InputError when the server does not answer, the study takes nobody in, or an effect names no condition of it.
    """
    async with sessions() as session:
        study = await service.find_study(session, slug)
        definition = service.definition_of(study)
        conditions = (await session.scalars(select(Condition).where(Condition.study_id == study.id))).all()
        _check_names(effects or {}, on, conditions, definition)
        await _check_open(address, study)
        bots = [
            Participant(
                study_id=study.id,
                token=new_token(secret, slug),
                external_id=f"simulated-{secrets.token_hex(8)}",
                is_bot=True,
            )
            for _ in range(participants)
        ]
        session.add_all(bots)
        await session.commit()
    plan = Plan(effects or {}, on, seed)
    gate = asyncio.Semaphore(at_once)

    async def one(number: int, bot: Participant) -> None:
        async with gate, httpx.AsyncClient(base_url=address, follow_redirects=True, timeout=60) as client:
            await _Bot(client, slug, definition, bot, plan, sessions, number).walk()

    try:
        async with asyncio.TaskGroup() as group:
            for number, bot in enumerate(bots):
                group.create_task(one(number, bot))
    except* httpx.TransportError as errors:
        raise InputError(f"{address} stopped answering ({errors.exceptions[0]}); not all bots finished") from errors
    except* InputError as errors:
        raise errors.exceptions[0] from None
    return participants


class _Bot:
    """One simulated participant."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        slug: str,
        definition: StudyDefinition,
        row: Participant,
        plan: Plan,
        sessions: async_sessionmaker[AsyncSession],
        number: int,
    ) -> None:
        self.client, self.path, self.definition = client, f"/s/{slug}", definition
        self.row, self.plan, self.sessions = row, plan, sessions
        self.random = np.random.default_rng([plan.seed, number])
        self.leaning = float(self.random.normal(0, PEOPLE_SD))
        self.trials: dict[str, tuple[tuple[str, str], int]] = {}

    async def walk(self) -> None:
        """From the entry link to the completion code."""
        link = {self.definition.participant_parameter: str(self.row.external_id)}
        response = await self.client.get(self.path, params=link)
        while (page := PageReader(response.text)).completion_code is None:
            if response.status_code >= 400 or page.step is None:
                raise ConflictError(f"the study's page says “{page.heading}” ({response.status_code})")
            response = await self.client.post(self.path, data=page.hidden | await self._answers(page))

    async def _answers(self, page: PageReader) -> dict[str, str]:
        match page.step:
            case "consent":
                return {"consent": "yes"}
            case "comprehension":
                return {f"check-{i}": check.answer for i, check in enumerate(self.definition.comprehension)}
            case "practice":
                return {name: values[0] for name, values in page.choices.items()}
            case "trials":
                return await self._ratings(page.hidden["part"])
            case "background":
                return {f"background-{q.key}": self._about_me(q.key) for q in self.definition.background}
        return {}

    async def _ratings(self, trial_token: str) -> dict[str, str]:
        if not self.trials:
            await self._look_up()
        condition, question_id = self.trials[trial_token]
        question = float(np.random.default_rng([self.plan.seed, question_id]).normal(0, QUESTION_SD))
        answers = {}
        for construct in self.definition.constructs:
            latent = self.leaning + question + self.plan.shift(condition, construct.key) + float(self.random.logistic())
            points = len(construct.labels)
            step = sum(latent > threshold for threshold in thresholds(points))
            answers[f"rating-{construct.key}"] = str(construct.minimum + step)
        return answers

    async def _look_up(self) -> None:
        query = (
            select(Trial.token, Condition.name, Condition.code, Explanation.question_id)
            .join(Stimulus, Stimulus.id == Trial.stimulus_id)
            .join(Condition, Condition.id == Stimulus.condition_id)
            .join(Explanation, Explanation.id == Stimulus.explanation_id)
            .where(Trial.participant_id == self.row.id)
        )
        async with self.sessions() as session:
            self.trials = {token: ((name, code), q) for token, name, code, q in await session.execute(query)}

    def _about_me(self, key: str) -> str:
        question = next(q for q in self.definition.background if q.key == key)
        if question.kind == "choice":
            return str(self.random.choice(question.choices))
        if question.kind == "number":
            low = question.minimum if question.minimum is not None else 0
            return str(self.random.integers(low, (question.maximum if question.maximum is not None else low + 80) + 1))
        return "simulated"


def thresholds(points: int) -> list[float]:
    """Cut points of the latent scale (logits) for a scale of `points` values, so that most answers agree."""
    return [math.log(i / (points - i)) - AGREEMENT for i in range(1, points)]


async def _check_open(address: str, study: Study) -> None:
    """Before any row is made: the server answers, has this study, and lets people in."""
    if study.state != "live":
        raise ConflictError(f"the study {study.slug!r} is {study.state}; only a live study takes participants")
    try:
        async with httpx.AsyncClient(base_url=address, timeout=30) as client:
            response = await client.get(f"/s/{study.slug}")
    except (httpx.TransportError, httpx.InvalidURL, ValueError) as error:
        raise InputError(f"no answer from {address} ({error}); start a server there with `blindrate serve`") from error
    if response.status_code != 200:
        raise InputError(f"{address}/s/{study.slug} answers {response.status_code}: is it a server on this database?")


def _check_names(
    effects: Mapping[str, float],
    on: Collection[str] | None,
    conditions: Collection[Condition],
    definition: StudyDefinition,
) -> None:
    known = {c.name for c in conditions} | {c.code for c in conditions}
    for name in effects:
        if name not in known:
            raise InputError(
                f"the study {definition.slug!r} has no condition {name!r}; it has {', '.join(sorted(c.name for c in conditions))}"
            )
    for key in on or ():
        if key not in {c.key for c in definition.constructs}:
            raise InputError(
                f"the study {definition.slug!r} has no construct {key!r}; it has {', '.join(c.key for c in definition.constructs)}"
            )
