"""Start, ready, drain, exit: what callers see at each step."""

import asyncio
import collections
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
from contextlib import closing

import grpc
import pytest
import rt_predictor_pb2 as pb
import rt_predictor_pb2_grpc as rpc
import serving
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE = "rtpredictor.v1.JobRuntimePredictor"
State = health_pb2.HealthCheckResponse


def run(*flags, **variables):
    command, environment = [serving.COMMAND, "serve", *flags], serving.environment(**variables)
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


@pytest.mark.parametrize("service", ["", SERVICE])
def test_watch_says_serving_then_not_serving_then_ends(start, service):
    served = start("--drain-delay", "0.2")
    with served.channel() as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        assert health.Check(request).status == State.SERVING
        watch = health.Watch(request)
        seen = [next(watch).status]
        served.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as caught:
            seen.extend(item.status for item in watch)
        assert seen == [State.SERVING, State.NOT_SERVING]
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert served.process.wait(timeout=30) == 0


def test_check_of_an_unknown_service_is_not_found(channel):
    with pytest.raises(grpc.RpcError) as caught:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="weather"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_sigterm_under_load_loses_nothing(start, job):
    served = start("--drain-delay", "0.3")
    predict = pb.PredictRequest(features=job).SerializeToString()
    batch = pb.PredictBatchRequest(jobs=[job] * 2000).SerializeToString()

    async def caller(channel, method, request, outcomes, warm):
        call = channel.unary_unary(f"/{SERVICE}/{method}")
        while True:
            try:
                assert await call(request)
                outcomes["OK"] += 1
                warm.set()
            except grpc.aio.AioRpcError as error:
                outcomes[error.code().name] += 1
                return error.details()

    async def load():
        outcomes: collections.Counter[str] = collections.Counter()
        warm = asyncio.Event()
        async with grpc.aio.insecure_channel(served.address, [("grpc.max_receive_message_length", -1)]) as channel:
            work = [("Predict", predict)] * 8 + [("PredictBatch", batch)] * 3
            callers = [asyncio.create_task(caller(channel, *item, outcomes, warm)) for item in work]
            await warm.wait()
            served.process.send_signal(signal.SIGTERM)
            details = await asyncio.gather(*callers)
        return outcomes, details

    outcomes, details = asyncio.run(load())
    assert outcomes.keys() == {"OK", "UNAVAILABLE"}, details
    assert outcomes["UNAVAILABLE"] == 11
    assert served.process.wait(timeout=30) == 0
    assert '"unfinished": 0' in served.process.stderr.read()


def test_sigterm_answers_what_a_stream_has_read(start, job):
    served = start()
    request = pb.PredictRequest(features=job, request_id="read").SerializeToString()

    async def converse():
        async with grpc.aio.insecure_channel(served.address) as channel:
            stream = channel.stream_stream(f"/{SERVICE}/PredictStream")()
            for _ in range(50):
                await stream.write(request)
            answers = [await stream.read() for _ in range(50)]
            served.process.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.read()
            return answers, caught.value.code()

    answers, code = asyncio.run(converse())
    assert {pb.PredictResponse.FromString(answer).request_id for answer in answers} == {"read"}
    assert code is grpc.StatusCode.UNAVAILABLE
    assert served.process.wait(timeout=30) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
@pytest.mark.usefixtures("hangups")
def test_interrupt_and_hangup_drain_it_too(start, number):
    served = start()
    served.process.send_signal(number)
    _, log = served.process.communicate(timeout=30)
    assert served.process.returncode == 0
    assert '"event": "stopped"' in log


