"""Measures a real server: latency, throughput, SLOs."""
