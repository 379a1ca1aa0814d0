"""Compare placement policies on generated streams of LLM tasks whose times come from the service's own forecasts.

Law: a policy sees forecasts only; what a task really takes is drawn from its forecast beforehand, with one uniform
number per task for all hardware, so that every policy meets the same tasks. Times are in ms, printed in seconds.
"""

import argparse
import math
import random
import statistics
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobcast import PredictorClient, TaskPrediction

MODEL = ("llm", "meta-llama/Meta-Llama-3-8B")
SOFTWARE = ("vLLM", "0.6.0")
FLEET = "A100-40GB:2,A100-80GB:3,H100-80GB:2,GH200:1"
UNSEEN = "NVIDIA L40S:2"
EVEN, LONG, FOREIGN = "even tasks", "one in ten long", "unseen hardware"
SCENES = (EVEN, LONG, FOREIGN)
LONG_SHARE = 0.1
"""Share of tasks in `LONG` that write ten times as much."""

Z99 = statistics.NormalDist().inv_cdf(0.99)
SURE = 1 - 1e-9
PARTS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Levels whose quantiles stand for a whole distribution."""


@dataclass
class Stream:
    """Tasks in the order of their arrival: forecasts and true times by hardware, and when each arrives."""

    forecasts: dict[str, Sequence[TaskPrediction]]
    truths: dict[str, list[float]]
    arrivals: list[float]


@dataclass
class Worker:
    """One accelerator, which takes its tasks in turn.

    Attributes:
        queue: number, start and end of every task that has not ended; a policy must not look at the end.
    """

    hardware: str
    queue: deque[tuple[int, float, float]] = field(default_factory=deque)

    def advance(self, now: float) -> None:
        """Forget what has ended."""
        while self.queue and self.queue[0][2] <= now:
            self.queue.popleft()

    def add(self, task: int, now: float, takes: float) -> float:
        """Queue a task; gives when it ends."""
        start = self.queue[-1][2] if self.queue else now
        self.queue.append((task, start, start + takes))
        return start + takes


Policy = Callable[[Stream, Sequence[Worker], int, float, random.Random], int]


def at_random(stream: Stream, workers: Sequence[Worker], task: int, now: float, source: random.Random) -> int:
    """Any worker."""
    return source.randrange(len(workers))


def round_robin(stream: Stream, workers: Sequence[Worker], task: int, now: float, source: random.Random) -> int:
    """The next worker."""
    return task % len(workers)


def shortest_queue(stream: Stream, workers: Sequence[Worker], task: int, now: float, source: random.Random) -> int:
    """The worker with the fewest tasks."""
    return min(range(len(workers)), key=lambda place: len(workers[place].queue))


def shortest_expected(stream: Stream, workers: Sequence[Worker], task: int, now: float, source: random.Random) -> int:
    """The worker where the task is expected to end first."""
    return min(range(len(workers)), key=lambda place: expected_end(stream, workers[place], task, now)[0])


def tail_aware(stream: Stream, workers: Sequence[Worker], task: int, now: float, source: random.Random) -> int:
    """The worker where the task has ended soonest with 99 % probability: mean + z x deviation of the queue."""

    def bound(place: int) -> float:
        mean, variance = expected_end(stream, workers[place], task, now)
        return mean + Z99 * math.sqrt(variance)

    return min(range(len(workers)), key=bound)


def probabilistic(stream: Stream, workers: Sequence[Worker], task: int, now: float, source: random.Random) -> int:
    """A worker with the probability that it ends the task first: the first in one joint draw of all queues."""
    return min(range(len(workers)), key=lambda place: drawn_end(stream, workers[place], task, now, source))


def true_times(stream: Stream, workers: Sequence[Worker], task: int, now: float, source: random.Random) -> int:
    """What a policy could do that knew every time beforehand; a bound to compare with."""

    def end(worker: Worker) -> float:
        return (worker.queue[-1][2] if worker.queue else now) + stream.truths[worker.hardware][task]

    return min(range(len(workers)), key=lambda place: end(workers[place]))


POLICIES: dict[str, Policy] = {
    "random": at_random,
    "round robin": round_robin,
    "shortest queue": shortest_queue,
    "shortest expected": shortest_expected,
    "tail-aware": tail_aware,
    "probabilistic": probabilistic,
    "(true times)": true_times,
}


def expected_end(stream: Stream, worker: Worker, task: int, now: float) -> tuple[float, float]:
    """Mean and variance of the time from now until the task has ended on this worker."""
    forecasts = stream.forecasts[worker.hardware]
    mean, square = forecasts[task].expect, forecasts[task].error ** 2
    for place, (queued, start, _) in enumerate(worker.queue):
        if place == 0:
            left = list(remaining(forecasts[queued], now - start, PARTS))
            mean, square = mean + statistics.fmean(left), square + statistics.pvariance(left)
        else:
            mean, square = mean + forecasts[queued].expect, square + forecasts[queued].error ** 2
    return mean, square


def drawn_end(stream: Stream, worker: Worker, task: int, now: float, source: random.Random) -> float:
    """One draw of the time from now until the task has ended on this worker."""
    forecasts = stream.forecasts[worker.hardware]
    total = forecasts[task].distribution.sample(source)
    for place, (queued, start, _) in enumerate(worker.queue):
        if place == 0:
            total += next(remaining(forecasts[queued], now - start, [source.random()]))
        else:
            total += forecasts[queued].distribution.sample(source)
    return total


def remaining(forecast: TaskPrediction, elapsed: float, levels: Sequence[float]) -> Iterator[float]:
    """Quantiles of the time that a task still takes which has run for `elapsed`: those of the rest of its law."""
    law = forecast.distribution
    gone = law.probability(elapsed)
    for level in levels:
        yield max(law.quantile(min(max(gone + (1 - gone) * level, 1 - SURE), SURE)) - elapsed, 0.0)


def make_stream(
    client: PredictorClient, fleet: Sequence[str], long: float, asked: argparse.Namespace, seed: int
) -> Stream:
    """Tasks by a seeded rule, forecast in one batch for each kind of hardware, arriving so as to load the fleet."""
    source = random.Random(seed)  # noqa: S311
    traces = [{"input_feature": features(source, long)} for _ in range(asked.tasks)]
    forecasts = {name: client.predict_batch(*MODEL, name, *SOFTWARE, traces).results for name in dict.fromkeys(fleet)}
    fates = [min(max(source.random(), 1 - SURE), SURE) for _ in traces]
    truths = {
        name: [told.distribution.quantile(fate) for told, fate in zip(found, fates, strict=True)]
        for name, found in forecasts.items()
    }
    rate = asked.load * sum(1 / statistics.fmean(truths[name]) for name in fleet)
    now = 0.0
    arrivals = [now := now + source.expovariate(rate) for _ in traces]
    return Stream(forecasts, truths, arrivals)


def features(source: random.Random, long: float) -> dict[str, float]:
    """One request: lognormal prompt and answer lengths within what the shipped bundle has seen."""
    wrote = source.lognormvariate(math.log(150), 0.5) * (10 if source.random() < long else 1)
    return {
        "input_tokens": min(max(round(source.lognormvariate(math.log(500), 0.6)), 128), 2048),
        "output_tokens": min(max(round(wrote), 16), 2048),
        "batch_size": 1,
        "num_devices": 1,
    }


def simulate(stream: Stream, fleet: Sequence[str], policy: Policy, seed: int) -> list[float]:
    """Completion time of every task, from its arrival to its end."""
    workers = [Worker(name) for name in fleet]
    source = random.Random(seed)  # noqa: S311
    took = []
    for task, now in enumerate(stream.arrivals):
        for worker in workers:
            worker.advance(now)
        chosen = workers[policy(stream, workers, task, now, source)]
        took.append(chosen.add(task, now, stream.truths[chosen.hardware][task]) - now)
    return took


def workers_of(text: str) -> list[str]:
    """Hardware of each worker, from `NAME:COUNT,...`."""
    parts = (part.rpartition(":") for part in text.split(","))
    return [name for name, _, count in parts for _ in range(int(count))]


def compare(client: PredictorClient, asked: argparse.Namespace) -> dict[tuple[str, str], tuple[float, float]]:
    """Mean and 99th percentile of the completion time in s, by scene and policy, over all seeds together."""
    fleet, unseen = workers_of(asked.fleet), workers_of(asked.unseen)
    found = {}
    for scene in SCENES:
        here = unseen + fleet[len(unseen) :] if scene == FOREIGN else fleet
        long = LONG_SHARE if scene == LONG else 0.0
        streams = [make_stream(client, here, long, asked, seed) for seed in range(asked.seeds)]
        for name, policy in POLICIES.items():
            took = [time for seed, one in enumerate(streams) for time in simulate(one, here, policy, seed)]
            found[scene, name] = statistics.fmean(took) / 1000, statistics.quantiles(took, n=100)[98] / 1000
    return found


def table(found: dict[tuple[str, str], tuple[float, float]]) -> str:
    """The comparison as Markdown."""
    heads = [f"{scene}: {what}" for scene in SCENES for what in ("mean", "p99")]
    lines = ["| policy | " + " | ".join(heads) + " |", "|---" + "|---:" * len(heads) + "|"]
    for name in POLICIES:
        figures = (f"{value:.2f}" for scene in SCENES for value in found[scene, name])
        lines.append(f"| {name} | " + " | ".join(figures) + " |")
    return "\n".join(lines)


def draw(found: dict[tuple[str, str], tuple[float, float]], path: Path) -> None:
    """Mean and 99th percentile by policy, a panel for each scene."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    rows = range(len(POLICIES))
    for axes, scene in zip(figure.subplots(1, len(SCENES), sharey=True), SCENES, strict=True):
        means, tails = zip(*(found[scene, name] for name in POLICIES), strict=True)
        axes.hlines(rows, means, tails, color="0.8", lw=2, zorder=1)
        axes.scatter(means, rows, color="C0", label="mean", zorder=2)
        axes.scatter(tails, rows, color="C1", label="p99", zorder=2)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if max(tails) > 100 * min(means) else (1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_yticks(rows, list(POLICIES))
        axes.set_title(scene, loc="left", fontsize=10)
        axes.set_xlabel("completion time, s")
        axes.grid(visible=True, axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path, dpi=130)


def main() -> None:
    """Compare, print a table, and draw it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--url", default="http://localhost:8200", help="where the service is")
    parser.add_argument("--fleet", default=FLEET, help="workers by hardware")
    parser.add_argument("--unseen", default=UNSEEN, help="workers that stand in for the first in the last scene")
    parser.add_argument("--tasks", type=int, default=2000, help="tasks of a stream, all in one batch")
    parser.add_argument("--seeds", type=int, default=4, help="streams of each scene")
    parser.add_argument("--load", type=float, default=0.6, help="share of the fleet's capacity that is asked for")
    parser.add_argument("--picture", type=Path, help="file to draw to (needs matplotlib)")
    asked = parser.parse_args()
    with PredictorClient(asked.url, timeout=60) as client:
        found = compare(client, asked)
    print(table(found))
    if asked.picture:
        draw(found, asked.picture)


if __name__ == "__main__":
    main()
