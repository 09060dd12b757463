"""Commands `blindrate backup` and `blindrate restore`: pg_dump and pg_restore, as the embedded server brings them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import click
import psycopg
from sqlalchemy.engine import make_url

from app.database.embedded import bin_folder, database_url, plain_url
from app.database.migrate import upgrade
from app.errors import InputError
from app.settings import get_settings


def _tool(name: str) -> str:
    """The embedded server's own program (PostgreSQL 18 reads every older server), else the one on the path."""
    own = bin_folder() / name
    found = str(own) if own.exists() else shutil.which(name)
    if not found:
        raise InputError(f"{name} was not found; install PostgreSQL's client programs")
    return found


def _run(arguments: list[str], url: str) -> None:
    """Run a client program; the password goes by the environment, so that no process list shows it."""
    parts = make_url(url)
    environment = os.environ | ({"PGPASSWORD": str(parts.password)} if parts.password else {})
    shown = parts.set(password=None).render_as_string(hide_password=False).replace("+psycopg", "")
    done = subprocess.run([*arguments, "--dbname", shown], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InputError(f"{Path(arguments[0]).name} failed: {done.stderr.strip() or done.returncode}")


@click.command(epilog="Example: blindrate backup study-2026-11-24.dump")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Write the whole database to FILE (pg_dump's custom form). May run beside a running server."""
    if file.exists():
        raise InputError(f"{file} exists already; choose another name, an existing backup is never overwritten")
    if not file.absolute().parent.is_dir():
        raise InputError(f"{file.parent}: there is no such folder")
    url = database_url(get_settings())
    partial = file.with_name(file.name + ".partial")
    try:
        _run([_tool("pg_dump"), "--format=custom", "--no-owner", "--no-privileges", f"--file={partial}"], url)
        partial.rename(file)
    finally:
        partial.unlink(missing_ok=True)
    click.echo(f"The database is in {file} ({file.stat().st_size:,} bytes).")


@click.command(epilog="Example: blindrate restore study-2026-11-24.dump --yes")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--yes", is_flag=True, help="Do not ask before what is in the database is replaced.")
def restore(file: Path, yes: bool) -> None:
    """Replace the database's content by that of a backup FILE: all of it, or, when anything fails, nothing."""
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    if file.read_bytes()[:5] != b"PGDMP":
        raise InputError(f"{file} is not a backup that `blindrate backup` made")
    url = database_url(get_settings())
    with psycopg.connect(plain_url(url)) as connection:
        known = connection.execute("select to_regclass('participants')").fetchone()
        answered = connection.execute("select count(*) from ratings").fetchone() if known and known[0] else (0,)
    if answered and answered[0] and not yes:
        click.confirm(f"The database holds {answered[0]} ratings. Replace everything by {file}?", abort=True)
    restored = [
        _tool("pg_restore"),
        "--clean",
        "--if-exists",
        "--no-owner",
        "--no-privileges",
        "--single-transaction",
        str(file),
    ]
    _run(restored, url)
    upgrade(url)
    click.echo(f"The database was restored from {file}.")
