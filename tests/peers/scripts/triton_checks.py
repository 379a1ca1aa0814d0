"""What all four clients of tritonclient must find, whatever they speak."""

import numpy as np
from triton_dialects import MODEL, number

NUMBER_OF_REQUESTS = 12


async def check_server_is_live_and_ready(client, rows):
    assert await client.tell("is_server_live") is True
    assert await client.tell("is_server_ready") is True


async def check_server_metadata(client, rows):
    about = await client.ask("get_server_metadata")
    assert about["name"] == "jobcast"
    assert about["version"]
    extensions = {"statistics", "model_repository", "model_configuration", "binary_tensor_data", "parameters"}
    assert extensions <= set(about["extensions"]), about


async def check_model_is_ready_by_version(client, rows):
    assert await client.tell("is_model_ready", MODEL) is True
    assert await client.tell("is_model_ready", MODEL, "1") is True
    assert await client.tell("is_model_ready", MODEL, "99") is False
    assert await client.tell("is_model_ready", "nothing-of-that-name") is False


async def check_model_metadata(client, rows):
    about = await client.ask("get_model_metadata", MODEL)
    assert about == await client.ask("get_model_metadata", MODEL, "1")
    assert (about["name"], about["versions"]) == (MODEL, ["1"])
    shapes = {one["name"]: (one["datatype"], [number(size) for size in one["shape"]]) for one in about["inputs"]}
    assert list(shapes) == list(rows.inputs)
    assert shapes["processors_req"] == ("FP64", [-1, 1])
    assert shapes["submit_time"] == ("INT64", [-1, 1])
    assert shapes["partition"] == ("BYTES", [-1, 1])
    assert shapes["recent_runtimes"] == ("FP64", [-1, 10])
    shapes = {one["name"]: (one["datatype"], [number(size) for size in one["shape"]]) for one in about["outputs"]}
    assert shapes == {name: ("FP32", [-1, values.shape[1]]) for name, values in rows.outputs.items()}


async def check_model_config(client, rows):
    about = await client.ask("get_model_config", MODEL)
    config = about.get("config", about)
    assert config["name"] == MODEL
    assert number(config["max_batch_size"]) > 1
    assert [one["name"] for one in config["input"]] == list(rows.inputs)
    kinds = {one["name"]: (one["data_type"], [number(size) for size in one["dims"]]) for one in config["input"]}
    assert kinds["partition"] == ("TYPE_STRING", [1])
    assert kinds["recent_runtimes"] == ("TYPE_FP64", [10])
    assert {one["name"] for one in config["output"]} == set(rows.outputs)


async def check_all_rows_in_one_batch(client, rows):
    answer = await client.infer(rows.columns())
    for name in rows.outputs:
        rows.require_equal(name, answer.as_numpy(name))


async def check_one_row(client, rows):
    answer = await client.infer(rows.columns(3, 4), model_version="1")
    for name in rows.outputs:
        rows.require_equal(name, answer.as_numpy(name), 3, 4)


async def check_unknown_numbers(client, rows):
    columns = rows.columns(0, 2)
    columns["mem_req"] = np.array([[np.nan], [np.nan]])
    answer = await client.infer(columns)
    assert np.isfinite(answer.as_numpy("point")).all()


async def check_text_of_any_language(client, rows):
    columns = rows.columns(0, 1)
    columns["job_name"] = np.array([["größe ☃ 日本".encode()]], dtype=np.object_)
    assert (await client.infer(columns)).as_numpy("point").shape == (1, 1)


async def check_one_named_output(client, rows):
    answer = await client.infer(rows.columns(0, 5), outputs=client.outputs("point"))
    rows.require_equal("point", answer.as_numpy("point"), 0, 5)
    assert answer.as_numpy("quantiles") is None


async def check_named_outputs_in_the_order_asked(client, rows):
    answer = await client.infer(rows.columns(0, 5), outputs=client.outputs("point", "quantiles"))
    about = answer.get_response() if client.package.__name__.startswith("tritonclient.http") else None
    listed = about["outputs"] if about else [{"name": one.name} for one in answer.get_response().outputs]
    assert [one["name"] for one in listed] == ["point", "quantiles"]
    for name in rows.outputs:
        rows.require_equal(name, answer.as_numpy(name), 0, 5)


async def check_request_id_comes_back(client, rows):
    answer = (await client.infer(rows.columns(0, 1), request_id="job-4711")).get_response()
    given = answer if isinstance(answer, dict) else {key: getattr(answer, key) for key in _ANSWERED}
    assert [given[key] for key in _ANSWERED] == ["job-4711", MODEL, "1"]


_ANSWERED = ("id", "model_name", "model_version")


async def check_priority_timeout_headers_and_parameters(client, rows):
    answer = await client.infer(
        rows.columns(0, 4),
        priority=1,
        timeout=10_000_000,
        headers={"x-request-source": "scheduler"},
        parameters={"note": "nightly", "attempt": 3, "urgent": True, "share": 0.5},
    )
    rows.require_equal("point", answer.as_numpy("point"), 0, 4)


async def check_a_timeout_that_cannot_be_met(client, rows):
    refused = await client.refusal(client.infer(rows.columns(0, 4), timeout=1))
    assert refused[0] == client.codes["expired"], refused
    assert "timeout" in refused[1], refused


async def check_many_at_once(client, rows):
    answers = await client.many([rows.columns(at, at + 2) for at in range(NUMBER_OF_REQUESTS)])
    for at, answer in enumerate(answers):
        for name in rows.outputs:
            rows.require_equal(name, answer.as_numpy(name), at, at + 2)


