"""Processes of a search end with the one that searches, however that ends."""

import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

if not hasattr(os, "pidfd_open"):
    pytest.skip("waits for a process that is not its child by a pidfd, which Linux has", allow_module_level=True)

SHARED = """
    import signal
    from jobcast_training.searching.workplace import workplace

    with workplace() as folder:
        (folder / "matrix").write_bytes(b"0")
        print(folder, flush=True)
        signal.pause()
"""

SEARCH = """
    import os, signal, sys
    from pathlib import Path
    from jobcast_training.searching.crew import crew

    class Ground:
        def score(self, task):
            return os.getpid()

    if __name__ == "__main__":
        with crew(Ground(), 2, Path(sys.argv[1]), {}) as submit:
            print(submit(None).result(), flush=True)
            signal.pause()
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_search(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "search.py"
    script.write_text(textwrap.dedent(SEARCH))
    with subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE, text=True) as searching:
        assert searching.stdout is not None
        worker = os.pidfd_open(int(searching.stdout.readline()))
        searching.send_signal(how)
    try:
        ended, _, _ = select.select([worker], [], [], 60)
        assert ended, "it goes on"
    finally:
        os.close(worker)


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_what_processes_share_is_gone_with_the_search(how: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SHARED)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as searching:
        assert searching.stdout is not None
        folder = Path(searching.stdout.readline().strip())
        assert (folder / "matrix").exists()
        searching.send_signal(how)
    assert searching.returncode == code
    assert not folder.exists()
