"""MLServer runtime for the bundles: answers exactly what their graph gives, one thread per call.

MLServer has no ONNX runtime of its own. Put this file's folder on MLServer's PYTHONPATH and start it on the repository:
`PYTHONPATH=deploy/mlserver mlserver start models`. It needs mlserver, onnxruntime and numpy. It checks no unit and no
range; a caller sends every input of the graph, NaN (null in JSON) or an empty text where a value is not known.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime loads

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput
from mlserver.utils import get_model_uri
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument


class OnnxModel(MLModel):
    """One version of a bundle, named by `parameters.uri` and `parameters.version` of its model-settings.json."""

    async def load(self) -> bool:
        """Load the graph; raises onnxruntime's own error when the file is no graph."""
        path = await get_model_uri(self.settings, wellknown_filenames=["model.onnx"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run the graph on all rows of the request; raises InferenceError for inputs that the graph refuses."""
        wanted = [output.name for output in payload.outputs] if payload.outputs else self._outputs
        try:
            answers = self._session.run(wanted, {tensor.name: _array(tensor) for tensor in payload.inputs})
        except (ValueError, InvalidArgument, Fail) as error:
            raise InferenceError(str(error)) from error
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[NumpyCodec.encode_output(name, values) for name, values in zip(wanted, answers, strict=True)],
        )


def _array(tensor: RequestInput) -> NDArray[np.generic]:
    if tensor.datatype != "BYTES":
        return NumpyCodec.decode_input(tensor)
    # MLServer's text codec turns nested lists into empty texts without a word; the protocol allows them.
    items = np.array(tensor.data.root, dtype=object).ravel()
    texts = [item.decode() if isinstance(item, bytes) else item for item in items]
    return np.array(texts, dtype=object).reshape(tensor.shape)
