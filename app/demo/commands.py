"""Command `blindrate demo`."""

from __future__ import annotations

import asyncio
import os
import threading
import webbrowser
from pathlib import Path

import click

from app.commands import run_server
from app.database.embedded import database_url
from app.database.migrate import upgrade
from app.database.session import command_session
from app.demo.service import EMAIL, SLUG, demo_password, load_demo
from app.settings import get_settings

HOST = "127.0.0.1"


async def _load() -> str:
    settings = get_settings()
    async with command_session(settings) as session:
        if await load_demo(session):
            click.echo("The demo study is loaded.")
        return await demo_password(session, settings.data_dir)


@click.command(epilog="Example: blindrate demo --port 8123 --no-browser")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Instead of BLINDRATE_DATA_DIR.")
@click.option("--no-browser", is_flag=True, help="Do not open the participants' page in a browser.")
def demo(port: int, data_dir: Path | None, no_browser: bool) -> None:
    """Migrate, load the demo study, and serve it until Ctrl-C. All data are kept for the next start."""
    if data_dir is not None:
        os.environ["BLINDRATE_DATA_DIR"] = str(data_dir.resolve())
        get_settings.cache_clear()
    upgrade(database_url(get_settings()))
    password = asyncio.run(_load())
    address = f"http://{HOST}:{port}"
    links = [
        f"Participants: {address}/s/{SLUG}",
        f"Admin: {address}/admin",
        f"Researcher: {EMAIL}",
        f"Password: {password}",
    ]
    click.echo("\n".join(links))
    click.echo("Ctrl-C stops the server; the data stay.")
    if not no_browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.name == "nt"):
        threading.Timer(2.0, webbrowser.open, [f"{address}/s/{SLUG}"]).start()
    run_server(HOST, port, workers=1)