async def check_statistics_move(client, rows):
    before = await _counts(client)
    for _ in range(3):
        await client.infer(rows.columns(0, 5))
    await client.refusal(client.infer({name: rows.columns()[name] for name in ["user"]}))
    after = await _counts(client)
    moved = {name: after[name] - before[name] for name in after}
    assert moved["inference_count"] == 15, moved
    assert 1 <= moved["execution_count"] <= 3, moved
    assert moved["success"] == moved["queue"] == moved["compute_infer"] == 3, moved
    assert moved["compute_input"] == moved["compute_output"] == 3, moved
    assert moved["fail"] == 1, moved
    assert moved["infer_ns"] > 0, moved


async def _counts(client):
    answer = await client.ask("get_inference_statistics", MODEL, "1")
    (about,) = answer["model_stats"]
    assert (about["name"], about["version"]) == (MODEL, "1")
    stats = about.get("inference_stats", {})
    steps = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
    counts = {step: number(stats.get(step, {}).get("count", 0)) for step in steps}
    counts["infer_ns"] = number(stats.get("compute_infer", {}).get("ns", 0))
    return counts | {name: number(about.get(name, 0)) for name in ("inference_count", "execution_count")}


async def check_statistics_of_every_model(client, rows):
    answer = await client.ask("get_inference_statistics")
    assert MODEL in {one["name"] for one in answer["model_stats"]}


async def check_repository_index(client, rows):
    answer = await client.ask("get_model_repository_index")
    listed = answer["models"] if isinstance(answer, dict) else answer
    assert {"name": MODEL, "version": "1", "state": "READY"}.items() <= {
        (key, value) for one in listed if one["name"] == MODEL for key, value in one.items()
    }


async def check_load_and_unload_are_off(client, rows):
    for method in ("load_model", "unload_model"):
        status, message = await client.refusal(client.tell(method, MODEL))
        assert "explicit" in message, (status, message)
    assert await client.tell("is_model_ready", MODEL) is True


async def check_what_is_not_offered_says_so(client, rows):
    unimplemented = {
        "get_system_shared_memory_status": (),
        "register_system_shared_memory": ("region", "/region", 64),
        "unregister_system_shared_memory": ("region",),
        "get_cuda_shared_memory_status": (),
        "register_cuda_shared_memory": ("region", b"aGFuZGxl", 0, 64),
        "unregister_cuda_shared_memory": ("region",),
        "get_trace_settings": (),
        "update_trace_settings": (MODEL, {"trace_level": "OFF"}),
        "get_log_settings": (),
        "update_log_settings": ({"log_info": True},),
    }
    for method, arguments in unimplemented.items():
        status, message = await client.refusal(client.tell(method, *arguments))
        assert status == client.codes["unimplemented"], (method, status, message)
        assert message, method


async def check_wrong_model(client, rows):
    refused = await client.refusal(client.infer(rows.columns(0, 1), model="nothing-of-that-name"))
    assert refused[0] == client.codes["missing"], refused
    assert "nothing-of-that-name" in refused[1], refused
    for method in ("get_model_metadata", "get_model_config", "get_inference_statistics"):
        refused = await client.refusal(client.ask(method, "nothing-of-that-name"))
        assert refused[0] == client.codes["missing"], (method, refused)
        assert "nothing-of-that-name" in refused[1], (method, refused)


async def check_wrong_version(client, rows):
    for version in ("99", "newest"):
        refused = await client.refusal(client.infer(rows.columns(0, 1), model_version=version))
        assert refused[0] == client.codes["missing"], refused
        assert version in refused[1], refused


async def check_wrong_inputs_name_themselves(client, rows):
    good = rows.columns(0, 2)
    wrong = {
        "datatype": {"nodes_req": np.array([[1], [2]], dtype=np.int64)},
        "shape": {"nodes_req": np.array([[1.0, 2.0], [1.0, 2.0]])},
        "rows": {"nodes_req": np.array([[1.0], [2.0], [3.0]])},
        "rank": {"nodes_req": np.array([1.0, 2.0])},
        "name": {"no_such_input": np.array([[1.0], [2.0]])},
    }
    for what, changed in wrong.items():
        refused = await client.refusal(client.infer(good | changed))
        assert refused[0] == client.codes["invalid"], (what, refused)
        assert next(iter(changed)) in refused[1], (what, refused)


async def check_a_missing_input_is_named(client, rows):
    columns = rows.columns(0, 2)
    del columns["wallclock_req"]
    refused = await client.refusal(client.infer(columns))
    assert refused[0] == client.codes["invalid"], refused
    assert "wallclock_req" in refused[1], refused


async def check_a_wrong_output_is_named(client, rows):
    refused = await client.refusal(client.infer(rows.columns(0, 2), outputs=client.outputs("median")))
    assert refused[0] == client.codes["invalid"], refused
    assert "median" in refused[1], refused


async def check_text_that_is_not_utf8_is_named(client, rows):
    columns = rows.columns(0, 2)
    columns["partition"] = np.array([[b"good"], [b"\xff\xfe"]], dtype=np.object_)
    refused = await client.refusal(client.infer(columns))
    assert refused[0] == client.codes["invalid"], refused
    assert "partition" in refused[1], refused


async def check_shared_memory_tensors_are_refused(client, rows):
    tensors = client.inputs(rows.columns(0, 1))
    tensors[0].set_shared_memory("region", 8)
    refused = await client.refusal(client.tell("infer", MODEL, tensors))
    assert refused[0] in (client.codes["unimplemented"], client.codes["invalid"]), refused
    assert "shared" in refused[1], refused
