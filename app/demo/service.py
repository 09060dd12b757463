"""The demo: its questions, explanations and study, put into the database once; a researcher's account for it."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import yaml
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.explanations.service import FIELDS, read_explanations, store_explanations
from app.questions.reading import Problems, read_table
from app.questions.service import import_questions
from app.researchers.service import add_researcher, find_researcher
from app.settings import resource
from app.studies.models import Study
from app.studies.schemas import StudyDefinition
from app.studies.service import create_study, parse_definition, take_step

FOLDER = Path(__file__).resolve().parent
SLUG = "demo"
DATASET = "blindrate"
EMAIL = "researcher@demo.example"


def demo_definition() -> StudyDefinition:
    """The example study, at the demo's address and without a limit of participants."""
    content = yaml.safe_load((resource("examples") / "study.yaml").read_text(encoding="utf-8"))
    texts = content["texts"] | {"contact": "This is a demonstration. Ask the person who started it on this machine."}
    design = content["design"] | {"target_participants": None}
    return parse_definition(content | {"slug": SLUG, "design": design, "texts": texts})


async def load_demo(session: AsyncSession) -> bool:
    """Load questions, explanations with their provenance, and the launched demo study; False when the study is there already."""
    if await session.scalar(select(Study.id).where(Study.slug == SLUG)):
        return False
    await import_questions(session, FOLDER / "questions.jsonl", name=DATASET)
    table = read_table(FOLDER / "explanations.jsonl", FIELDS, {}, {}, required=("question", "answer", "explanation"))
    problems = Problems(table.name)
    records, lines = read_explanations(table, DATASET, problems)
    problems.check()
    provenance = json.loads((FOLDER / "provenance.json").read_text(encoding="utf-8"))
    await store_explanations(
        session, records, lines, name=SLUG, source="import",
        provenance={"file": table.name, "sha256": table.sha256} | provenance, problems=problems,
    )  # fmt: skip
    await create_study(session, demo_definition())
    await take_step(session, SLUG, "launch")
    return True


async def demo_password(session: AsyncSession, data_dir: Path) -> str:
    """The demo researcher's password: made with the account, and kept in data_dir (mode 0600) so that each start can show it."""
    file = data_dir / "demo-password"
    if await find_researcher(session, EMAIL) is None:
        password = secrets.token_urlsafe(9)
        await add_researcher(session, EMAIL, password, "owner")
        file.touch(mode=0o600)
        file.write_text(password)
        return password
    return file.read_text() if file.exists() else f"(set a new one with: blindrate researcher password {EMAIL})"
