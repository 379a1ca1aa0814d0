"""Training behind POST /train: the command `jobcast train` in a process of its own, one at a time, never on the loop.

A thread starts it at the lowest priority with one thread of its own per library and reads what it says, so that
predictions hardly notice. The new version is verified by loading it, as any other. A job that is running or waits ends
when the server stops.
"""

import asyncio
import contextlib
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
import structlog

from jobcast_server.errors import (
    DrainingError,
    ModelControlError,
    NotReadyError,
    OverloadedError,
    RequestError,
    StartupError,
)
from jobcast_server.rest.faults import HttpError
from jobcast_server.rest.json import wrong
from jobcast_server.taskpredictor import leash
from jobcast_server.taskpredictor.engine import PREDICTOR
from jobcast_server.taskpredictor.key import Key
from jobcast_server.taskpredictor.scratch import scratch

DEFAULT_COMMAND = "jobcast train"
MOST_REMEMBERED = 100
"""Jobs that can be asked for; those that have not ended always can."""

LONGEST_LINE = 300
REFUSED = 1
"""Exit code of a command that refuses its data; any other is no fault of theirs."""

PATIENCE_S = 5.0
"""Seconds that a job has to end by itself when the server stops."""

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"), "1"
) | {"OMP_WAIT_POLICY": "PASSIVE"}

log = structlog.get_logger()


@dataclass
class Job:
    """One training.

    Attributes:
        state: waiting, running, done or failed. progress: what it said last. result: once it is done.
    """

    identity: str
    key: Key
    traces: list[dict[str, Any]]
    ended: asyncio.Future[dict[str, Any]]
    state: str = "waiting"
    progress: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    started: float = field(default_factory=time.perf_counter)

    def told(self) -> dict[str, Any]:
        """The job as GET /train/{job} tells it."""
        found: dict[str, Any] = {
            "status": {"done": "success", "failed": "error"}.get(self.state, self.state), "job": self.identity,
            "state": self.state, "model_key": self.key.label, "progress": self.progress,
        }  # fmt: skip
        return found | self.result | ({"error": self.error} if self.error else {})


