"""Execution times of serving tasks: their records, the facts of hardware and models, and how `llm-latency` learns."""
