from typing import final

__all__ = ["Kernel", "kernels", "library_path", "rewrite", "versions"]

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
