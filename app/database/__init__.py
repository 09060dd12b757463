"""The database: base model, engine and sessions, embedded PostgreSQL, migrations."""
