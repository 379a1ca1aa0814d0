"""`workflow-memory`: peak memory in GiB of a workflow task, from its raw trace record."""

from jobcast_training.allocation.declaration import History, Number, Predictor, Text

_BYTE = 2.0**-30

_SAYS_NOTHING = (
    "task_id", "hash", "native_id", "name", "module", "queue", "disk", "hostname", "cpu_model", "workdir", "script",
    "scratch", "env", "error_action", "start_time", "cpu_percent", "%cpu", "%mem", "rss", "rss_bytes", "vmem",
    "peak_vmem", "peak_vmem_bytes", "rchar", "rchar_bytes", "wchar", "wchar_bytes", "syscr", "syscw", "read_bytes",
    "write_bytes", "vol_ctxt", "inv_ctxt",
)  # fmt: skip

PREDICTOR = Predictor(
    name="workflow-memory",
    title="Peak memory of workflow tasks",
    amount=Number(
        name="peak_memory",
        unit="GiB",
        description="Peak resident memory of the task.",
        columns={"peak_rss": _BYTE, "peak_rss_bytes": _BYTE, "memory_bytes": _BYTE},
    ),
    fields=(
        Text(
            name="process",
            description="Process or tool that the task runs, such as NFCORE_RNASEQ:RNASEQ:FASTQC.",
            columns=("tool_id",),
            required=True,
        ),
        Text(name="workflow", description="Workflow that it belongs to."),
        Text(name="tag", description="Sample or other label of the task."),
        Text(name="container", description="Container image."),
        Number(name="attempt", unit="attempts", description="Which try it is, from 1.", minimum=1.0),
        Number(name="cpus", unit="cores", description="Cores it is given.", columns={"slots": 1.0}),
        Number(name="input_size", unit="GiB", description="Bytes of all input files.", columns={"input_bytes": _BYTE}),
        Number(name="input_files", unit="files", description="Number of input files."),
        Number(
            name="requested_memory",
            unit="GiB",
            description="Memory that the workflow asks for.",
            columns={"memory": _BYTE, "mem_req_bytes": _BYTE},
        ),
        Number(
            name="time_limit",
            unit="s",
            description="Time that the workflow asks for.",
            columns={"time_limit_s": 1.0},
        ),
    ),
    histories=(
        History("recent_peaks", ("process",)),
        History("sample_peaks", ("process", "tag")),
    ),
    request="requested_memory",
    time=("submit_time", "submit", "create_time", "time"),
    end=("complete_time", "complete", "end_time"),
    hours={"realtime_s": 1 / 3600, "realtime": 1 / 3_600_000, "duration_s": 1 / 3600},
    anchored=True,
    failed=("exit", ("137", "139", "143")),
    ignored=_SAYS_NOTHING,
)
