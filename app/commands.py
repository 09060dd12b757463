"""Commands of the whole application: serve, migrate, doctor."""

from __future__ import annotations

import os
import signal
import socket
import sys

import click
import uvicorn

from app.database.embedded import database_url
from app.database.migrate import upgrade
from app.doctor import examine
from app.errors import InputError
from app.settings import get_settings


def run_server(host: str, port: int, workers: int) -> None:
    """Serve until SIGINT or SIGTERM. The embedded database is started here, once, and handed to all server processes.

    Raises InputError when the port is taken.
    """
    url = database_url(get_settings())
    os.environ["BLINDRATE_DATABASE_URL"] = url
    get_settings().secret()  # made before several processes could want to
    get_settings.cache_clear()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"cannot serve on {host}:{port} ({error.strerror}); choose another port with --port"
            ) from error
    # uvicorn hands the signal on after its own shutdown; by default SIGTERM would then end the process before the embedded
    # database is stopped
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: sys.exit(0))
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        log_level="warning",
        access_log=False,
        proxy_headers=True,
        server_header=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=75,  # longer than a proxy's, so that no form meets a connection that is just being closed
        timeout_worker_healthcheck=60,  # a busy process is not a dead one: killing it would cut off its participants
    )


@click.command(epilog="Example: blindrate serve --port 8000 --workers 2")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Server processes.")
def serve(host: str, port: int, workers: int) -> None:
    """Serve the web application (run `blindrate migrate` first)."""
    run_server(host, port, workers)


@click.command(epilog="Example: blindrate migrate")
def migrate() -> None:
    """Bring the database to the newest schema. Does nothing when it is there already."""
    upgrade(database_url(get_settings()))
    click.echo("The database is at the newest schema.")


@click.command(epilog="Example: blindrate doctor")
def doctor() -> None:
    """Check the installation and say what to mend. Exit status 1 when something that is needed is amiss."""
    findings = list(examine(get_settings()))
    for finding in findings:
        mark = "ok  " if finding.well else "MEND" if finding.required else "note"
        click.echo(f"{mark}  {finding.what}: {finding.seen}")
        if finding.advice:
            click.echo(f"      {finding.advice}")
    if any(not finding.well and finding.required for finding in findings):
        raise SystemExit(1)
