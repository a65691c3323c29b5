"""The schema's history, for Alembic. One file a step; a step that was released is never changed."""
