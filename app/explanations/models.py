"""Tables of explanations and of the sets in which they arrive."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.database.base import Base, CreatedAt, Id
from app.questions.models import Question


class ExplanationSet(Base):
    """The explanations of one import or of one published run; `provenance` holds file name, sha256, mapping or the run's manifest."""

    __tablename__ = "explanation_sets"

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(unique=True)
    source: Mapped[str]  # "import" or "run"
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"), unique=True)
    provenance: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]


class Explanation(Base):
    """What a student wrote for a question. `method` is the name of the distillation method, e.g. multitask/few_shot."""

    __tablename__ = "explanations"
    __table_args__ = (
        UniqueConstraint("set_id", "question_id", "method", "model", "seed", postgresql_nulls_not_distinct=True),
        Index("ix_explanations_method", "method"),
    )

    id: Mapped[Id]
    set_id: Mapped[int] = mapped_column(ForeignKey("explanation_sets.id"))
    question_id: Mapped[int] = mapped_column(ForeignKey("questions.id"), index=True)
    method: Mapped[str]
    objective: Mapped[str | None]
    generation_method: Mapped[str | None]
    model: Mapped[str | None]
    seed: Mapped[int | None]
    predicted: Mapped[str | None]
    correct: Mapped[bool | None]
    text: Mapped[str]
    created_at: Mapped[CreatedAt]

    question: Mapped[Question] = relationship(lazy="raise")
    set: Mapped[ExplanationSet] = relationship(lazy="raise")
