"""The population behind synthetic records: users, what they run, how they ask for it. All follows from a seed.

Users and applications follow power laws: a few users submit most jobs, and most of a user's jobs are one application.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

USERS = 600
_APPLICATIONS_PER_USER = 12
_ACCOUNTS = 160
_USER_EXPONENT = 1.05
_APPLICATION_EXPONENT = 1.4
_CORES = np.array([1, 1, 4, 18, 36, 36, 36])
_NODES = np.array([1, 1, 1, 1, 1, 2, 2, 4, 4, 8, 16, 32, 64])
_LIMITS = np.array([900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400, 172_800, 345_600, 864_000])
"""Limits that people ask for, in s."""

PARTITIONS = ("short", "standard", "long", "gpu", "bigmem", "debug")
QOS = ("normal", "high", "standby")


@dataclass(frozen=True)
class Population:
    """One entry per application; `first` gives each user's first entry, an application belongs to one user.

    Attributes:
        user_share: cumulative share of the jobs by user, ends at 1.
        application_share: cumulative share within a user by rank, ends at 1.
        user, account, log_run_time, spread, nodes, cores, gpus, memory, limit, qos: per application; natural log of
            seconds, its standard deviation, counts per job and per node, MB per node or 0, s.
    """

    user_share: Floats
    application_share: Floats
    user: Ints
    account: Ints
    log_run_time: Floats
    spread: Floats
    nodes: Ints
    cores: Ints
    gpus: Ints
    memory: Floats
    limit: Ints
    qos: Ints

    @property
    def applications(self) -> int:
        """Number of applications of all users."""
        return self.user.size

    def draw(self, rng: np.random.Generator, size: int) -> tuple[Ints, Ints]:
        """Users and their applications for that many bursts of jobs."""
        users = np.searchsorted(self.user_share, rng.random(size))
        ranks = np.searchsorted(self.application_share, rng.random(size))
        return users, users * _APPLICATIONS_PER_USER + ranks

    def limits_near(self, applications: Ints, shift: Ints) -> Ints:
        """Limits so many steps of the usual ladder away from the applications' habit, in s."""
        step = np.searchsorted(_LIMITS, self.limit[applications]) + shift
        limits: Ints = _LIMITS[np.clip(step, 0, _LIMITS.size - 1)]
        return limits


def _power_law(size: int, exponent: float) -> Floats:
    weights = np.arange(1, size + 1, dtype=np.float64) ** -exponent
    share: Floats = np.cumsum(weights) / weights.sum()
    share[-1] = 1.0
    return share


def populate(seed: int) -> Population:
    """Make the population of a seed."""
    rng = np.random.default_rng([seed, 0])
    size = USERS * _APPLICATIONS_PER_USER
    user = np.repeat(np.arange(USERS), _APPLICATIONS_PER_USER)
    habit = rng.normal(np.log(1_500.0), 1.3, USERS)[user]
    log_run_time = habit + rng.normal(0.0, 1.1, size)
    caution = rng.lognormal(1.0, 0.7, USERS)[user]
    wanted = np.exp(log_run_time) * (1.0 + caution)
    limit = _LIMITS[np.minimum(np.searchsorted(_LIMITS, wanted), _LIMITS.size - 1)]
    nodes = rng.choice(_NODES, size)
    cores = np.where(nodes > 1, 36, rng.choice(_CORES, size))
    gpus = np.where((rng.random(USERS) < 0.12)[user] & (rng.random(size) < 0.7), rng.choice([1, 2], size), 0)
    memory = np.where(
        rng.random(size) < 0.4, rng.choice([4_000.0, 16_000.0, 92_000.0, 184_000.0, 700_000.0], size), 0.0
    )
    return Population(
        user_share=_power_law(USERS, _USER_EXPONENT),
        application_share=_power_law(_APPLICATIONS_PER_USER, _APPLICATION_EXPONENT),
        user=user,
        account=rng.integers(0, _ACCOUNTS, USERS)[user],
        log_run_time=log_run_time,
        spread=rng.gamma(2.0, 0.25, size) + 0.05,
        nodes=nodes,
        cores=cores,
        gpus=gpus,
        memory=memory,
        limit=limit,
        qos=rng.choice(len(QOS), size, p=[0.85, 0.1, 0.05]),
    )
