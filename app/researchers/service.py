"""Researchers' accounts: adding them, logging in, sessions on the server's side, and a limit on failed log-ins."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from pwdlib import PasswordHash
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from app.errors import ConflictError, InputError, NotFoundError
from app.researchers.models import LoginAttempt, Researcher, ResearcherSession

ROLES = ("owner", "editor", "viewer")
MINIMUM_PASSWORD = 10
ATTEMPT_WINDOW = timedelta(minutes=15)
ADDRESS_FACTOR = 10  # one address may fail for several people behind it, but not without end
hasher = PasswordHash.recommended()


@lru_cache
def _nobody() -> str:
    """A hash to verify against when the e-mail is unknown, so that both cases take the same time."""
    return hasher.hash(secrets.token_urlsafe(16))


def sha256(text: str) -> str:
    """What a table holds in the place of a key."""
    return hashlib.sha256(text.encode()).hexdigest()


def check_password(password: str) -> None:
    """Raise InputError for a password that is too short."""
    if len(password) < MINIMUM_PASSWORD:
        raise InputError(f"The password must have at least {MINIMUM_PASSWORD} characters.")


async def add_researcher(session: AsyncSession, email: str, password: str, role: str = "editor") -> Researcher:
    """A new account. Raises InputError for an e-mail, password or role that will not do, ConflictError for a taken e-mail."""
    email = email.strip()
    if email.count("@") != 1 or " " in email or email.startswith("@") or email.endswith("@"):
        raise InputError(f"{email!r} is not an e-mail address")
    if role not in ROLES:
        raise InputError(f"there is no role {role!r}; the roles are: {', '.join(ROLES)}")
    check_password(password)
    if await find_researcher(session, email) is not None:
        raise ConflictError(
            f"there is a researcher {email} already; `blindrate researcher password {email}` sets a new password"
        )
    researcher = Researcher(email=email, password_hash=hasher.hash(password), role=role)
    session.add(researcher)
    await session.flush()
    return researcher


async def find_researcher(session: AsyncSession, email: str) -> Researcher | None:
    """The account of an e-mail, whatever its capitals."""
    found: Researcher | None = await session.scalar(
        select(Researcher).where(func.lower(Researcher.email) == email.strip().lower())
    )
    return found


async def require_researcher(session: AsyncSession, email: str) -> Researcher:
    """The account of an e-mail. Raises NotFoundError."""
    researcher = await find_researcher(session, email)
    if researcher is None:
        raise NotFoundError(f"there is no researcher {email}")
    return researcher


async def list_researchers(session: AsyncSession) -> Sequence[Researcher]:
    """All accounts, by e-mail."""
    return (await session.scalars(select(Researcher).order_by(func.lower(Researcher.email)))).all()


async def set_password(session: AsyncSession, email: str, password: str) -> Researcher:
    """Give an account a new password; all its sessions end. Raises NotFoundError, InputError."""
    researcher = await require_researcher(session, email)
    check_password(password)
    researcher.password_hash = hasher.hash(password)
    await session.execute(delete(ResearcherSession).where(ResearcherSession.researcher_id == researcher.id))
    return researcher


async def deactivate(session: AsyncSession, email: str) -> Researcher:
    """Lock an account: its sessions end and it cannot log in. What it did stays on record."""
    researcher = await require_researcher(session, email)
    researcher.active = False
    await session.execute(delete(ResearcherSession).where(ResearcherSession.researcher_id == researcher.id))
    return researcher


async def authenticate(session: AsyncSession, email: str, password: str) -> Researcher | None:
    """The account when the password is right and it is active, else None; equally slow in both cases."""
    researcher = await find_researcher(session, email)
    # in a thread: argon2 takes its time on purpose, and other pages must not wait for it
    right = await asyncio.to_thread(hasher.verify, password, researcher.password_hash if researcher else _nobody())
    return researcher if researcher and right and researcher.active else None


async def too_many_attempts(session: AsyncSession, address: str, email: str, limit: int) -> bool:
    """Whether this address has failed too often: with this e-mail, or with any. Counted in the database, over all processes.

    Attempts from one address wait for one another until their transactions end, so that none is tried before the failure
    of the one before it is counted.
    """
    since = datetime.now(UTC) - ATTEMPT_WINDOW
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(_attempt_key(address), 0))))
    await session.execute(delete(LoginAttempt).where(LoginAttempt.at < since))
    for key, most in ((_attempt_key(address, email), limit), (_attempt_key(address), limit * ADDRESS_FACTOR)):
        count = await session.scalar(select(func.count()).where(LoginAttempt.key == key, LoginAttempt.at >= since))
        if (count or 0) >= most:
            return True
    return False


async def note_failed_attempt(session: AsyncSession, address: str, email: str) -> None:
    """Count one failed log-in."""
    session.add_all(LoginAttempt(key=key) for key in (_attempt_key(address, email), _attempt_key(address)))


def _attempt_key(address: str, email: str = "") -> str:
    return sha256(f"{address}\x1f{email.strip().lower()}")


async def begin_session(session: AsyncSession, researcher: Researcher, address: str, hours: int) -> str:
    """Start a session after a right password: its random key, of which the table holds only the sha256."""
    key = secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    await session.execute(delete(ResearcherSession).where(ResearcherSession.expires_at < now))
    await session.execute(delete(LoginAttempt).where(LoginAttempt.key == _attempt_key(address, researcher.email)))
    session.add(
        ResearcherSession(key_sha256=sha256(key), researcher_id=researcher.id, expires_at=now + timedelta(hours=hours))
    )
    return key


async def researcher_of(session: AsyncSession, key: str, hours: int) -> tuple[Researcher | None, bool]:
    """Who a session key belongs to, and whether its end was moved (then the caller commits: at most once a minute)."""
    now = datetime.now(UTC)
    found = await session.scalar(
        select(ResearcherSession)
        .where(ResearcherSession.key_sha256 == sha256(key), ResearcherSession.expires_at > now)
        .options(joinedload(ResearcherSession.researcher))
    )
    if found is None or not found.researcher.active:
        return None, False
    moved = now - found.last_seen_at > timedelta(minutes=1)
    if moved:
        found.last_seen_at, found.expires_at = now, now + timedelta(hours=hours)
    return found.researcher, moved


async def end_session(session: AsyncSession, key: str) -> None:
    """Log out."""
    await session.execute(delete(ResearcherSession).where(ResearcherSession.key_sha256 == sha256(key)))
