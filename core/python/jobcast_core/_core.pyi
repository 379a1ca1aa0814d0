from collections.abc import Sequence
from typing import TypeAlias, final

_Seconds: TypeAlias = tuple[float, float, float]
_Text: TypeAlias = tuple[bool, int | None, set[bytes] | None, bytes]
_Double: TypeAlias = tuple[float, float, bool, float | None, float]
_Long: TypeAlias = tuple[int, int, int | None]
_Contract: TypeAlias = tuple[Sequence[tuple[float, float]], Sequence[int], Sequence[float], tuple[int, int], int]

__all__ = [
    "Admitted",
    "Engine",
    "InferRequest",
    "Kernel",
    "Panicked",
    "kernels",
    "library_path",
    "read_infer",
    "rewrite",
    "split",
    "versions",
]

@final
class Kernel:
    """A forest that a session of this process holds: what it is and how it computes.

    Times were measured when the session was made.
    """

    @property
    def serial(self) -> int:
        """Numbers forests in the order of their making, from 1."""

    @property
    def node(self) -> str:
        """Name of the node in its graph."""

    @property
    def trees(self) -> int:
        """Number of trees."""

    @property
    def oblivious(self) -> int:
        """Those in which all nodes of a level ask the same."""

    @property
    def plain(self) -> int:
        """Those walked as they came, since they fit no byte ranks."""

    @property
    def outputs(self) -> int:
        """Number of outputs."""

    @property
    def segments(self) -> int:
        """Sets of trees with byte ranks of their own."""

    @property
    def single_kernel(self) -> str:
        """Kernel for one row."""

    @property
    def single_us(self) -> float:
        """Time of one row, us."""

    @property
    def batch_kernel(self) -> str:
        """Kernel for more rows."""

    @property
    def batch_block(self) -> int:
        """Rows that a batch is cut to."""

    @property
    def batch_row_us(self) -> float:
        """Time of a row of a batch, us."""

    @property
    def text(self) -> str:
        """All of it in a line."""

def library_path() -> str:
    """Return the path of the library for `SessionOptions.register_custom_ops_library`."""

def rewrite(model: bytes) -> bytes:
    """Return the bytes of a model with `jobcast.Forest` in the place of each TreeEnsembleRegressor.

    Raises:
        ValueError: the bytes are no model, or an ensemble asks for something that the operator does not do.
    """

def versions() -> list[tuple[str, str]]:
    """Return names and versions."""

def kernels() -> list[Kernel]:
    """Return the forests of all sessions of this process, in the order of their making."""

class Panicked(Exception):  # noqa: N818 - what it says is what happened
    """The engine failed on a request, which is a fault of ours."""

@final
class InferRequest:
    """A request of the Open Inference Protocol whose structure is plain."""

    @property
    def model_name(self) -> str:
        """The model it is for."""

    @property
    def model_version(self) -> str:
        """The version it is for; empty for the one that answers now."""

@final
class Admitted:
    """Such a request that keeps every rule of a bundle."""

    @property
    def rows(self) -> int:
        """Its rows."""

@final
class Engine:
    """Requests of one bundle, answered without Python in between.

    Answers what is plainly valid; None is for the Python engine. Beside every answer are the seconds of decode, compute
    and encode. Any thread may call it, several at once. `Panicked` is raised when a request made the engine fail.
    """

    def __new__(
        cls,
        model: bytes,
        inputs: Sequence[tuple[str, _Text | _Double | _Long, Sequence[int]]],
        outputs: Sequence[tuple[str, Sequence[int]]],
        version: str,
        max_rows: int,
        contract: _Contract | None,
    ) -> Engine:
        """Load a graph into the onnxruntime that registered the core's library.

        An input is its name, its rule and its shape without the rows. The rule of texts says whether one is required,
        the most bytes, the only ones allowed, and the default; that of floats the lowest and highest, whether NaN is
        allowed, what else is not known, and the default; that of integers the lowest, the highest, and the default,
        None where an input must be given.
        The contract is bounds of the five numbers of a job, most bytes of its five texts, quantile levels, the places
        of the interval's ends, and the place of the suggested limit.

        Raises:
            ValueError: onnxruntime refuses the graph or did not register the library, or the parts do not fit.
        """

    def predict(self, request: bytes) -> tuple[bytes, _Seconds] | None:
        """Answer a `PredictRequest`."""

    def predict_many(self, requests: list[bytes]) -> tuple[list[bytes | None], _Seconds] | None:
        """Answer several in one pass; None stands for each that is not plainly valid."""

    def part(self, piece: bytes, most: int) -> tuple[bytes, str, int, _Seconds] | None:
        """Answer a piece of a batch of at most `most` jobs: framed answers, batch id, jobs."""

    def run(self, rows: int, columns: list[bytes | list[str]]) -> tuple[list[bytes], _Seconds] | None:
        """Compute rows that somebody else read and checked: numbers of eight bytes, or texts; outputs are float32."""

    def admit(self, request: InferRequest) -> Admitted | None:
        """Check names, types, shapes and values of a request."""

    def infer(self, requests: list[Admitted]) -> tuple[list[bytes], _Seconds] | None:
        """Answer several in one pass."""

def read_infer(request: bytes) -> InferRequest | None:
    """Read the structure of a `ModelInferRequest`; None when it is not plain."""

def split(request: bytes, rows: int) -> list[tuple[bytes, int]]:
    """Cut a `PredictBatchRequest` into pieces of at most `rows` jobs, each with its number of jobs."""
