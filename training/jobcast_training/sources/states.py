"""How a job ended, in the words of the record table, whatever words the source uses."""

from collections.abc import Collection

import polars as pl

from jobcast_training.sources.cells import stripped

SLURM = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
    "DEADLINE": "cancelled",
    "TIMEOUT": "timeout",
    "OUT_OF_MEMORY": "out_of_memory",
    "NODE_FAIL": "node_fail",
    "BOOT_FAIL": "node_fail",
    "PREEMPTED": "preempted",
    "REQUEUED": "preempted",
}
"""Slurm's word for a state -> the record's."""

UNFINISHED = (
    "PENDING", "RUNNING", "SUSPENDED", "RESIZING", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT",
    "COMPLETING", "CONFIGURING", "POWER_UP_NODE", "SIGNALING", "STAGE_OUT", "STOPPED",
)  # fmt: skip
"""Slurm's words for a job that has no outcome yet."""

_MOST_SHOWN = 5

AT_LIMIT = 0.99
"""A job that ran for this share of its request has reached its limit (logs round, and schedulers kill early)."""

PAST_LIMIT = 1.05
"""A job that completed after this share of its request shows that its limit was not enforced."""


def word(column: str) -> pl.Expr:
    """First word of a state in capitals: `CANCELLED by 123` is CANCELLED."""
    return _first_word(pl.col(column).cast(pl.String))


def _first_word(state: pl.Expr) -> pl.Expr:
    return state.str.strip_chars().str.to_uppercase().str.extract(r"^([A-Z_]+)", 1)


def slurm_state(column: str) -> pl.Expr:
    """The record's state for a column of Slurm states; a word that Slurm does not have is `unknown`."""
    return word(column).replace_strict(SLURM, default="unknown", return_dtype=pl.String).fill_null("unknown")


def unknown_states(rows: pl.LazyFrame, column: str, known: Collection[str] = ()) -> tuple[str, ...]:
    """A sentence on the states that are read as `unknown`, with their counts; none where there are none.

    Args:
        rows: of a file.
        column: of states.
        known: the words that are read; empty stands for Slurm's, of which only the first counts.
    """
    states = rows.group_by(stripped(column).alias("state")).agg(pl.len().alias("rows")).drop_nulls("state")
    if not known:
        known = (*SLURM, *UNFINISHED)
        states = states.with_columns(pl.coalesce(_first_word(pl.col("state")), "state"))
    strange = states.filter(~pl.col("state").is_in(known)).group_by("state").agg(pl.col("rows").sum())
    found = strange.sort("rows", "state", descending=[True, False]).collect(engine="streaming")
    if found.is_empty():
        return ()
    shown = ", ".join(f"{state[:40]} ({rows:,})" for state, rows in found.head(_MOST_SHOWN).iter_rows())
    more = f" and {found.height - _MOST_SHOWN} more" if found.height > _MOST_SHOWN else ""
    return (f"States that are not known, read as unknown: {shown}{more}.",)


def at_limit(state: pl.Expr, run_time: pl.Expr, wallclock_req: pl.Expr) -> pl.Expr:
    """Turn a state into `timeout` where the run time (s) shows that the job was stopped by its limit (s).

    For sources that have no state of their own for this: `run_time >= 0.99 * wallclock_req`, except jobs that completed
    beyond 1.05 times their request: nothing stopped those.
    """
    share = run_time / wallclock_req
    stopped = (share >= AT_LIMIT) & ((state != "completed") | (share <= PAST_LIMIT))
    return pl.when(stopped).then(pl.lit("timeout")).otherwise(state)
