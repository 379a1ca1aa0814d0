"""`build-memory`: peak memory in GiB of a build job, from its raw record."""

from jobcast_training.allocation.declaration import History, Number, Predictor, Text

_MIB, _KIB, _BYTE = 2.0**-10, 2.0**-20, 2.0**-30

PREDICTOR = Predictor(
    name="build-memory",
    title="Peak memory of build jobs",
    amount=Number(
        name="peak_memory",
        unit="GiB",
        description="Peak resident memory of the build.",
        columns={"max_rss_bytes": _BYTE, "max_rss_mib": _MIB, "max_rss_gib": 1.0, "max_rss": _BYTE},
    ),
    fields=(
        Text(
            name="build_profile",
            description="Architecture, compiler and optimisation, joined by hyphens, such as linuxx86_64-gcc-release.",
            columns=("buildProfile",),
            required=True,
            parts=("architecture", "compiler", "optimisation"),
            separator="-",
        ),
        Text(
            name="branch",
            description="Branch that is built, such as branch_47.",
            parts=("prefix", "number"),
            separator="_",
            numbers=("number",),
            statistics=False,
        ),
        Text(name="component", description="Component that is built."),
        Text(
            name="make_type",
            description="Optimised, release or debug.",
            columns=("makeType",),
            values=("opt", "rel", "dbg"),
        ),
        Text(name="location", description="Site where it is built."),
        Text(name="targets", description="Make targets, separated by commas, such as all,dist.", tokens=","),
        Number(name="target_count", unit="targets", description="Number of targets.", columns={"target_cnt": 1.0}),
        Number(name="has_dist", unit="0/1", description="Whether dist is a target.", columns={"target_has_dist": 1.0}),
        Number(name="jobs", unit="jobs", description="Parallel jobs in all."),
        Number(
            name="local_jobs",
            unit="jobs",
            description="Parallel jobs on the machine itself.",
            columns={"localJobs": 1.0},
        ),
        Number(
            name="requested_memory",
            unit="GiB",
            description="Memory that was requested, where it was.",
            columns={"memreq_mib": _MIB, "memreq_gib": 1.0, "memreq_bytes": _BYTE, "memreq": _MIB},
        ),
    ),
    histories=(
        History("recent_peaks", ("branch", "build_profile")),
        History("site_peaks", ("location", "build_profile")),
        History("branch_peaks", ("branch",)),
        History("location_peaks", ("location",)),
    ),
    request="requested_memory",
    time=("time", "timestamp", "submit_time"),
    end=("end_time", "complete_time"),
    hours={"duration_s": 1 / 3600, "realtime_s": 1 / 3600, "duration_h": 1.0},
    ignored=("build_id", "ts_phase", "ts_status", "max_cache_bytes", "memory_fail_count"),
)
