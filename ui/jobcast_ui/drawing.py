"""Pieces of pictures, written out as Vega-Lite wants them: a library takes longer to write one than a page to read.

Values that are not known are None, never NaN, which JSON does not have; a line breaks there.
"""

from datetime import UTC, datetime
from typing import Any

Drawing = dict[str, Any]
"""A specification of Vega-Lite."""

Rows = list[dict[str, Any]]

LEGEND: Drawing = {"orient": "top", "labelLimit": 320, "columns": 2}
SHAPES: Drawing = {**LEGEND, "orient": "bottom", "symbolFillColor": "gray", "symbolStrokeColor": "gray"}
"""Legend of shapes, which have no colour of their own."""

COLORS: Drawing = {"range": ["#3b76d6", "#d1652f", "#1a9a6c", "#9b5fc0", "#b08d12", "#c9516b", "#4f8f9e", "#7d7d7d"]}
"""Scale of colours that are told apart on light and on dark."""

SHARE: Drawing = {"axis": {"format": "%"}, "scale": {"domain": [0, 1]}}
"""Axis and scale of a share."""


def number(field: str, title: str | None = None, **more: Any) -> Drawing:
    """The encoding of a number."""
    return {"field": field, "type": "quantitative", "title": title or field, **more}


def name(field: str, title: str | None = None, **more: Any) -> Drawing:
    """The encoding of a name, in the order of the rows."""
    return {"field": field, "type": "nominal", "title": title, "sort": None, **more}


def time(field: str, title: str, form: str) -> Drawing:
    """The encoding of a moment, given as `moment` writes it."""
    return {"field": field, "type": "temporal", "title": title, "axis": {"labelOverlap": True, "format": form}}


def moment(seconds: float) -> str:
    """Unix seconds as the picture shows them: in UTC, whatever the visitor's zone is."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%f}"


def told(*fields: str, form: str = ",.4~g") -> list[Drawing]:
    """What is told of a mark under the pointer: numbers by their fields."""
    return [{"field": field, "type": "quantitative", "format": form} for field in fields]


def of(rows: Rows) -> Drawing:
    """The data of a picture or of a layer."""
    return {"values": rows}
