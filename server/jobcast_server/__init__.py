"""Serves bundles over gRPC: one asyncio process, low latency, honest errors.

onnxruntime sends telemetry unless told otherwise before it loads, so the package says no before anything else.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
