"""Workers as callers, operators and Prometheus see them: start, the loss of one, the end of all."""

import asyncio
import itertools
import os
import signal
import socket
import sys
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import grpc
import open_inference_pb2 as oip
import open_inference_pb2_grpc as inference
import pytest
import serving
from grpc_health.v1 import health_pb2, health_pb2_grpc
from jobcast_server import cores, sockets
from jobcast_server.errors import StartupError
from jobcast_server.settings import Settings
from jobcast_server.workers.supervisor import supervise

CALLERS = 8
PORTS = ("--port", "--http-port", "--metrics-port")


def listeners():
    try:
        import jobcast_core
    except ImportError:
        return ["asyncio"]
    return ["asyncio", "native"] if hasattr(jobcast_core, "Listener") else ["asyncio"]


def growing(samples):
    """The counters and histograms of a page, but those of processes."""
    ends = ("_total", "_count", "_sum", "_bucket")
    return {key: value for key, value in samples.items() if key[0].endswith(ends) and not key[0].startswith("process_")}


def total(samples, name, **labels):
    return sum(
        value for (found, told), value in samples.items() if found == name and labels.items() <= dict(told).items()
    )


def test_the_supervisor_is_light_and_says_ready_once(server):
    assert (server.ready["workers"], server.ready["listener"]) == (2, "asyncio")
    assert len([line for line in server.said if '"event": "ready"' in line]) == 1
    loaded = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "_asyncio" in loaded
    assert [name for name in ("onnxruntime", "cygrpc", "jobcast_core", "numpy") if name in loaded] == []


@pytest.mark.parametrize("listener", listeners())
def test_one_is_killed_under_load_and_comes_back(start, infer, listener):
    served = start("--listener", listener)
    numbers, answered, failed, over = itertools.count(), Counter(), Counter(), threading.Event()

    def call():
        """Fresh connections, and the same call again when one of them ends."""
        while not over.is_set():
            number = next(numbers)
            while not answered[number]:
                with served.channel() as channel:
                    try:
                        answered[number] += infer(inference.GRPCInferenceServiceStub(channel), number)
                    except grpc.RpcError as error:
                        failed[error.code()] += 1

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        with closing(served.to(0)) as other:
            before = served.metrics()
            os.kill(served.pid(1), signal.SIGKILL)
            back = False
            while not back:  # the other one answers all the time
                assert other.worker() == 0
                now = served.metrics()
                assert [key for key, value in growing(before).items() if now[key] < value] == []
                back = now["jobcast_worker_restarts_total", (("worker", "1"),)] == 1
                back = back and now["jobcast_worker_up", (("worker", "1"),)] == 1
                before = now
            served.to(1).close()
    finally:
        over.set()
        for caller in callers:
            caller.join()
    assert set(answered.values()) == {1}  # every call has one answer, and it is right
    assert failed.keys() <= {grpc.StatusCode.UNAVAILABLE}
    assert served.metrics()["jobcast_worker_restarts_total", (("worker", "0"),)] == 0
    lost = next(line for line in served.end() if line["event"] == "worker lost")
    assert (lost["worker"], lost["reason"]) == (1, "was ended by SIGKILL")


@pytest.mark.parametrize("listener", listeners())
def test_all_drain_together_and_lose_nothing(start, toy, listener):
    served = start("--listener", listener, "--drain-delay", "0.3")
    request = oip.ModelInferRequest(model_name="toy-latency")
    for name, datatype, content in (
        ("prompt_tokens", "FP64", b"\0" * 8), ("output_tokens", "FP64", b"\0" * 8), ("submit_time", "INT64", b"\0" * 8),
        ("model", "BYTES", b"\1\0\0\0x"),
    ):  # fmt: skip
        request.inputs.add(name=name, datatype=datatype, shape=[1, 1])
        request.raw_input_contents.append(content)

    async def caller(outcomes, warm):
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{served.ready['port']}", options) as channel:
            stub = inference.GRPCInferenceServiceStub(channel)
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            seen = [(await watch.read()).status]
            following = asyncio.create_task(watch.read())  # this client may lose what came before a call's end
            while True:
                try:
                    assert (await stub.ModelInfer(request)).outputs
                    outcomes["OK"] += 1
                    warm.set()
                except grpc.aio.AioRpcError as error:
                    outcomes[error.code().name] += 1
                    break
            seen.append((await following).status)
            return seen

    async def load():
        outcomes: Counter[str] = Counter()
        warm = [asyncio.Event() for _ in range(CALLERS)]
        callers = [asyncio.create_task(caller(outcomes, answered)) for answered in warm]
        await asyncio.gather(*(answered.wait() for answered in warm))
        served.process.send_signal(signal.SIGTERM)
        return outcomes, await asyncio.gather(*callers)

    outcomes, seen = asyncio.run(load())
    assert outcomes.keys() == {"OK", "UNAVAILABLE"}
    assert outcomes["UNAVAILABLE"] == CALLERS
    state = health_pb2.HealthCheckResponse
    assert seen == [[state.SERVING, state.NOT_SERVING]] * CALLERS
    stopped = [line for line in served.end() if line["event"] == "stopped"]
    assert sorted(line["unfinished"] for line in stopped if "worker" in line) == [0, 0]
    assert stopped[-1]["workers"] == 2


