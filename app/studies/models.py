"""Tables of studies, conditions, constructs and stimuli."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.database.base import Base, CreatedAt, Id
from app.explanations.models import Explanation


class Study(Base):
    """A human evaluation. `definition` is the validated StudyDefinition; launch freezes it and records its hash."""

    __tablename__ = "studies"
    __table_args__ = (CheckConstraint("state in ('draft','live','paused','closed')", name="state"),)

    id: Mapped[Id]
    slug: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    state: Mapped[str] = mapped_column(default="draft")
    definition: Mapped[dict[str, Any]]
    definition_sha256: Mapped[str | None]  # set at launch, over the definition and the stimuli
    seed: Mapped[int]
    created_at: Mapped[CreatedAt]
    launched_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    unblinded_at: Mapped[datetime | None]

    conditions: Mapped[list[Condition]] = relationship(
        back_populates="study", order_by="Condition.code", lazy="raise", cascade="all, delete-orphan"
    )
    constructs: Mapped[list[Construct]] = relationship(
        back_populates="study", order_by="Construct.position", lazy="raise", cascade="all, delete-orphan"
    )


class Condition(Base):
    """One distillation method inside a study. Only `code` (A, B, …, drawn at random) may be shown while the study is blinded."""

    __tablename__ = "conditions"
    __table_args__ = (UniqueConstraint("study_id", "code"), UniqueConstraint("study_id", "name"))

    id: Mapped[Id]
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"))
    code: Mapped[str]
    name: Mapped[str]

    study: Mapped[Study] = relationship(back_populates="conditions", lazy="raise")


class Construct(Base):
    """One Likert item: a statement and a labelled scale from `minimum` to `minimum + len(labels) - 1`."""

    __tablename__ = "constructs"
    __table_args__ = (
        UniqueConstraint("study_id", "key"),
        CheckConstraint("jsonb_array_length(labels) between 2 and 11", name="scale_points"),
    )

    id: Mapped[Id]
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"))
    key: Mapped[str]
    name: Mapped[str]
    statement: Mapped[str]
    labels: Mapped[list[str]]
    minimum: Mapped[int] = mapped_column(default=1)
    position: Mapped[int]

    study: Mapped[Study] = relationship(back_populates="constructs", lazy="raise")

    @property
    def values(self) -> range:
        """The values that a rating of this construct may take."""
        return range(self.minimum, self.minimum + len(self.labels))


class Stimulus(Base):
    """An explanation as it is placed in a study."""

    __tablename__ = "stimuli"
    __table_args__ = (UniqueConstraint("study_id", "explanation_id"),)

    id: Mapped[Id]
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), index=True)
    condition_id: Mapped[int] = mapped_column(ForeignKey("conditions.id", ondelete="CASCADE"), index=True)
    explanation_id: Mapped[int] = mapped_column(ForeignKey("explanations.id"))

    condition: Mapped[Condition] = relationship(lazy="raise")
    explanation: Mapped[Explanation] = relationship(lazy="raise")
