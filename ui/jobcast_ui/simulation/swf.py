"""Logs in the Standard Workload Format, to columns of inputs: `;` comments, then 18 numbers a job, -1 unknown.

Definition: Chapin et al., "Benchmarks and Standards for the Evaluation of Parallel Job Schedulers", JSSPP 1999. The
format tells no nodes: each processor counts as one. Queue and partition are told by number.
"""

import re

from jobcast.frames import Columns

FIELDS = 18
_START = re.compile(r";+\s*UnixStartTime:\s*(\d+)", re.IGNORECASE)


def columns(text: str, name: str) -> Columns:
    """Columns of all jobs.

    Args:
        text: of the log.
        name: of its file, for messages.

    Raises:
        ValueError: a line has no 18 numbers, the header does not say when the log begins, or there is no job.
    """
    start, jobs = None, []
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith(";"):
            found = _START.match(line.strip())
            start = int(found[1]) if found else start
        elif cells := line.split():
            jobs.append(_numbers(cells, f"{name}, line {number}"))
    if start is None:
        raise ValueError(f"{name}: the header does not say when the log begins: add a line '; UnixStartTime: SECONDS'")
    if not jobs:
        raise ValueError(f"{name}: holds no job")
    return _columns(jobs, start)


def _columns(jobs: list[list[float]], start: int) -> Columns:
    processors = [job[7] if job[7] > 0 else job[4] for job in jobs]
    return {
        "submit_time": [start + job[1] for job in jobs],
        "wait_s": [_known(job[2]) for job in jobs],
        "run_time": [_known(job[3]) for job in jobs],
        "processors_req": [_known(count) for count in processors],
        "nodes_req": [_known(count) for count in processors],
        "wallclock_req": [_known(job[8]) for job in jobs],
        "mem_req": [
            job[9] * count / 1024 if job[9] > 0 and count > 0 else None
            for job, count in zip(jobs, processors, strict=True)
        ],
        "user": [_text(job[11]) for job in jobs],
        "account": [_text(job[12]) for job in jobs],
        "job_name": [_text(job[13]) for job in jobs],
        "qos": [_text(job[14]) or "none" for job in jobs],
        "partition": [_text(job[15]) or "none" for job in jobs],
    }


def _numbers(cells: list[str], where: str) -> list[float]:
    if len(cells) != FIELDS:
        raise ValueError(f"{where}: must have {FIELDS} numbers, got {len(cells)}")
    try:
        return [float(cell) for cell in cells]
    except ValueError as error:
        raise ValueError(f"{where}: must have {FIELDS} numbers: {error}") from None


def _known(value: float) -> float | None:
    return value if value >= 0 else None


def _text(value: float) -> str:
    return f"{value:g}" if value >= 0 else ""
