"""Engine and sessions. A service gets a session and never commits; who opened the session (page, API, command) decides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from psycopg.errors import UndefinedTable
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

import app.database.tables  # noqa: F401 -- foreign keys cross domains: all tables must be known before a session works
from app.database.embedded import database_url
from app.errors import InputError
from app.settings import Settings, get_settings


def make_engine(url: str, *, pool_size: int = 5) -> AsyncEngine:
    """An engine whose connections are checked before use, so that a database that was restarted is found again."""
    return create_async_engine(url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True, pool_timeout=30)


def make_sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Sessions that keep loaded attributes after a commit: a page may show what it has just stored."""
    return async_sessionmaker(engine, expire_on_commit=False)


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """FastAPI dependency: a session of the application's engine. Nothing is stored unless the handler commits."""
    async with request.app.state.sessions() as session:
        yield session


@asynccontextmanager
async def command_session(settings: Settings | None = None) -> AsyncIterator[AsyncSession]:
    """For commands: a session on the configured (or embedded) database, committed at the end when nothing was raised."""
    engine = make_engine(database_url(settings or get_settings()))
    try:
        async with make_sessions(engine)() as session, session.begin():
            yield session
    except ProgrammingError as error:
        if isinstance(error.orig, UndefinedTable):
            raise InputError("the database is not at the newest schema; run `blindrate migrate` first") from error
        raise
    except OperationalError as error:
        raise InputError(f"the database does not answer: {error.orig}") from error
    finally:
        await engine.dispose()
