"""What a measuring command looks to before it starts a server."""

import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner
from jobcast_bench.command import bench

SERVING = """
    import signal, sys
    from contextlib import closing
    from pathlib import Path
    from jobcast_bench.fleet import split_cores
    from jobcast_bench.guard import prepare
    from jobcast_bench.process import ServerProcess

    prepare(Path("."), None)
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    with closing(ServerProcess("server", command, split_cores())) as server:
        print(server.pid, flush=True)
        signal.pause()
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--duration", "nan"), "expected a finite number, got nan"),
        (
            ("--address", "127.0.0.1:1", "--scenario", "server"),
            "--scenario server measures the start of a server of its own",
        ),
        (("--address", "127.0.0.1:1", "--serve-arg", "--bogus"), "--serve-arg is for a server that is started here"),
        (("--out", "{file}/x"), "--out: {file}/x cannot be written to: {file} is no folder that may be"),
        (("--compare-engines", "--page", "{file}/x.md"), "--page: {file} cannot be written to"),
        (("--compare-engines", "--page", "{latin}"), "--page: {latin} cannot be read as text in UTF-8: "),
        (("--compare-engines", "--page", "{file}", "--micro"), "--compare-engines does not read --micro: "),
        (("--compare-batching", "--rate", "1000/s"), "--compare-batching does not read --rate: "),
        (("--compare-listeners", "--processes", "2"), "--compare-listeners does not read --processes: "),
        (("--compare-listeners", "--scenario", "predict"), "--compare-listeners does not read --scenario: "),
        (("--check-load", "--generator", "python"), "--check-load does not read --generator: "),
        (("--check-load", "--count", "10"), "--check-load does not read --count: "),
        (
            ("--peer", "kserve", "--models", "m", "--address", "a:1"),
            "--peer does not read --address, --models: leave out what has no effect",
        ),
        (
            ("--compare-engines", "--quick", "--duration", "1", "--repeats", "1"),
            "--compare-engines does not read --quick: ",
        ),
        (("--compare-engines", "--check-load"), "--compare-engines, --check-load: only one of them at a time"),
        (("--scenario", "predict", "--rate", "1000/s"), "--rate is for --scenario predict-open"),
        (("--rate", "99999999999/s"), "rate: must be from 0.1/s to 10,000,000/s, got '99999999999/s'"),
        (("--rate", "0.001/s"), "rate: must be from 0.1/s to 10,000,000/s, got '0.001/s'"),
        (("--rate", "5000%"), "rate: must be from 0.1% to 1,000%, got '5000%'"),
        (
            ("--serve-arg", "--log-level=warning"),
            "--serve-arg --log-level=warning: the harness sets --log-level itself",
        ),
        (("--serve-arg=--port=5000",), "--serve-arg --port=5000: the harness sets --port itself"),
        (("--serve-arg", "--http-port", "--serve-arg", "1"), "--serve-arg --http-port: the harness sets --http-port"),
        (
            ("--compare-engines", "--serve-arg=--models=x"),
            "--serve-arg --models=x: the harness sets --models itself; name it without --serve-arg",
        ),
    ],
)
def test_what_cannot_be_measured_is_told_at_once(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    latin = tmp_path / "latin.md"
    latin.write_bytes("Prüfstand".encode("latin-1"))
    refused = CliRunner().invoke(bench, [one.format(file=file, latin=latin) for one in arguments])
    assert refused.exit_code == 2, refused.output
    assert message.format(file=file, latin=latin) in " ".join(refused.output.split())


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process that is not its child by a pidfd")
def test_no_server_outlives_a_measurement_that_is_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVING)], stdout=subprocess.PIPE, text=True
    ) as measuring:
        assert measuring.stdout is not None
        server = os.pidfd_open(int(measuring.stdout.readline()))
        measuring.send_signal(signal.SIGTERM)
    try:
        assert select.select([server], [], [], 60)[0], "it goes on"
    finally:
        os.close(server)
    assert measuring.returncode == 128 + signal.SIGTERM
