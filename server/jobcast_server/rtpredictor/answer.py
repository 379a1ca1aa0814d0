"""From the graph's outputs to bytes of `PredictResponse`, all rows at once.

A protobuf message is its fields in any order, so every row has one fixed layout and only the category, which comes
last, varies in length:

    0a len len | 09 f64 point | 15 f32 lower | 1d f32 upper | 22 n version | 28 time (5 bytes) | 41 f64 confidence
    | 5a n levels | 62 n quantiles | 69 f64 limit | 3a n category

`0a len len` frames the row as one of `PredictBatchResponse.predictions`; a lone answer is the row without it. What
only some answers carry (request id, contributions) is appended as bytes of its own: protobuf merges them.
"""

import math
import struct
import time
from typing import Any

import numpy as np
import rt_predictor_pb2 as pb
from jobcast_proto.manifest import Manifest
from numpy.typing import NDArray

FRAME = 3
CATEGORIES = ((3600.0, b"short"), (6 * 3600.0, b"medium"), (24 * 3600.0, b"long"), (math.inf, b"very_long"))


def confidence(lower: float, upper: float) -> float:
    """How narrow the interval (s) is on the log scale: 1 / (1 + ln((1 + upper) / (1 + lower))), in (0, 1]."""
    return 1.0 / (1.0 + math.log((1.0 + upper) / (1.0 + lower)))


def category(seconds: float) -> int:
    """Index into `CATEGORIES` of a run time."""
    return 0 if seconds < 3600.0 else 1 if seconds < 21600.0 else 2 if seconds < 86400.0 else 3


class Encoder:
    """Writes answers of one bundle."""

    def __init__(self, manifest: Manifest) -> None:
        levels = np.array(manifest.quantile_levels, "<f8")
        self._lower, self._upper = (manifest.quantile_levels.index(level) for level in manifest.interval_levels)
        self._limit = manifest.quantile_levels.index(manifest.limit_level)
        version = str(manifest.version).encode()
        size = _varint(8 * len(levels))
        self._head = b"\x22" + _varint(len(version)) + version + b"\x28"
        parts: list[tuple[str, bytes, Any]] = [  # field of the row, bytes before it, its type
            ("length", b"\x0a", ("u1", 2)),
            ("point", b"\x09", "<f8"),
            ("lower", b"\x15", "<f4"),
            ("upper", b"\x1d", "<f4"),
            ("time", self._head, ("u1", 5)),
            ("confidence", b"\x41", "<f8"),
            ("levels", b"\x5a" + size, ("<f8", len(levels))),
            ("quantiles", b"\x62" + size, ("<f8", len(levels))),
            ("limit", b"\x69", "<f8"),
            ("category", b"\x3a", ("u1", 1 + max(len(name) for _, name in CATEGORIES))),
        ]
        self._grid = b"\x5a" + size + levels.tobytes() + b"\x62" + size
        self._one = struct.Struct(f"<sdsfsf{len(self._head)}s5ssd{len(self._grid)}s{len(levels)}dsd")
        self._kinds = [b"\x3a" + _varint(len(name)) + name for _, name in CATEGORIES]
        self._layout, self._blank = _lay_out(parts)
        self._blank.view(self._layout)["levels"] = levels
        self._names = np.zeros((len(CATEGORIES), 1 + max(len(name) for _, name in CATEGORIES)), "u1")
        self._widths = []
        for index, (_, name) in enumerate(CATEGORIES):
            self._names[index, : 1 + len(name)] = np.frombuffer(_varint(len(name)) + name, "u1")
            self._widths.append(len(self._blank) - self._names.shape[1] + 1 + len(name))
        lengths = [width - FRAME for width in self._widths]
        self._lengths = np.array([(length & 0x7F | 0x80, length >> 7) for length in lengths], "u1")

    def rows(self, quantiles: NDArray[np.float32], point: NDArray[np.float32]) -> list[bytes]:
        """Framed answers of N rows from quantiles [N, L] and point [N, 1], in seconds."""
        lower, upper = quantiles[:, self._lower], quantiles[:, self._upper]
        points = point[:, 0]
        kinds = [category(seconds) for seconds in points.tolist()]
        data = np.empty((len(kinds), len(self._blank)), "u1")
        data[:] = self._blank
        rows = data.view(self._layout)[:, 0]
        rows["length"] = self._lengths[kinds]
        rows["point"] = points
        rows["lower"] = lower
        rows["upper"] = upper
        rows["time"] = _timestamp(int(time.time()))
        rows["confidence"] = list(map(confidence, lower.tolist(), upper.tolist()))
        rows["quantiles"] = quantiles
        rows["limit"] = quantiles[:, self._limit]
        rows["category"] = self._names[kinds]
        raw = data.tobytes()
        starts = range(0, len(raw), len(self._blank))
        return [raw[start : start + self._widths[kind]] for start, kind in zip(starts, kinds, strict=True)]

    def one(self, quantiles: NDArray[np.float32], point: NDArray[np.float32]) -> bytes:
        """The answer, without a frame, of the only row: the same bytes as `rows`, made for speed at N = 1."""
        seconds = quantiles[0].tolist()
        lower, upper = seconds[self._lower], seconds[self._upper]
        median = point.item()
        fixed = self._one.pack(
            b"\x09", median, b"\x15", lower, b"\x1d", upper, self._head, bytes(_timestamp(int(time.time()))),
            b"\x41", confidence(lower, upper), self._grid, *seconds, b"\x69", seconds[self._limit],
        )  # fmt: skip
        return fixed + self._kinds[category(median)]


def failure(problem: str, request_id: str = "") -> bytes:
    """A `PredictResponse` that says why its item failed."""
    message = pb.PredictResponse(
        request_id=request_id, runtime_category="error", error=problem, prediction_timestamp=int(time.time())
    )
    return bytes(message.SerializeToString())


def framed(message: bytes) -> bytes:
    """The message as one of `PredictBatchResponse.predictions`."""
    return b"\x0a" + _varint(len(message)) + message


def _lay_out(parts: list[tuple[str, bytes, Any]]) -> tuple[np.dtype[Any], NDArray[np.uint8]]:
    """The row as a structured type without padding, and one row of bytes with every tag in place."""
    names, formats, offsets, fixed = [], [], [], b""
    for name, before, kind in parts:
        fixed += before
        names.append(name)
        formats.append(kind)
        offsets.append(len(fixed))
        fixed += bytes(np.dtype(kind).itemsize)
    layout = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": len(fixed)})
    return layout, np.frombuffer(bytearray(fixed), "u1")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _timestamp(seconds: int) -> list[int]:
    return [seconds >> shift & 0x7F | 0x80 for shift in (0, 7, 14, 21)] + [seconds >> 28 & 0x7F]
