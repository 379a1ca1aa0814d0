"""Simulation: a log replayed through the server; nothing is shown before the log's time knows it."""
