"""Small logs that are made up, to see the page move without a log of one's own. They say nothing about accuracy."""

import random
from collections.abc import Callable, Mapping
from math import exp, log

from jobcast.frames import Columns

JOBS = 240
BEGIN = 1_750_000_000
SEED = 7


def columns(predictor: str) -> Columns | None:
    """The made-up log of a predictor, the same every time; None = there is none for this one."""
    made = _MADE.get(predictor)
    return made() if made else None


def _runtimes() -> Columns:
    """Batch jobs of twelve users, each of whom has programs that take about as long as the last time."""
    chance = random.Random(SEED)  # noqa: S311 - nothing secret
    users = [f"user_{number}" for number in range(12)]
    programs = {
        user: [(f"program_{number}", chance.gauss(log(1800), 1.2), 2 ** chance.randrange(5)) for number in range(2)]
        for user in users
    }
    found: Columns = {}
    moment = float(BEGIN)
    for number in range(JOBS):
        moment += chance.expovariate(1 / 240)
        user = chance.choice(users)
        name, typical, nodes = chance.choice(programs[user])
        limit = 900 * max(1, round(exp(typical + 1.0) / 900))
        run = min(exp(chance.gauss(typical, 0.35)), limit)
        _add(
            found, job_id=number + 1, submit_time=int(moment), user=user, job_name=name, partition="made-up",
            qos="normal", nodes_req=nodes, processors_req=nodes * 16, wallclock_req=limit, run_time=round(run, 1),
        )  # fmt: skip
    return found


def _memory() -> Columns:
    """Builds of six branches: the larger the component, the more memory, and always more requested than used."""
    chance = random.Random(SEED)  # noqa: S311 - nothing secret
    profiles = {"linuxx86_64-gcc-release": 4.3, "linuxx86_64-gcc-debug": 4.6, "linuxaarch64-clang-release": 4.1}
    found: Columns = {}
    moment = float(BEGIN)
    for number in range(JOBS):
        moment += chance.expovariate(1 / 180)
        profile, component = chance.choice(list(profiles)), chance.randrange(8)
        peak = exp(chance.gauss(profiles[profile] + 0.08 * component - 0.3, 0.25))
        _add(
            found, build=number + 1, time=int(moment), build_profile=profile, branch=f"branch_{chance.randrange(6)}",
            component=f"component_{component}", location="made-up", jobs=500, local_jobs=32, target_count=2,
            requested_memory=184, peak_memory_gib=round(peak, 2), hours=round(exp(chance.gauss(-0.7, 0.4)), 3),
        )  # fmt: skip
    return found


def _latency() -> Columns:
    """Requests to two language models on one kind of accelerator."""
    chance = random.Random(SEED)  # noqa: S311 - nothing secret
    models = {"meta-llama/Meta-Llama-3-8B": 9.0, "meta-llama/Meta-Llama-3-70B": 38.0}
    found: Columns = {}
    moment = float(BEGIN)
    for number in range(JOBS):
        moment += chance.expovariate(1 / 2)
        model = chance.choice(list(models))
        read, write = chance.choice((128, 512, 2048)), chance.choice((64, 128, 512))
        took = (models[model] * write + 0.1 * read) * exp(chance.gauss(0, 0.2))
        _add(
            found, request=number + 1, time=int(moment), model_type="llm", model_name=model, hardware="A100-80GB",
            software_name="vLLM", input_tokens=read, output_tokens=write, batch_size=1,
            num_devices=1 if "8B" in model else 4, latency_ms=round(took, 1),
        )  # fmt: skip
    return found


def _add(found: Columns, **values: object) -> None:
    for name, value in values.items():
        found.setdefault(name, []).append(value)


_MADE: Mapping[str, Callable[[], Columns]] = {
    "hpc-runtime": _runtimes, "build-memory": _memory, "llm-latency": _latency,
}  # fmt: skip
