"""How a job ended, in the words of the record table, whatever words the source uses."""

import polars as pl

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

UNFINISHED = ("PENDING", "RUNNING", "SUSPENDED", "RESIZING", "REQUEUE_HOLD", "COMPLETING", "CONFIGURING")
"""Slurm's words for a job that has no outcome yet."""

AT_LIMIT = 0.99
"""A job that ran for this share of its request has reached its limit (logs round, and schedulers kill early)."""

PAST_LIMIT = 1.05
"""A job that completed after this share of its request shows that its limit was not enforced."""


def word(column: str) -> pl.Expr:
    """First word of a state in capitals: `CANCELLED by 123` is CANCELLED."""
    return pl.col(column).cast(pl.String).str.strip_chars().str.to_uppercase().str.extract(r"^([A-Z_]+)", 1)


def slurm_state(column: str) -> pl.Expr:
    """The record's state for a column of Slurm states; a word that Slurm does not have is `unknown`."""
    return word(column).replace_strict(SLURM, default="unknown", return_dtype=pl.String).fill_null("unknown")


def at_limit(state: pl.Expr, run_time: pl.Expr, wallclock_req: pl.Expr) -> pl.Expr:
    """Turn a state into `timeout` where the run time (s) shows that the job was stopped by its limit (s).

    For sources that have no state of their own for this: `run_time >= 0.99 * wallclock_req`, except jobs that completed
    beyond 1.05 times their request: nothing stopped those.
    """
    share = run_time / wallclock_req
    stopped = (share >= AT_LIMIT) & ((state != "completed") | (share <= PAST_LIMIT))
    return pl.when(stopped).then(pl.lit("timeout")).otherwise(state)
