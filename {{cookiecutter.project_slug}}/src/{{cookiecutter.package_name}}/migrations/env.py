"""Alembic's side of our `migrate` command, which hands over a connection; it can't be run alone."""

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(
        dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, literal_binds=True
    )
else:
    context.configure(connection=connection, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
