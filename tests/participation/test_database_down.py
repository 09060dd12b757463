"""A database that is really killed while a participant is under way: nothing that was confirmed is lost, what was entered is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import func, select

from app.database.embedded import plain_url
from app.database.migrate import upgrade
from app.database.session import make_engine, make_sessions
from app.main import create_app
from app.participation.models import Rating
from app.settings import Settings
from tests.factories import make_study
from tests.participation.walking import Walker

KEEP = "import sys, pathlib; from app.database.embedded import start; print(start(pathlib.Path(sys.argv[1])), flush=True); sys.stdin.read()"


class PrivatePostgres:
    """An embedded server of this test's own, held by a process that can be killed together with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        """Start it (again); `url` is for SQLAlchemy."""
        self.keeper = subprocess.Popen(
            [sys.executable, "-c", KEEP, str(self.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.keeper.stdout is not None
        self.url = self.keeper.stdout.readline().strip().replace("postgresql://", "postgresql+psycopg://", 1)

    def kill(self) -> None:
        """Kill server and keeper as a loss of power would, without any chance to tidy up."""
        self.keeper.kill()
        self.keeper.communicate()
        pid = int((self.folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                os.kill(process.pid, signal.SIGKILL)
        psutil.wait_procs(processes, 10)

    def close(self) -> None:
        """Stop it in order."""
        self.keeper.communicate("", timeout=30)


@pytest.fixture
def postgres_of_its_own(tmp_path: Path) -> Iterator[PrivatePostgres]:
    server = PrivatePostgres(tmp_path)
    yield server
    server.close()


@pytest.mark.slow
async def test_a_killed_database_loses_nothing_confirmed_and_the_form_comes_back_with_its_values(
    postgres_of_its_own: PrivatePostgres,
) -> None:
    postgres = postgres_of_its_own
    upgrade(postgres.url)
    engine = make_engine(postgres.url)
    sessions = make_sessions(engine)
    async with sessions() as session:
        await make_study(session)
    app = create_app(Settings(database_url=plain_url(postgres.url), data_dir=postgres.folder, secret_key="a key"))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://testserver") as client,
    ):
        walker = Walker(client)
        await walker.open()
        await walker.until("trials")
        for _ in range(3):
            await walker.step()
        form = walker.form({f"rating-{key}": "2" for key in walker.sent[1]})
        postgres.kill()

        page = await walker.send(form)
        assert walker.status == 503 and "kept on this page" in walker.html
        assert page.hidden == form  # a form that sends the same again, without any script
        assert (await client.get("/s/demo")).status_code == 503
        await walker.send(page.hidden)
        assert walker.status == 503 and walker.page.hidden == form

        before = postgres.url
        postgres.start()
        assert postgres.url == before
        await walker.send(walker.page.hidden)
        assert walker.page.heading == "Explanation 5 of 12"
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Rating)) == 4 * 5
        newest = select(func.max(Rating.created_at)).scalar_subquery()
        assert (await session.scalars(select(Rating.value).where(Rating.created_at == newest))).all() == [2] * 5
    await engine.dispose()
