"""Files that people take for text."""

PACKED = {
    b"\x1f\x8b": "a gzip file: unpack it",
    b"PK\x03\x04": "a workbook or an archive: save it as CSV",
    b"PAR1": "Parquet: name it .parquet",
    b"\xff\xfe": "UTF-16: save it as UTF-8",
    b"\xfe\xff": "UTF-16: save it as UTF-8",
}
"""What they are and what to do, by how they begin."""


def packed(start: bytes) -> str | None:
    """What a file is that begins so, and what to do; None where that tells nothing."""
    return next((kind for first, kind in PACKED.items() if start.startswith(first)), None)
