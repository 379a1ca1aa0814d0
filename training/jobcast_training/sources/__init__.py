"""Readers of job records: each turns one format into the typed record table."""
