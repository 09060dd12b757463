"""Table of questions."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.database.base import Base, CreatedAt, Id


class Question(Base):
    """A multiple-choice item. `key` is its id in its dataset; `answer` is the text of the right choice."""

    __tablename__ = "questions"
    __table_args__ = (
        UniqueConstraint("dataset", "key"),
        CheckConstraint("jsonb_array_length(choices) >= 2", name="two_choices"),
    )

    id: Mapped[Id]
    dataset: Mapped[str]
    key: Mapped[str]
    split: Mapped[str] = mapped_column(default="test")
    text: Mapped[str]
    choices: Mapped[list[str]]
    answer: Mapped[str]
    created_at: Mapped[CreatedAt]
