"""Alembic's environment: one synchronous connection, one transaction, guarded by an advisory lock."""

from alembic import context
from sqlalchemy import create_engine, pool, text

from app.database.embedded import database_url
from app.database.tables import Base
from app.settings import get_settings

LOCK = 712_504_160_56


def include_object(object_, name, type_, reflected, compare_to) -> bool:
    """The queue's tables belong to procrastinate, not to our models."""
    return not (type_ == "table" and name.startswith(("procrastinate_", "alembic_")))


def run() -> None:
    url = context.config.attributes.get("url") or database_url(get_settings())
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            include_object=include_object,
            compare_server_default=True,
        )
        context.run_migrations()
    engine.dispose()


run()
