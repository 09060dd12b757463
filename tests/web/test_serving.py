"""The demo comes up by itself, stops cleanly with its database, and starts again after it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import free_port, wait_until_ready

pytestmark = pytest.mark.slow


@contextmanager
def demo(data: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`blindrate demo` on `data`, once it is ready; and its address."""
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BLINDRATE_")} | {
        "BLINDRATE_DATA_DIR": str(data)
    }
    command = [sys.executable, "-m", "app.cli", "demo", "--port", str(port), "--no-browser"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process, seconds=90)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def postmaster(data: Path) -> psutil.Process | None:
    """The embedded database's process, while it runs."""
    file = data / "postgres" / "postmaster.pid"
    try:
        return psutil.Process(int(file.read_text().splitlines()[0]))
    except (OSError, psutil.NoSuchProcess):
        return None


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo-data")
    yield folder
    left = postmaster(folder)
    if left is not None:
        left.send_signal(signal.SIGINT)


def test_the_demo_prints_its_links_and_serves_the_study(data: Path) -> None:
    with demo(data) as (process, address):
        assert process.stdout is not None
        lines = [next(process.stdout).strip() for _ in range(5)]
        assert f"Participants: {address}/s/demo" in lines and f"Admin: {address}/admin" in lines
        assert any(line.startswith("Researcher: ") for line in lines) and any(
            line.startswith("Password: ") for line in lines
        )
        assert httpx.get(f"{address}/s/demo?PROLIFIC_PID=somebody").status_code == 200


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_and_the_database_cleanly(data: Path, ending: signal.Signals) -> None:
    with demo(data) as (process, _):
        assert postmaster(data) is not None
        process.send_signal(ending)
        assert process.wait(60) == 0
    assert postmaster(data) is None  # PostgreSQL removes its pid file only when it was shut down in order


def test_a_database_left_by_a_kill_is_taken_up_again_with_all_data(data: Path) -> None:
    with demo(data) as (process, _):
        process.kill()
    with demo(data) as (process, address):
        assert process.stdout is not None
        assert next(process.stdout).startswith("Participants: ")  # nothing was loaded anew
        assert httpx.get(f"{address}/s/demo").status_code == 200
        process.terminate()
        assert process.wait(60) == 0
    assert postmaster(data) is None
