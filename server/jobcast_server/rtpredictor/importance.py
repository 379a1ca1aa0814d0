"""What each raw input contributes to one prediction: how far the point moves when that input becomes typical.

contribution(input) = point(row) - point(row with the input replaced by the manifest's `baseline`), in the target's
unit. All replacements are one extra vectorised pass. An input without a baseline is replaced by "not known".
"""

from collections.abc import Mapping

import numpy as np
from jobcast_proto.manifest import InputSpec

from jobcast_server.errors import InvalidRequestError, Violation, shorten
from jobcast_server.repository.session import Feeds, Runs

KEY = "feature_importance"
DEFAULT_COUNT = 5


def asked(metadata: Mapping[str, str]) -> int:
    """How many contributions a request asks for; 0 = none.

    Raises:
        InvalidRequestError: the value is neither `true` nor a positive count.
    """
    value = metadata.get(KEY)
    if value is None:
        return 0
    if value == "true":
        return DEFAULT_COUNT
    if value.isdecimal() and value.isascii() and 0 < len(value) < 10 and int(value) > 0:
        return int(value)
    raise InvalidRequestError(
        [Violation(f"metadata[{KEY}]", f"must be 'true' or a positive count, got {shorten(value)}")]
    )


def contributions(
    session: Runs, inputs: list[InputSpec], feeds: Feeds, row: int, point: float, count: int
) -> dict[str, float]:
    """The `count` largest contributions by absolute value to the `point` of one row of `feeds`."""
    varied = [spec for spec in inputs if spec.baseline is not None or spec.type != "int64"]
    rows = {name: np.repeat(values[row : row + 1], len(varied), axis=0) for name, values in feeds.items()}
    for index, spec in enumerate(varied):
        typical = spec.baseline if spec.baseline is not None else "" if spec.type == "string" else np.nan
        rows[spec.name][index] = typical
    _, points = session.run(rows)
    moved = {spec.name: point - float(value) for spec, value in zip(varied, points[:, 0].tolist(), strict=True)}
    return dict(sorted(moved.items(), key=lambda item: -abs(item[1]))[:count])
