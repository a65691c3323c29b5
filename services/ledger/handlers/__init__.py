"""The ledger's use cases: a message and its handler each."""