def test_one_that_hangs_holds_up_neither_metrics_nor_the_end(start):
    served = start("--listener", "asyncio", "--drain-timeout", "0")
    with closing(served.to(1)) as hanging:
        counted = total(served.metrics(), "jobcast_requests_total", method="PredictSingle", outcome="success")
        assert counted >= 1
        os.kill(served.pid(1), signal.SIGSTOP)
        samples = served.metrics()
        assert total(samples, "jobcast_requests_total", method="PredictSingle", outcome="success") == counted
        assert hanging.http.sock is not None
    killed = next(line for line in served.end() if line["event"] == "worker killed")
    assert (killed["worker"], killed["pid"]) == (1, served.pid(1))


def test_one_that_hangs_is_started_again(start):
    served = start("--listener", "asyncio", "--worker-timeout", "5")
    hung = served.pid(1)
    os.kill(hung, signal.SIGSTOP)
    told = served.wait("worker hangs")
    assert (told["worker"], told["pid"], told["reason"]) == (1, hung, "it answered nothing for 5 s (worker_timeout)")
    assert served.wait("worker lost")["reason"] == "was ended by SIGKILL"
    assert served.wait("worker is back")["pid"] != hung
    with closing(served.to(1)) as back:
        assert back.predict()


def test_one_that_hangs_while_it_is_started_again_is_started_anew(start):
    served = start("--listener", "asyncio")
    os.kill(served.pid(1), signal.SIGKILL)
    hung = served.wait("worker started")["pid"]
    os.kill(hung, signal.SIGSTOP)
    told = served.wait("worker hangs")
    assert (told["worker"], told["pid"]) == (1, hung)
    assert told["reason"].endswith(" s at its start")
    assert served.wait("worker lost")["reason"] == "was ended by SIGKILL"
    assert served.wait("worker is back")["pid"] != hung
    with closing(served.to(1)) as back:
        assert back.predict()


def test_workers_end_when_nobody_watches_over_them(start, gone):
    served = start("--listener", "asyncio")
    served.process.kill()
    served.process.wait()
    for worker in (0, 1):
        gone(served.pid(worker))
    assert served.process.stderr.read().count('"event": "stopped"') == 2  # drained, not killed


@pytest.mark.parametrize("flag", PORTS)
def test_a_port_that_others_would_share_is_refused(flag, tmp_path):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = serving.spawn("--workers", "2", flag, port, models=tmp_path)
        _, said = ended.communicate(timeout=60)
    assert ended.returncode == 1
    assert f"127.0.0.1:{port} cannot be listened on" in said
    assert f"choose another {flag}" in said
    assert "worker started" not in said


def test_a_port_of_workers_is_not_shared_with_anybody(server):
    for flag, name in zip(PORTS, ("port", "http_port", "metrics_port"), strict=True):
        ended = serving.spawn("--workers", "2", flag, str(server.ready[name]))
        _, said = ended.communicate(timeout=60)
        assert ended.returncode == 1
        assert "cannot be listened on" in said


@pytest.mark.parametrize("option", ["port", "http_port"])
def test_a_port_that_another_server_has_just_begun_to_hold_is_refused(option, tmp_path):
    """Its workers do not listen yet, and both would share it once they do."""
    with sockets.reserve(Settings(workers=2, **{option: 0}), option) as number:
        ended = serving.spawn("--workers", "2", f"--{option.replace('_', '-')}", str(number), models=tmp_path)
        _, said = ended.communicate(timeout=60)
    assert ended.returncode == 1
    assert f"127.0.0.1:{number} cannot be listened on" in said
    assert "worker started" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures("hangups")
def test_the_end_does_not_wait_for_a_start(number, gone):
    process, said = serving.spawn("--workers", "2"), []
    hangs = serving.wait(process, "worker started", said)["pid"]
    os.kill(hangs, signal.SIGSTOP)
    process.send_signal(number)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert '"event": "ready"' not in rest
    assert '"event": "stopped"' in rest
    assert "Traceback" not in rest
    gone(hangs)


def test_a_start_that_fails_is_told_once_with_its_exit_code(tmp_path):
    ended = serving.spawn("--workers", "2", models=tmp_path)
    _, said = ended.communicate(timeout=60)
    assert ended.returncode == 2
    assert said.count(f"jobcast serve: models: no bundle found in {tmp_path}") == 1
    assert "Traceback" not in said


def test_workers_share_the_cores(monkeypatch):
    monkeypatch.setattr(cores, "usable", lambda: 8)
    assert [cores.share(workers) for workers in (1, 3, 8, 64)] == [8, 2, 1, 1]


def test_elsewhere_than_on_linux_one_process_is_all(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(StartupError, match="workers: must be 1 on darwin, got 4: only Linux"):
        asyncio.run(supervise(Settings(workers=4)))
