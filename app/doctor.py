"""What `blindrate doctor` looks at: each check says what it saw, and when something is amiss, what to do."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import psycopg
from alembic.script import ScriptDirectory

from app.database.embedded import database_url, plain_url
from app.database.migrate import alembic_config
from app.errors import InputError
from app.settings import Settings

MINIMUM_POSTGRES = 15
LITTLE_SPACE = 2 * 1024**3  # bytes


@dataclass(frozen=True)
class Finding:
    """The outcome of one check. `advice` is empty when all is well; `required` tells whether a bad outcome stops Blindrate."""

    what: str
    seen: str
    advice: str = ""
    required: bool = True

    @property
    def well(self) -> bool:
        """Nothing needs mending."""
        return not self.advice


def examine(settings: Settings) -> Iterator[Finding]:
    """All checks, the cheap ones first. Changes nothing, except that the embedded database is started when it is the one used."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", version, "" if sys.version_info >= (3, 11) else "Install Python 3.11 or newer.")
    yield _data_folder(settings)
    yield from _database(settings)
    trained = all(find_spec(name) for name in ("torch", "transformers", "accelerate", "peft"))
    advice = "" if trained else "Run `make training` on machines that distil; a web server does not need it."
    yield Finding("Training extra", "installed" if trained else "not installed", advice, required=False)
    public = settings.base_url or "not set"
    advice = (
        ""
        if settings.secure_cookies
        else "Set BLINDRATE_BASE_URL=https://… on a public server: cookies are then sent over TLS only."
    )
    yield Finding("Public address", public, advice, required=False)


def _data_folder(settings: Settings) -> Finding:
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return Finding(
            "Data folder", f"{folder}: {error.strerror}", "Set BLINDRATE_DATA_DIR to a folder that can be written."
        )
    if not os.access(folder, os.W_OK):
        return Finding("Data folder", f"{folder} cannot be written", "Set BLINDRATE_DATA_DIR to a folder that can.")
    free = shutil.disk_usage(folder).free
    advice = "Make room: a full disk stops the database." if free < LITTLE_SPACE else ""
    return Finding("Data folder", f"{folder.resolve()}, {free / 1024**3:.1f} GiB free", advice)


def _database(settings: Settings) -> Iterator[Finding]:
    kind = "external" if settings.database_url else "embedded"
    try:
        url = database_url(settings)
        with psycopg.connect(plain_url(url), connect_timeout=5) as connection:
            version = connection.info.server_version // 10000
            advice = "" if version >= MINIMUM_POSTGRES else f"Use PostgreSQL {MINIMUM_POSTGRES} or newer."
            yield Finding("Database", f"{kind} PostgreSQL {version} answers", advice)
            row = connection.execute("show synchronous_commit").fetchone()
            durable = row is not None and row[0] in ("on", "remote_apply", "remote_write")
            advice = "" if durable else "Set synchronous_commit = on: a confirmed answer must be on disk."
            yield Finding("Durability", f"synchronous_commit {row and row[0]}", advice)
            known = connection.execute("select to_regclass('alembic_version')").fetchone()
            row = (
                connection.execute("select version_num from alembic_version").fetchone() if known and known[0] else None
            )
    except (psycopg.Error, InputError) as error:
        yield Finding("Database", f"{kind}: {error}".strip(), "Start it, or mend BLINDRATE_DATABASE_URL.")
        return
    newest = ScriptDirectory.from_config(alembic_config(url)).get_current_head()
    current = row[0] if row else "none"
    advice = "" if current == newest else "Run `blindrate migrate`."
    yield Finding("Schema", f"{current} (newest: {newest})", advice)
