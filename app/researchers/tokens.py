"""API tokens: made by a researcher for a script, shown once, ended at any time."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from app.errors import InputError, NotFoundError
from app.researchers.models import ApiToken, AuditEvent, Researcher
from app.researchers.service import sha256

PREFIX = "blindrate_"  # so that a token found in a file or a log is known for what it is
LONGEST_NAME = 60


async def make_token(session: AsyncSession, researcher: Researcher, name: str) -> str:
    """A new token of this researcher; only here is it known. `name` says what it is for. Raises InputError for no name."""
    name = " ".join(name.split())
    if not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
        raise InputError(
            f"A token needs a name of at most {LONGEST_NAME} characters, such as the script that it is for."
        )
    key = PREFIX + secrets.token_urlsafe(32)
    session.add(ApiToken(researcher_id=researcher.id, name=name, key_sha256=sha256(key)))
    _record(session, "token.make", researcher, name)
    return key


async def tokens_of(session: AsyncSession, researcher: Researcher) -> Sequence[ApiToken]:
    """The tokens of a researcher, in the order in which they were made."""
    return (
        await session.scalars(select(ApiToken).where(ApiToken.researcher_id == researcher.id).order_by(ApiToken.id))
    ).all()


async def end_token(session: AsyncSession, researcher: Researcher, token_id: int) -> None:
    """End a token of this researcher. Raises NotFoundError."""
    mine = ApiToken.researcher_id == researcher.id
    name = await session.scalar(delete(ApiToken).where(ApiToken.id == token_id, mine).returning(ApiToken.name))
    if name is None:
        raise NotFoundError("There is no such token; it may have been ended already.")
    _record(session, "token.end", researcher, name)


async def bearer(session: AsyncSession, key: str) -> tuple[Researcher | None, bool]:
    """Who a token belongs to, and whether its last use was noted (then the caller commits: at most once a minute)."""
    found = await session.scalar(
        select(ApiToken).where(ApiToken.key_sha256 == sha256(key)).options(joinedload(ApiToken.researcher))
    )
    if found is None or not found.researcher.active:
        return None, False
    now = datetime.now(UTC)
    noted = found.last_used_at is None or now - found.last_used_at > timedelta(minutes=1)
    if noted:
        found.last_used_at = now
    return found.researcher, noted


def _record(session: AsyncSession, action: str, researcher: Researcher, name: str) -> None:
    details = {"token": name}
    session.add(AuditEvent(researcher_id=researcher.id, action=action, subject=researcher.email, details=details))
