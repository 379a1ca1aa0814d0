"""KServe model server of one ONNX graph; runs in KServe's environment, not in ours.

`kserve_onnx.py --model model.onnx --model_name NAME`, and every option of KServe's own.
"""

import asyncio
import logging
import os
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime loads

import onnxruntime
import uvloop
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server  # type: ignore[import-not-found]


class OnnxModel(Model):  # type: ignore[misc]
    """Answers exactly what the graph gives, one thread a call."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self._path = path
        self.load()

    def load(self) -> bool:
        """Load the graph; raises onnxruntime's own error when the file is no graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(self._path, options, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.ready = True
        return self.ready

    def predict(self, payload: InferRequest, headers: dict[str, str] | None = None) -> InferResponse:
        """Run the graph on all rows of the request."""
        answers = self._session.run(self._outputs, {tensor.name: tensor.as_numpy() for tensor in payload.inputs})
        return InferResponse(
            payload.id, self.name, [_output(*pair) for pair in zip(self._outputs, answers, strict=True)]
        )


class ThreadedModel(OnnxModel):
    """The same in a thread, so that the loop is free meanwhile."""

    async def predict(self, payload: InferRequest, headers: dict[str, str] | None = None) -> InferResponse:
        """As `OnnxModel.predict`."""
        return await asyncio.get_running_loop().run_in_executor(None, super().predict, payload, headers)


def _output(name: str, values: Any) -> InferOutput:
    output = InferOutput(name, list(values.shape), "FP32")
    output.set_data_from_numpy(values)
    return output


if __name__ == "__main__":
    model_server.parser.add_argument("--model", required=True)
    model_server.parser.add_argument("--threads", action="store_true")
    asked = model_server.parser.parse_args()
    server = ModelServer(enable_latency_logging=False)
    for logger in ("kserve", "kserve.trace", "uvicorn.access"):  # each has a line for every request
        logging.getLogger(logger).setLevel(logging.WARNING)
    if asked.event_loop == "uvloop":  # its own option is for REST alone
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        asyncio.set_event_loop(asyncio.new_event_loop())  # it asks for one before it runs its own
    server.start([(ThreadedModel if asked.threads else OnnxModel)(asked.model_name, asked.model)])
