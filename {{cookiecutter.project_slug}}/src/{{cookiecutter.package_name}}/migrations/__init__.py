"""The history of the schema. Only `migrate` imports Alembic, and only it changes a table."""
