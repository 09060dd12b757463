"""Tables of participants, trials and ratings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.database.base import Base, CreatedAt, Id
from app.studies.models import Construct, Stimulus, Study


class Participant(Base):
    """A person (or a bot, and then marked as one) taking part in one study. `step` is the step that the one address shows.

    `token` identifies the participant to the browser (random, tells nothing). `external_id` is the panel's id, e.g. PROLIFIC_PID.
    `outcome` is how it ended: completed, declined (no consent), or null while under way.
    """

    __tablename__ = "participants"
    __table_args__ = (
        CheckConstraint(
            "step in ('consent','instructions','comprehension','practice','trials','background','finished','declined')",
            name="step",
        ),
        Index(
            "uq_participants_study_id_external_id",
            "study_id",
            "external_id",
            unique=True,
            postgresql_where="external_id is not null",
        ),
    )

    id: Mapped[Id]
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    token: Mapped[str] = mapped_column(unique=True)
    external_id: Mapped[str | None]
    external: Mapped[dict[str, Any]] = mapped_column(default=dict)  # all configured entry parameters, as given
    is_bot: Mapped[bool] = mapped_column(default=False)
    step: Mapped[str] = mapped_column(default="consent")
    outcome: Mapped[str | None]
    completion_code: Mapped[str | None]
    comprehension_attempts: Mapped[int] = mapped_column(default=0)
    background: Mapped[dict[str, Any]] = mapped_column(default=dict)
    flags: Mapped[dict[str, Any]] = mapped_column(default=dict)
    excluded: Mapped[bool] = mapped_column(default=False)
    exclusion_reason: Mapped[str | None]
    entered_at: Mapped[CreatedAt]
    consented_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    study: Mapped[Study] = relationship(lazy="raise")


class Trial(Base):
    """One stimulus at one position for one participant. `token` names it in the participant's form and tells nothing else."""

    __tablename__ = "trials"
    __table_args__ = (
        UniqueConstraint("participant_id", "position"),
        UniqueConstraint("participant_id", "stimulus_id"),
        CheckConstraint("state in ('reserved','shown','answered','released')", name="state"),
        CheckConstraint("(state = 'answered') = (submitted_at is not null)", name="answered_has_time"),
    )

    id: Mapped[Id]
    participant_id: Mapped[int] = mapped_column(ForeignKey("participants.id"))
    stimulus_id: Mapped[int] = mapped_column(ForeignKey("stimuli.id"), index=True)
    position: Mapped[int] = mapped_column(SmallInteger)  # from 1
    token: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str] = mapped_column(default="reserved")
    shown_at: Mapped[datetime | None]
    submitted_at: Mapped[datetime | None]

    participant: Mapped[Participant] = relationship(lazy="raise")
    stimulus: Mapped[Stimulus] = relationship(lazy="raise")


class Rating(Base):
    """The value a participant gave to one construct in one trial."""

    __tablename__ = "ratings"

    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id"), primary_key=True)
    construct_id: Mapped[int] = mapped_column(ForeignKey("constructs.id"), primary_key=True)
    value: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[CreatedAt]

    construct: Mapped[Construct] = relationship(lazy="raise")
