"""Slurm's trackable resources: `cpu=8,mem=16G,node=2,gres/gpu:a100=4` holds the whole job's counts."""

import polars as pl

from jobcast_training.sources.memory import megabytes


def count(column: str, resource: str) -> pl.Expr:
    """Count of a resource such as `cpu` or `node`; null where it is not listed."""
    return pl.col(column).str.extract(rf"(?:^|,){resource}=(\d+)(?:,|$)", 1).cast(pl.Int32, strict=False)


def gpus(column: str) -> pl.Expr:
    """GPUs of any kind: 0 where resources are listed without any, null where nothing is listed."""
    typed = pl.col(column).str.extract_all(r"gres/gpu:[^=,]+=\d+").list.eval(pl.element().str.extract(r"=(\d+)$", 1))
    any_kind = pl.coalesce(
        count(column, "gres/gpu"), typed.list.eval(pl.element().cast(pl.Int32, strict=False)).list.sum()
    )
    return pl.when(pl.col(column) != "").then(any_kind)


def memory(column: str) -> pl.Expr:
    """MB over all nodes; a bare number is MB, 0 and an absent entry are null."""
    amount = megabytes(pl.col(column).str.extract(r"(?:^|,)mem=([^,]+)", 1), bare="M")
    return pl.when(amount > 0).then(amount)
