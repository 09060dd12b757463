"""The job queue's own schema, from the installed procrastinate (https://procrastinate.readthedocs.io)."""

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # by the driver itself: the text has several statements, and % signs that are no parameters
    op.get_bind().connection.driver_connection.execute(SchemaManager.get_schema())


def downgrade() -> None:
    op.execute(
        """
        do $$
        declare thing record;
        begin
            for thing in select tablename from pg_tables where schemaname = current_schema and tablename like 'procrastinate\\_%' loop
                execute format('drop table if exists %I cascade', thing.tablename);
            end loop;
            for thing in
                select p.oid::regprocedure as signature from pg_proc p
                where p.pronamespace = current_schema::regnamespace and p.proname like 'procrastinate\\_%'
            loop
                execute format('drop function if exists %s cascade', thing.signature);
            end loop;
            for thing in
                select t.typname from pg_type t
                where t.typnamespace = current_schema::regnamespace and t.typname like 'procrastinate\\_%' and t.typtype in ('e', 'c')
            loop
                execute format('drop type if exists %I cascade', thing.typname);
            end loop;
        end $$
        """
    )