def test_a_hangup_that_nohup_keeps_from_it_ends_nothing(tmp_path):
    command = ["nohup", serving.COMMAND, "serve", "--port", "0", "--http-port", "0", "--metrics-port", "0"]
    process = subprocess.Popen(
        [*command, "--log-format", "json", "--models", str(serving.MODELS)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=serving.environment(),
    )  # fmt: skip
    try:
        ready = serving.wait(process)
        process.send_signal(signal.SIGHUP)
        with closing(http.client.HTTPConnection("127.0.0.1", ready["http_port"], timeout=30)) as connection:
            connection.request("GET", "/v2/health/ready")
            assert connection.getresponse().status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        serving.end(process)


def test_a_log_that_nobody_reads_stops_nothing(tmp_path):
    """As with a disk that is full: lines are lost and counted, calls are answered, reports written, and it drains."""
    process, ready = serving.start("--store", str(tmp_path / "o.sqlite"), "--admin", "off", "--drain-delay", "0.2")
    process.stderr.close()
    try:

        def ask(port, method, path, body=None):
            with closing(http.client.HTTPConnection("127.0.0.1", ready[port], timeout=30)) as connection:
                connection.request(method, path, json.dumps(body))
                answer = connection.getresponse()
                return answer.status, answer.read().decode()

        for _ in range(3):  # a refused act has a line in the log
            assert ask("http_port", "POST", "/v2/repository/models/x/load", {})[0] == 403
        report = {"model_type": "x", "model_name": "y", "hardware": "z", "software_name": "v", "software_version": "1"}
        report |= {"input_feature": {"input_tokens": 80}, "duration_ms": 5}
        assert json.loads(ask("http_port", "POST", "/outcomes", report)[1])["accepted"] == 1
        page = ask("metrics_port", "GET", "/metrics")[1]
        lost = next(line for line in page.splitlines() if line.startswith("jobcast_log_lines_lost_total "))
        assert float(lost.split()[1]) >= 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        serving.end(process)


@pytest.mark.parametrize("kind", [os.pipe, socket.socketpair])
def test_a_log_whose_reader_takes_nothing_stops_nothing(kind, tmp_path):
    """Lines are lost and counted while it is full; what comes once it is read again is whole."""
    ours, theirs = (end if isinstance(end, int) else end.detach() for end in kind())
    ports = ("--port", "0", "--http-port", "0", "--metrics-port", "0")
    command = [serving.COMMAND, "serve", *ports, "--log-format", "json", "--log-level", "debug"]
    process = subprocess.Popen(
        [*command, "--models", str(serving.MODELS)], stderr=theirs, text=True, env=serving.environment()
    )
    os.close(theirs)
    try:
        with open(ours) as log:
            ready = next(told for told in map(json.loads, log) if told["event"] == "ready")

            def ask(connection, path):
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()

            def lost():
                with closing(http.client.HTTPConnection("127.0.0.1", ready["metrics_port"], timeout=30)) as connection:
                    page = ask(connection, "/metrics")[1]
                line = next(line for line in page.splitlines() if line.startswith("jobcast_log_lines_lost_total "))
                return float(line.split()[1])

            with closing(http.client.HTTPConnection("127.0.0.1", ready["http_port"], timeout=30)) as connection:
                while not lost():
                    for _ in range(200):  # each has a line
                        assert ask(connection, "/v2/health/ready")[0] == 200
            reader = threading.Thread(target=lambda: said.append(log.read()))
            said = []
            reader.start()
            while True:
                before = lost()
                with closing(http.client.HTTPConnection("127.0.0.1", ready["http_port"], timeout=30)) as connection:
                    ask(connection, "/v2/health/live")
                if lost() == before:
                    break
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
            reader.join(timeout=60)
            assert json.loads(said[0].splitlines()[-1])["event"] == "stopped"
    finally:
        serving.end(process)


def test_it_serves_and_drains_where_standard_error_is_closed():
    """No file or socket of the server takes that place, to be written to."""
    command = ["sh", "-c", 'exec "$0" "$@" 2>&-', serving.COMMAND, "serve"]
    ports = ["--port", "0", "--http-port", "0", "--metrics-port", "0"]
    with subprocess.Popen(
        [*command, *ports, "--models", str(serving.MODELS)],
        stdout=subprocess.PIPE, text=True, env=serving.environment(),
    ) as process:  # fmt: skip
        assert "jobcast serves" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_the_start_goes_on_where_nobody_reads_the_greeting():
    ours, theirs = os.pipe()
    os.close(ours)
    command = [serving.COMMAND, "serve", "--port", "0", "--http-port", "0", "--metrics-port", "0"]
    process = subprocess.Popen(
        [*command, "--models", str(serving.MODELS)],
        stdout=theirs, stderr=subprocess.PIPE, text=True, env=serving.environment(),
    )  # fmt: skip
    os.close(theirs)
    try:
        assert any("ready" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert "draining" in process.stderr.read()
    finally:
        serving.end(process)


def test_sigterm_before_anything_is_loaded_ends_it(tmp_path):
    """It waits for its settings, which come through a pipe: nothing of the server is there yet."""
    settings = tmp_path / "settings.toml"
    os.mkfifo(settings)
    command = [serving.COMMAND, "serve", "--config", settings]
    with subprocess.Popen(command, env=serving.environment()) as process, settings.open("w"):  # both ends are open
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_no_start_that_fails_tells_of_a_shutdown_that_took_too_long(tmp_path):
    done = run("--port", "0", "--http-port", "0", "--metrics-port", "0", "--models", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "exceeded" not in done.stderr


def test_batches_may_be_smaller_than_the_pieces_of_larger_ones(start, job):
    served = start("--max-batch-rows", "2")
    with served.channel() as channel:
        stub = rpc.JobRuntimePredictorStub(channel)
        assert len(stub.PredictBatch(pb.PredictBatchRequest(jobs=[job] * 2)).predictions) == 2
        with pytest.raises(grpc.RpcError) as caught:
            stub.PredictBatch(pb.PredictBatchRequest(jobs=[job] * 3))
        assert "must hold at most 2 jobs, got 3" in caught.value.details()


@pytest.mark.parametrize("flag", ["--port", "--http-port", "--metrics-port"])
def test_a_port_in_use(flag):
    others = [word for name in ("--port", "--http-port", "--metrics-port") if name != flag for word in (name, "0")]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # willing to share; the server must not be
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = run(flag, port, *others)
    assert ended.returncode == 1
    assert f"127.0.0.1:{port} cannot be listened on" in ended.stderr
    assert f"choose another {flag}" in ended.stderr


def test_a_host_that_is_none_of_this_machine():
    for host in ("192.0.2.1", "no-such-host.invalid"):
        ended = run("--host", host, "--port", "0", "--http-port", "0", "--metrics-port", "0")
        assert ended.returncode == 1
        assert f"host: must be an address of this machine, got {host}" in ended.stderr


def test_no_bundle_is_exit_2(tmp_path):
    ended = run("--port", "0", "--http-port", "0", "--metrics-port", "0", "--models", str(tmp_path))
    assert ended.returncode == 2
    assert "no bundle found" in ended.stderr


def reached(host):
    try:
        socket.create_server((host, 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(("host", "listener"), [("127.0.0.1", "auto"), ("::1", "auto"), ("::1", "asyncio")])
def test_the_console_prints_a_call_that_works(host, listener, tmp_path):
    if ":" in host and not reached(host):
        pytest.skip("no IPv6 here")
    command = [serving.COMMAND, "serve", "--port", "0", "--http-port", "0", "--metrics-port", "0"]
    command += ["--host", host, "--listener", listener]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            [*command, "--models", serving.MODELS], stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        example = next(line for line in process.stdout if " predict " in line)
        answered = subprocess.run(example.split(), capture_output=True, text=True, check=False)
        process.send_signal(signal.SIGTERM)
        assert answered.returncode == 0, answered.stderr
        assert process.wait(timeout=30) == 0