class Trainer:
    """Jobs by id; `start` and `job` from the event loop only.

    `load` is awaited with the name of a model whose new version lies in the repository.
    """

    def __init__(
        self, command: str, models: Path, run: str, most_waiting: int, load: Callable[[str], Awaitable[int]]
    ) -> None:
        self._command = _program(command)
        self._needs_package = command == DEFAULT_COMMAND
        self._most_waiting = most_waiting
        self._models = models
        self._run = run
        self._load = load
        self._number = 0
        self._jobs: dict[str, Job] = {}
        self._waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="training", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def check(self) -> None:
        """Accept that there is something to train with.

        Raises:
            NotReadyError: the training package is not installed here.
        """
        if self._needs_package and find_spec("jobcast_training") is None:
            raise NotReadyError(
                "training is not installed beside this server: install the package jobcast-training there, or train "
                "elsewhere and copy the bundle into the repository"
            )

    def start(self, key: Key, traces: list[dict[str, Any]]) -> Job:
        """Queue a job.

        Raises:
            NotReadyError: the training package is not installed here.
            DrainingError: the server is stopping.
            HttpError: 409, the key has a job already.
            OverloadedError: too many jobs wait.
        """
        self.check()
        if self._stopping:
            raise self._stopped()
        unfinished = [job for job in self._jobs.values() if not job.ended.done()]
        for job in unfinished:
            if job.key == key:
                raise HttpError(409, f"model {key.label}: is being trained already by job {job.identity}")
        if len(unfinished) > self._most_waiting:
            raise OverloadedError(f"overloaded: {self._most_waiting} trainings wait (max_trainings); come back later")
        self._loop = asyncio.get_running_loop()
        self._number += 1
        job = Job(f"{self._run}-{self._number}", key, traces, self._loop.create_future())
        job.ended.add_done_callback(_seen)
        self._jobs[job.identity] = job
        ended = [known.identity for known in self._jobs.values() if known.ended.done()]
        for identity in ended[: max(0, len(self._jobs) - MOST_REMEMBERED)]:
            del self._jobs[identity]
        self._waiting.put(job)
        if not self._thread.is_alive():
            self._thread.start()
        return job

    def job(self, identity: str) -> Job | None:
        """The job of an id, unless it is forgotten."""
        return self._jobs.get(identity)

    async def close(self) -> None:
        """End what runs and drop what waits, within two times `PATIENCE_S`."""
        self._stopping = True
        self._waiting.put(None)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._thread.is_alive():
                if self._process is not None and self._process.poll() is None:
                    _end(self._process, number)
                await asyncio.get_running_loop().run_in_executor(None, self._thread.join, PATIENCE_S)
        for job in self._jobs.values():
            if not job.ended.done():
                self._fail(job, self._stopped())

    def _work(self) -> None:
        loop = self._loop
        assert loop is not None  # noqa: S101 - `start` set it before the thread began
        while (job := self._waiting.get()) is not None and not self._stopping:
            job.state, job.started = "running", time.perf_counter()
            try:
                told = self._train(job)
            except Exception as error:
                problem = error if isinstance(error, RequestError) else NotReadyError(f"training: {error}")
                loop.call_soon_threadsafe(self._fail, job, self._stopped() if self._stopping else problem)
                continue
            asyncio.run_coroutine_threadsafe(self._finish(job, told), loop).result()

    def _train(self, job: Job) -> dict[str, Any]:
        """Run the command; gives what it said at its end."""
        with scratch() as own:
            said = own.folder / "said"
            own.data.write_bytes(orjson.dumps(job.traces))
            command = [
                sys.executable, "-IS", leash.__file__, str(os.getpid()),
                *self._command, PREDICTOR, "--data", str(own.data), "--key", "/".join(job.key),
                "--out", str(self._models), "--log-format", "json",
            ]  # fmt: skip
            with said.open("wb") as out:
                self._process = subprocess.Popen(  # noqa: S603 - the operator's own command
                    command, stdout=out, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=None,
                    env=os.environ | ONE_THREAD, start_new_session=True, pass_fds=(own.lock,),
                )  # fmt: skip
            if self._stopping:
                _end(self._process, signal.SIGTERM)
            last = self._follow(job, self._process)
            if code := self._process.wait():
                raise _why(code, last)
            lines = said.read_bytes().strip().splitlines()
        try:
            told = orjson.loads(lines[-1])
        except (IndexError, orjson.JSONDecodeError):
            raise NotReadyError("training: the command did not end with a line of JSON that names its bundle") from None
        return told if isinstance(told, dict) else {}

    def _follow(self, job: Job, process: subprocess.Popen[bytes]) -> str:
        """Take what the command says while it runs; gives its last line."""
        last = ""
        if process.stderr is not None:
            for raw in process.stderr:
                last = raw.decode(errors="replace").strip()[:LONGEST_LINE] or last
                job.progress = _progress(raw, last)
        return last

    async def _finish(self, job: Job, told: dict[str, Any]) -> None:
        """Load what was trained, on the event loop."""
        name = job.key.manifest().model(PREDICTOR)
        try:
            version = await self._load(name)
        except RequestError as error:
            self._fail(job, error)
            return
        except Exception as error:
            log.exception("training failed", model=name)
            self._fail(job, ModelControlError(f"model {name}: not loaded: {error}"))
            return
        trained = _version(told) or version
        job.result = {
            "metrics": told.get("metrics", {}), "duration_seconds": time.perf_counter() - job.started,
            "model_name": name, "version": trained,
        }  # fmt: skip
        if trained != version:
            job.result["message"] = (
                f"version {trained} is in the repository and does not serve: the model's version policy asks for "
                f"version {version}"
            )
        job.state = "done"
        job.ended.set_result(job.told())

    def _stopped(self) -> DrainingError:
        return DrainingError("draining: this server is stopping and trains no more; call another one")

    def _fail(self, job: Job, error: RequestError) -> None:
        if job.ended.done():
            return
        log.warning("training failed", model_key=job.key.label, reason=str(error))
        job.state, job.error = "failed", str(error)
        job.ended.set_exception(error)


def _version(told: dict[str, Any]) -> int | None:
    """The version that the command says it wrote."""
    name = Path(str(told.get("bundle", ""))).name
    return int(name) if name.isdecimal() else None


def _seen(ended: asyncio.Future[dict[str, Any]]) -> None:
    """Nobody may be waiting for it; that is no fault."""
    if not ended.cancelled():
        ended.exception()


def _why(code: int, last: str) -> RequestError:
    """What a command means that ended with this code and said this at last."""
    if code < 0:
        return NotReadyError(f"training: the command was ended by signal {-code}; it said: {last or 'nothing'}")
    said = f"the command ended with {code}: {last}"
    if code == REFUSED:
        return wrong("traces", f"must be what a bundle can be trained on; {said}")
    return NotReadyError(f"training: {said}")


def _program(command: str) -> list[str]:
    """The command's words at the lowest priority; `jobcast` is the one beside this interpreter.

    Raises:
        StartupError: it cannot be split into words, has none, or its first is no program.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise StartupError(f"trainer: must be a command as a shell splits it into words: {error}") from None
    if not words or "\0" in command:
        raise StartupError(f"trainer: must be a command of one word or more, got {command!r}")
    if words[0] == "jobcast":
        beside = Path(sys.executable).with_name("jobcast")
        words[0] = str(beside) if beside.exists() else "jobcast"
    if shutil.which(words[0]) is None and command != DEFAULT_COMMAND:
        raise StartupError(f"trainer: must begin with a program, got {words[0]}, which is not found or cannot be run")
    nice = shutil.which("nice")
    return [nice, "-n", "19", *words] if nice else words


def _progress(raw: bytes, line: str) -> dict[str, Any]:
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {"message": line}
    return told if isinstance(told, dict) else {"message": line}


def _end(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal a job and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
