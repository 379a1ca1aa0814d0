"""Every fault there is, in the order in which they are brought."""

from jobcast_bench.chaos.bundle import BUNDLE
from jobcast_bench.chaos.certificate import CERTIFICATE
from jobcast_bench.chaos.clock import CLOCK
from jobcast_bench.chaos.disk import DISK
from jobcast_bench.chaos.ground import Fault
from jobcast_bench.chaos.idle import IDLE
from jobcast_bench.chaos.killed import KILLED, WORKER_KILLED
from jobcast_bench.chaos.memory import MEMORY
from jobcast_bench.chaos.quota import QUOTA
from jobcast_bench.chaos.resets import RESETS
from jobcast_bench.chaos.revocation import REVOCATION
from jobcast_bench.chaos.slow import SLOW
from jobcast_bench.chaos.stopped import STOPPED

FAULTS: tuple[Fault, ...] = (
    WORKER_KILLED, KILLED, STOPPED, DISK, BUNDLE, CLOCK, SLOW, RESETS, IDLE, QUOTA, MEMORY, CERTIFICATE, REVOCATION,
)  # fmt: skip
