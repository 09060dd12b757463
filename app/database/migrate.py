"""Alembic, called from Python: migrations/ is the only way a table comes to be."""

from __future__ import annotations

from alembic import command
from alembic.config import Config

from app.settings import resource


def alembic_config(url: str) -> Config:
    """Alembic's configuration for the database at `url` (SQLAlchemy form)."""
    config = Config()
    config.set_main_option("script_location", str(resource("migrations")))
    config.attributes["url"] = url
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database to `revision`. Safe when several processes start at once (an advisory lock lets one through)."""
    command.upgrade(alembic_config(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Take the database back to `revision`."""
    command.downgrade(alembic_config(url), revision)
