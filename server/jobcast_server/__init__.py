"""Serves bundles over gRPC: one asyncio process, low latency, honest errors."""
