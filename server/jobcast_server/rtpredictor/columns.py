"""From messages to the graph's input columns, in one pass; missing values become NaN or '' here and nowhere else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rt_predictor_pb2 as pb
from jobcast_proto.manifest import Manifest
from numpy.typing import NDArray

from jobcast_server.errors import BundleError
from jobcast_server.repository.session import Feeds

RECENT = 10
"""Latest run times that the graph takes; older ones are left out."""

INPUTS = {
    "processors_req": "float64",
    "nodes_req": "float64",
    "mem_req": "float64",
    "wallclock_req": "float64",
    "gpus_req": "float64",
    "submit_time": "int64",
    "partition": "string",
    "qos": "string",
    "user": "string",
    "account": "string",
    "job_name": "string",
    "recent_runtimes": "float64",
}
"""Raw inputs of the graph, in order, with their types; each is [N, 1], `recent_runtimes` is [N, 10]."""


OUTPUTS = ["quantiles", "point"]
"""Outputs of the graph, in order: [N, levels] and [N, 1]."""


def check(manifest: Manifest) -> None:
    """Accept a bundle that can answer the contract: it has the inputs above first, and may have optional ones behind.

    Raises:
        BundleError: its inputs or outputs are others.
    """
    declared = [(spec.name, spec.type) for spec in manifest.inputs[: len(INPUTS)]]
    if declared != list(INPUTS.items()):
        raise BundleError(f"manifest.json: inputs: must be {list(INPUTS.items())}, got {declared}")
    if needed := [spec.name for spec in manifest.inputs[len(INPUTS) :] if spec.required or spec.type != "float64"]:
        raise BundleError(
            f"manifest.json: inputs: {needed[0]} must be optional numbers, the contract has no field for it"
        )
    if [spec.name for spec in manifest.outputs] != OUTPUTS:
        raise BundleError(f"manifest.json: outputs: must be {OUTPUTS}, got {[spec.name for spec in manifest.outputs]}")


class Absent:
    """Inputs of a bundle that the contract has no field for: not known for any row."""

    def __init__(self, manifest: Manifest) -> None:
        self._shapes = {spec.name: tuple(spec.shape[1:]) for spec in manifest.inputs[len(INPUTS) :]}
        self._one = self._of(1)

    def add(self, feeds: Feeds, rows: int) -> Feeds:
        """The graph's inputs, with these."""
        return feeds | (self._one if rows == 1 else self._of(rows))

    def _of(self, rows: int) -> Feeds:
        return {name: np.full((rows, *shape), np.nan) for name, shape in self._shapes.items()}


@dataclass(frozen=True, slots=True)
class Columns:
    """Raw values of N jobs, N >= 1, as the caller sent them.

    Attributes:
        numbers: float64 [5, N]: processors, nodes, memory (MB), wall clock (s), GPUs (0 where absent).
        times: submit times in Unix seconds; 0 = now.
        texts: partition, qos, user, account, job name; each a list of N.
        no_gpus: rows without a GPU count.
        recent: (row, run times in seconds, newest first) of the rows that have any.
    """

    numbers: NDArray[np.float64]
    times: list[int]
    texts: tuple[list[str], ...]
    no_gpus: list[int]
    recent: list[tuple[int, list[float]]]


def read(jobs: Sequence[pb.JobFeatures]) -> Columns:
    """Take the columns out of N >= 1 messages."""
    return Columns(
        np.array(
            [
                [job.processors_req for job in jobs],
                [job.nodes_req for job in jobs],
                [job.mem_req for job in jobs],
                [job.wallclock_req for job in jobs],
                [job.gpus_req for job in jobs],
            ],
            np.float64,
        ),
        [job.submit_time for job in jobs],
        (
            [job.partition for job in jobs],
            [job.qos for job in jobs],
            [job.user for job in jobs],
            [job.account for job in jobs],
            [job.job_name for job in jobs],
        ),
        [row for row, job in enumerate(jobs) if not job.HasField("gpus_req")],
        [(row, list(job.recent_runtimes)) for row, job in enumerate(jobs) if job.recent_runtimes],
    )


def feeds(columns: Columns, now: int) -> Feeds:
    """The graph's inputs by name; `now` in Unix seconds stands for a submit time of 0."""
    processors, nodes, memory, wallclock, gpus = columns.numbers[:, :, None]
    memory = np.where(memory == 0, np.nan, memory)
    gpus = gpus.copy()
    gpus[columns.no_gpus] = np.nan
    recent = np.full((len(gpus), RECENT), np.nan)
    for row, values in columns.recent:
        recent[row, : len(values)] = values[:RECENT]
    partition, qos, user, account, job_name = (_text(texts) for texts in columns.texts)
    return {
        "processors_req": processors,
        "nodes_req": nodes,
        "mem_req": memory,
        "wallclock_req": wallclock,
        "gpus_req": gpus,
        "submit_time": np.array([time or now for time in columns.times], np.int64)[:, None],
        "partition": partition,
        "qos": qos,
        "user": user,
        "account": account,
        "job_name": job_name,
        "recent_runtimes": recent,
    }


def feeds_of(job: pb.JobFeatures, now: int) -> Feeds:
    """The same as `feeds(read([job]), now)`, made for speed at N = 1."""
    recent = np.full((1, RECENT), np.nan)
    if job.recent_runtimes:
        values = job.recent_runtimes[:RECENT]
        recent[0, : len(values)] = values
    return {
        "processors_req": np.array(((job.processors_req,),), np.float64),
        "nodes_req": np.array(((job.nodes_req,),), np.float64),
        "mem_req": np.array(((job.mem_req or math.nan,),), np.float64),
        "wallclock_req": np.array(((job.wallclock_req,),), np.float64),
        "gpus_req": np.array(((job.gpus_req if job.HasField("gpus_req") else math.nan,),), np.float64),
        "submit_time": np.array(((job.submit_time or now,),), np.int64),
        "partition": np.array(((job.partition,),), object),
        "qos": np.array(((job.qos,),), object),
        "user": np.array(((job.user,),), object),
        "account": np.array(((job.account,),), object),
        "job_name": np.array(((job.job_name,),), object),
        "recent_runtimes": recent,
    }


def _text(texts: list[str]) -> NDArray[np.object_]:
    return np.array(texts, object)[:, None]
