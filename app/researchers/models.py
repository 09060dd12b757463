"""Tables of researchers, their sessions, and the audit record."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.database.base import Base, CreatedAt, Id


class Researcher(Base):
    """A person who manages studies. `password_hash` is argon2."""

    __tablename__ = "researchers"
    __table_args__ = (
        CheckConstraint("role in ('owner','editor','viewer')", name="role"),
        Index("uq_researchers_email", text("lower(email)"), unique=True),
    )

    id: Mapped[Id]
    email: Mapped[str]
    password_hash: Mapped[str]
    role: Mapped[str] = mapped_column(default="editor")
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[CreatedAt]


class ResearcherSession(Base):
    """A server-side session; the cookie holds a random key, the table only its sha256."""

    __tablename__ = "researcher_sessions"

    key_sha256: Mapped[str] = mapped_column(primary_key=True)
    researcher_id: Mapped[int] = mapped_column(ForeignKey("researchers.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[CreatedAt]
    last_seen_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]

    researcher: Mapped[Researcher] = relationship(lazy="raise")


class ApiToken(Base):
    """A key for scripts: what bears it acts as its researcher. It is shown once; the table holds only its sha256."""

    __tablename__ = "api_tokens"

    id: Mapped[Id]
    researcher_id: Mapped[int] = mapped_column(ForeignKey("researchers.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    key_sha256: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[CreatedAt]
    last_used_at: Mapped[datetime | None]

    researcher: Mapped[Researcher] = relationship(lazy="raise")


class LoginAttempt(Base):
    """A failed log-in, kept to limit the rate over all server processes."""

    __tablename__ = "login_attempts"
    __table_args__ = (Index("ix_login_attempts_key_at", "key", "at"),)

    id: Mapped[Id]
    key: Mapped[str]  # sha256 of address and e-mail
    at: Mapped[CreatedAt]


class AuditEvent(Base):
    """What was done, by whom, to what, when: launches, pauses, unblinding, exports, imports."""

    __tablename__ = "audit_events"

    id: Mapped[Id]
    at: Mapped[CreatedAt]
    researcher_id: Mapped[int | None] = mapped_column(ForeignKey("researchers.id"))  # null: the command line
    action: Mapped[str]
    subject: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
