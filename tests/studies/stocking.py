"""Puts questions and explanations into the database, for tests that make studies of them."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from app.explanations.models import Explanation, ExplanationSet
from app.questions.models import Question
from tests.factories import CONDITIONS, MODEL


async def stock(
    session: AsyncSession, *, questions: int = 14, methods: int = 4, seeds: int = 1, name: str = "a set"
) -> list[Explanation]:
    """A set with an explanation of every question by each method and seed; every seventh answer is wrong. Committed."""
    origin = ExplanationSet(name=name, source="import", provenance={"file": "made for a test"})
    items = [
        Question(dataset=name, key=f"q{i:03}", text=f"Question {i}?", choices=["one", "two"], answer="one")
        for i in range(questions)
    ]
    session.add_all([origin, *items])
    await session.flush()
    made = [
        Explanation(
            set_id=origin.id, question_id=item.id, method=method, model=MODEL, seed=seed,
            predicted="one" if i % 7 else "two", correct=bool(i % 7), text=f"Because of reason {i}.{m}.{seed}.",
        )
        for m, method in enumerate(CONDITIONS[:methods])
        for seed in range(seeds)
        for i, item in enumerate(items)
    ]  # fmt: skip
    session.add_all(made)
    await session.commit()
    return made
