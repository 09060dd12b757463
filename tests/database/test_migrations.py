"""Migrations are the only way a table comes to be, and they lead to what the models say."""

from __future__ import annotations

from alembic import command
from sqlalchemy import create_engine, inspect

from app.database.migrate import alembic_config, downgrade, upgrade


def test_models_and_migrations_agree(database: str) -> None:
    command.check(alembic_config(database))  # raises when a difference is left


def test_the_whole_way_down_and_up_again_leaves_nothing_and_then_everything(database: str) -> None:
    engine = create_engine(database)
    before = set(inspect(engine).get_table_names())
    downgrade(database, "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    upgrade(database)
    assert set(inspect(engine).get_table_names()) == before
    engine.dispose()
