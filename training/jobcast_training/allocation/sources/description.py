"""What a record table holds, in lines to read before it is trained on."""

from datetime import UTC, datetime

import numpy as np
import polars as pl

from jobcast_training.allocation.declaration import AMOUNT, CENSORED, HOURS, TIME, Predictor
from jobcast_training.allocation.history import Past
from jobcast_training.allocation.records import AllocationRecords
from jobcast_training.allocation.retries import HOURS as ASSUMED


def describe(predictor: Predictor, records: AllocationRecords) -> str:
    """Return lines on rows kept and left out, times, amounts, requests and known histories.

    Args:
        predictor: that the records were read for.
        records: at least one.
    """
    frame = records.frame
    lost = sum(records.rejected.values())
    lines = [f"{records.source}: {frame.height + lost:,} rows read, {frame.height:,} kept, {lost:,} left out"]
    lines += [f"  {rows:,} x {reason}" for reason, rows in records.rejected.most_common()]
    first, last = (datetime.fromtimestamp(float(frame[TIME][place]), UTC) for place in (0, -1))
    lines.append(f"time: {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC")
    amount = frame[AMOUNT].to_numpy()
    figures = f"median {np.median(amount):.4g}, mean {amount.mean():.4g}, p95 {np.quantile(amount, 0.95):.4g}"
    lines.append(f"{predictor.amount.name}: {figures} {predictor.unit}")
    lines.append(_requests(predictor, frame))
    ran = frame[HOURS].drop_nulls()
    unknown = frame.height - len(ran)
    assumed = f"; each of the other {unknown:,} counts as {ASSUMED:g} hour" if unknown else ""
    lines.append(f"hours: known of {len(ran) / frame.height:.1%}, {ran.sum():,.1f} in all{assumed}")
    if frame[CENSORED].any():
        lines.append(f"failed for want of it, so that it is a lower bound: {int(frame[CENSORED].sum()):,}")
    past = Past.of(predictor, frame)
    for own in predictor.histories:
        known = float(np.isfinite(past.inputs[own.name][:, 0]).mean())
        lines.append(f"{own.name}: {known:.1%} of records have an ended job with the same {' and '.join(own.by)}")
    lines += [f"note: {note}" for note in records.notes]
    return "\n".join(lines)


def _requests(predictor: Predictor, frame: pl.DataFrame) -> str:
    asked = frame.filter(pl.col(predictor.request) > 0) if predictor.request else frame.clear()
    if not asked.height:
        return "request: not known"
    ratio = asked.select((pl.col(predictor.request) / pl.col(AMOUNT)).median()).item()
    below = asked.select((_too_little(predictor.request)).mean()).item()
    return (
        f"{predictor.request}: known of {asked.height / frame.height:.1%}, median {ratio:.3g} times the "
        f"{predictor.amount.name}, below it in {below:.1%}"
    )


def _too_little(request: str) -> pl.Expr:
    """Whether a job had asked for less than it needed; one that failed for want of it needed more than it used."""
    return (pl.col(request) < pl.col(AMOUNT)) | (pl.col(CENSORED) & (pl.col(request) <= pl.col(AMOUNT)))
