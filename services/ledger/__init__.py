"""The system of record: one row per upstream call."""
