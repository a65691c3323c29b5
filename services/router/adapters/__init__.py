"""The router's ports as they are: gRPC to providers and ledger, SQLite for the journal."""
