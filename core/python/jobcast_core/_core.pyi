from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, final

_Seconds: TypeAlias = tuple[float, float, float]
_Text: TypeAlias = tuple[bool, int | None, set[bytes] | None, bytes]
_Double: TypeAlias = tuple[float, float, bool, float | None, float]
_Long: TypeAlias = tuple[int, int, int | None]
_Contract: TypeAlias = tuple[
    Sequence[tuple[float, float]], Sequence[int], tuple[int, int], Sequence[float], tuple[int, int], int
]

__all__ = [
    "INTERFACE",
    "Admitted",
    "Counter",
    "Engine",
    "Features",
    "Histogram",
    "InferRequest",
    "Kernel",
    "Listener",
    "Panicked",
    "Passes",
    "Places",
    "Rate",
    "features",
    "fuse",
    "kernels",
    "library_path",
    "read_infer",
    "rewrite",
    "split",
    "versions",
]

INTERFACE: int
"""Raised by one whenever the server calls this core in a way that older ones do not know."""

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

@final
class Features:
    """Plain operators of a graph that a session of this process holds as one, `jobcast.Features`."""

    @property
    def serial(self) -> int:
        """Numbers them and forests in the order of their making, from 1."""

    @property
    def node(self) -> str:
        """Name of the node in its graph."""

    @property
    def operators(self) -> int:
        """Operators that it replaces, those that only rearrange included."""

    @property
    def instructions(self) -> int:
        """Instructions of its program."""

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

def fuse(model: bytes) -> bytes:
    """Return the bytes of a model with `jobcast.Features` in the place of operators that it computes, bit for bit.

    A model in which nothing is replaced comes back as it is.

    Raises:
        ValueError: the bytes are no model, or the model is of a kind in which no operator is replaced.
    """

def features() -> list[Features]:
    """Return the fused operators of all sessions of this process, in the order of their making."""

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
        The contract is bounds of the five numbers of a job, most bytes of its five texts, bounds of its time of
        submission, quantile levels, the places of the interval's ends, and the place of the suggested limit.

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

@final
class Counter:
    """A number that only grows; any thread may count."""

    def __new__(cls) -> Counter: ...
    def inc(self, times: int = 1) -> None:
        """Count."""

    def value(self) -> int:
        """Return how often something was counted."""

@final
class Histogram:
    """Values by the first of ascending bounds that they do not exceed, and their sum; any thread may count."""

    def __new__(cls, bounds: Sequence[float]) -> Histogram: ...
    def observe(self, value: float, times: int = 1) -> None:
        """Count one value, `times` times."""

    def counts(self) -> tuple[list[int], float]:
        """Return counts by bound, each of its own, with one more for what exceeds them all; and the sum."""

@final
class Passes:
    """Passes by their rows; any thread may count."""

    def __new__(cls) -> Passes: ...
    @property
    def rows(self) -> int:
        """Rows of all passes."""

    @property
    def last(self) -> int:
        """Time of the latest pass in ms since 1970; 0 = never."""

    def add(self, rows: int, decode: float, compute: float, encode: float) -> None:
        """Count a pass with its three times in seconds."""

    def lines(self) -> list[tuple[int, int, float, float, float]]:
        """Return rows, passes, and seconds of decode, compute and encode, by ascending rows."""

@final
class Places:
    """Places for calls, streams and batch rows, at most as many as it is made with; any thread may take them."""

    def __new__(cls, calls: int, streams: int, rows: int) -> Places: ...
    @property
    def calls(self) -> int:
        """Calls in hand."""

    @property
    def streams(self) -> int:
        """Open streams."""

    @property
    def rows(self) -> int:
        """Rows that wait or are computed."""

    def take_call(self) -> bool:
        """Take a place; False when there is none."""

    def leave_call(self) -> None:
        """Give it back."""

    def take_stream(self) -> bool:
        """Take a place; False when there is none."""

    def leave_stream(self) -> None:
        """Give it back."""

    def take_rows(self, rows: int) -> bool:
        """Take places; False when they do not fit."""

    def leave_rows(self, rows: int) -> None:
        """Give them back."""

@final
class Rate:
    """So many calls a second, of which a burst may come at once (at least one); any thread may ask."""

    def __new__(cls, per_second: float, burst: float) -> Rate: ...
    def take(self) -> bool:
        """Count a call and return True, or return False when none may be made now."""

_Limits: TypeAlias = Mapping[str, float | None]
_Status: TypeAlias = tuple[int, str, list[tuple[str, bytes]]]

@final
class Listener:
    """A gRPC port served by threads of the core, which answer what is plainly valid; the rest is handed over.

    `limits` holds message_bytes, header_bytes, concurrent_streams, pending_resets, batch_rows, piece_rows, together,
    connections, trace_ratio, and the seconds handshake_s, message_s, keepalive_s, keepalive_timeout_s. `meters` holds
    what it counts in: predict, batch, stream and infer, each (success, error, rejected, seconds), and batch_size,
    prediction, served. `methods` says by path whether messages stream. `threads` have the connections, `workers`
    compute many rows.
    """

    def __new__(
        cls, limits: _Limits, places: Places, meters: Mapping[str, Any], overload: str, draining: str,
        methods: Mapping[str, bool], threads: int, workers: int, echo: bool,
    ) -> Listener: ...  # fmt: skip
    def start(self, descriptor: int) -> None:
        """Serve a socket that listens, which is then the listener's.

        Raises:
            OSError: the descriptor is none, or the system gives no thread.
        """

    def serve(self, models: Sequence[tuple[str, str, Engine, Mapping[str, Any], bool]], contract: str) -> None:
        """Let these versions answer from now on: name, version, engine, statistics, whether it answers for the name.

        What serves the name `contract` answers `rtpredictor.v1`.
        """

    def admit(self, keys: Sequence[tuple[bytes, Rate]] | None) -> None:
        """Have hot calls answered here for these keys alone, by the SHA-256 of their secrets; for all when None.

        Calls with another key or none, or beyond their rate, are handed over.
        """

    def secure(self, chain: bytes, key: bytes, clients: bytes | None = None) -> None:
        """Encrypt new connections with a certificate chain and its key, in PEM; `clients` are authorities of callers.

        Raises:
            ValueError: they are no such things, or do not belong together; what was in force before goes on.
        """

    def fileno(self) -> int:
        """Return what becomes readable when something happened."""

    def events(self) -> list[tuple[Any, ...]]:
        """Return what happened since: a word, the number of the call, and what belongs to it.

        `call`: path, message (None for a stream), who calls, metadata, seconds left, whether its key was checked and
        counted.
        `message`: bytes, None at the end. `written`. `gone`. `predictions`: messages of a stream, an answer each.
        """

    def read(self, id: int) -> None:
        """Read the next message of a stream."""

    def write(self, id: int, message: bytes) -> None:
        """Write a message."""

    def finish(self, id: int, status: _Status | None = None) -> None:
        """End a call; well without a status."""

    def answer(self, id: int, answers: Sequence[bytes]) -> None:
        """Answer messages of a stream of predictions."""

    def drain(self) -> None:
        """End streams of predictions, and hand every new call over, to be refused."""

    def stop(self) -> None:
        """Take no more connections and calls."""

    def close(self) -> None:
        """End every connection, and wait for the threads."""
