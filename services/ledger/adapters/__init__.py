"""How the ledger keeps what it books: SQLAlchemy over SQLite."""
