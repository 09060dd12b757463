"""How many ratings a second the real server takes, beside what the database alone would take.

Starts `blindrate serve` on a fresh database, lets participants walk the real pages over keep-alive connections, and counts the
ratings of confirmed trials (five a trial, each trial one transaction). As a yardstick the same rows are stored by the database
driver alone, one transaction a trial, from as many connections. The ratio tells what the pages cost, on any machine.

    python benchmarks/ratings.py --participants 200 --at-once 16 --workers 2

Without --database an embedded PostgreSQL in a temporary folder is used (fsync on).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlencode

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app.database.embedded import plain_url, start
from app.database.migrate import upgrade
from app.database.session import make_engine, make_sessions
from tests.factories import make_study

HIDDEN = re.compile(r'type="hidden" name="([^"]+)" value="([^"]*)"')
RADIO = re.compile(r'type="radio" name="([^"]+)" id="[^"]+" value="([^"]*)"')
CONSTRUCTS = 5


class Browser:
    """The least that walks the pages: one connection, one cookie. A full HTTP client would cost more than the server."""

    def __init__(self, port: int) -> None:
        self.port, self.cookie = port, ""

    async def __aenter__(self) -> Browser:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.writer.close()
        await self.writer.wait_closed()

    async def request(self, method: str, body: str = "") -> tuple[int, str]:
        """Status and body."""
        head = f"{method} /s/bench HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nCookie: {self.cookie}\r\n"
        if body:
            head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        self.writer.write(f"{head}\r\n{body}".encode())
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        length = 0
        for name, _, value in (line.partition(": ") for line in lines[1:]):
            if name.lower() == "content-length":
                length = int(value)
            elif name.lower() == "set-cookie":
                self.cookie = value.partition(";")[0]
        return int(lines[0].split()[1]), (await self.reader.readexactly(length)).decode()


async def walk(port: int, gate: asyncio.Semaphore) -> int:
    """One participant from the link to the end; the number of trials."""
    trials = 0
    async with gate, Browser(port) as browser:
        while True:
            status, page = await browser.request("GET")
            if status != 200 or "completion-code" in page:
                return trials
            fields = dict(HIDDEN.findall(page))
            if fields["step"] == "consent":
                fields["consent"] = "yes"
            fields |= {name: value for name, value in RADIO.findall(page) if name.startswith("rating-")}
            status, answer = await browser.request("POST", urlencode(fields))
            if status != 303:
                raise RuntimeError(f"status {status} at step {fields['step']}: {answer[:200]}")
            trials += fields["step"] == "trials"


async def through_the_pages(port: int, participants: int, at_once: int) -> float:
    """Ratings a second through the pages."""
    gate = asyncio.Semaphore(at_once)
    begin = time.perf_counter()
    trials = sum(await asyncio.gather(*(walk(port, gate) for _ in range(participants))))
    return trials * CONSTRUCTS / (time.perf_counter() - begin)


async def database_alone(url: str, trials: int, at_once: int) -> float:
    """Ratings a second when the driver stores five rows a transaction, from `at_once` connections."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(
            "create table yardstick (trial bigint, construct int, value smallint, primary key (trial, construct))"
        )

    async def store(numbers: range) -> None:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            for number in numbers:
                values = ",".join(f"({number},{c},3)" for c in range(CONSTRUCTS))
                await connection.execute(f"insert into yardstick values {values}")
                await connection.commit()

    begin = time.perf_counter()
    await asyncio.gather(*(store(range(i, trials, at_once)) for i in range(at_once)))
    return trials * CONSTRUCTS / (time.perf_counter() - begin)


async def measure(url: str, port: int, arguments: argparse.Namespace) -> None:
    """Set up the study, measure both, print."""
    engine = make_engine(url)
    async with make_sessions(engine)() as session:
        await make_study(session, slug="bench", questions=96, comprehension=[], practice=None, background=[])
    await engine.dispose()
    await through_the_pages(port, arguments.at_once, arguments.at_once)  # every server process has seen every page once
    pages = await through_the_pages(port, arguments.participants, arguments.at_once)
    alone = await database_alone(plain_url(url), arguments.participants * 12, arguments.at_once)
    print(
        f"through the pages   {pages:8.0f} ratings/s  ({arguments.participants} participants, {arguments.at_once} at once, "
        f"{arguments.workers} server processes, {os.cpu_count()} cores)"
    )
    print(f"the database alone  {alone:8.0f} ratings/s")
    print(f"ratio               {pages / alone:8.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--participants", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--database", help="URL of an empty PostgreSQL database")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="blindrate-bench-"))
    url = arguments.database or start(folder)
    url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    upgrade(url)
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "BLINDRATE_DATABASE_URL": plain_url(url),
        "BLINDRATE_DATA_DIR": str(folder / "data"),
        "BLINDRATE_SECRET_KEY": uuid.uuid4().hex,
    }
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), "--workers", str(arguments.workers)]
    with subprocess.Popen(command, env=environment) as server:
        try:
            for _ in range(300):
                with suppress(urllib.error.URLError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
                    break
                time.sleep(0.2)
            asyncio.run(measure(url, port, arguments))
        finally:
            server.terminate()
    shutil.rmtree(folder, ignore_errors=not arguments.database)


if __name__ == "__main__":
    main()
