"""Requests to measure with: varied, realistic jobs from a seeded generator, serialised before the clock starts.

The same seed gives the same bytes in every process and every run.
"""

from functools import lru_cache

import numpy as np
import rt_predictor_pb2 as pb

PARTITIONS = ("short", "standard", "long", "debug", "gpu", "bigmem")
QOS = ("normal", "high", "standby")
APPLICATIONS = ("vasp", "lammps", "gromacs", "wrf", "train", "postproc", "namd", "cp2k")
LIMITS_S = (600.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 43200.0, 86400.0, 172800.0)
FIRST_SUBMIT = 1_700_000_000  # Unix seconds
MONTH_S = 2_592_000


def jobs(count: int, seed: int) -> list[pb.JobFeatures]:
    """`count` jobs: power-law users, power-of-two nodes, round limits, half with latest run times."""
    draw = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        nodes = int(2 ** draw.integers(0, 7))
        user = int(min(draw.zipf(1.6), 400))
        limit = float(draw.choice(LIMITS_S))
        job = pb.JobFeatures(
            processors_req=nodes * int(draw.choice((1, 8, 16, 36))),
            nodes_req=nodes,
            mem_req=float(nodes * draw.integers(1, 180) * 1024),
            wallclock_req=limit,
            partition=str(draw.choice(PARTITIONS)),
            qos=str(draw.choice(QOS)),
            submit_time=FIRST_SUBMIT + int(draw.integers(0, MONTH_S)),
            user=f"user{user}",
            account=f"project{user % 40}",
            job_name=f"{draw.choice(APPLICATIONS)}-{draw.integers(0, 1000)}",
        )
        if draw.random() < 0.1:
            job.gpus_req = int(draw.integers(0, 5))
        if draw.random() < 0.5:
            job.recent_runtimes.extend((limit * draw.random(int(draw.integers(1, 11)))).round(1).tolist())
        made.append(job)
    return made


@lru_cache(maxsize=4)
def single_requests(seed: int, variants: int = 512) -> tuple[bytes, ...]:
    """Serialised PredictRequests, each with its own request_id."""
    return tuple(
        pb.PredictRequest(features=job, request_id=f"bench-{index}").SerializeToString()
        for index, job in enumerate(jobs(variants, seed))
    )


@lru_cache(maxsize=8)
def batch_requests(rows: int, seed: int) -> tuple[bytes, ...]:
    """Serialised PredictBatchRequests of `rows` jobs; fewer variants of the larger ones, so that they fit a cache."""
    variants = min(max(8_192 // rows, 2), 64)
    made = jobs(rows * variants, seed)
    return tuple(
        pb.PredictBatchRequest(
            jobs=made[index * rows : (index + 1) * rows], batch_id=f"bench-{index}"
        ).SerializeToString()
        for index in range(variants)
    )
