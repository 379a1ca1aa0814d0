"""LitServe of one ONNX graph with one input; runs in LitServe's environment, not in ours.

`POST /predict` with `{"numbers": [...]}`, one row, is answered by `{"quantiles": [...]}`; null stands for NaN.
"""

import argparse
import os
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime loads

import litserve  # type: ignore[import-not-found]
import numpy as np
import onnxruntime


class OnnxApi(litserve.LitAPI):  # type: ignore[misc]
    """Answers exactly what the graph gives, one thread a call."""

    def __init__(self, path: str, max_batch_size: int, batch_timeout: float) -> None:
        super().__init__(max_batch_size=max_batch_size, batch_timeout=batch_timeout)
        self._path = path
        self._batched = max_batch_size > 1

    def setup(self, device: str) -> None:
        """Load the graph in the process that computes."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(self._path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def decode_request(self, request: dict[str, Any]) -> Any:
        """A row, [24]."""
        return np.array(request["numbers"], dtype=np.float64)

    def predict(self, x: Any) -> Any:
        """The graph's first output: of one row [1], of a batch [N, 1]."""
        found = self._session.run(None, {self._input: x if self._batched else x[np.newaxis]})[0]
        return found if self._batched else found[0]

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Plain data."""
        return {"quantiles": output.tolist()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-batch-size", type=int, default=1)
    parser.add_argument("--batch-timeout", type=float, default=0.0)
    parser.add_argument("--fast-queue", action="store_true")
    asked = parser.parse_args()
    api = OnnxApi(asked.model, asked.max_batch_size, asked.batch_timeout)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=asked.fast_queue)
    # One process answers HTTP and one computes: there is one core.
    server.run(
        host="127.0.0.1", port=asked.port, num_api_servers=1, log_level="warning", generate_client_file=False,
        access_log=False,
    )  # fmt: skip
