# ruff: noqa: E501 - one case a line
"""ModelInfer and ModelStreamInfer by the protocol's own messages; tritonclient's view is tested apart."""

import asyncio

import grpc
import numpy as np
import onnxruntime
import open_inference_pb2 as pb
import open_inference_pb2_grpc as rpc
import pytest
import rt_predictor_pb2 as contract
import rt_predictor_pb2_grpc as contract_rpc

FIELDS = {"FP64": "fp64_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}


@pytest.fixture(scope="session")
def session(models):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(models / "hpc-runtime" / "1" / "model.onnx", options)


@pytest.fixture
def plain(session, golden):
    """Quantiles and point of golden rows by onnxruntime itself."""

    def run(rows, first=0, **changed):
        feeds = {name: values[(first + np.arange(rows)) % len(values)] for name, values in golden.items()} | changed
        return session.run(["quantiles", "point"], feeds)

    return run


@pytest.fixture
def infer(channel):
    return rpc.GRPCInferenceServiceStub(channel).ModelInfer


def arrays(answer):
    assert len(answer.raw_output_contents) == len(answer.outputs)
    return {
        output.name: np.frombuffer(raw, "<f4").reshape(output.shape)
        for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }


def typed(request):
    """The same request with typed contents."""
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        contents = getattr(tensor.contents, FIELDS[tensor.datatype])
        if tensor.datatype == "BYTES":
            while raw:
                size = int.from_bytes(raw[:4], "little")
                contents.append(raw[4 : 4 + size])
                raw = raw[4 + size :]
        else:
            contents.extend(np.frombuffer(raw, "<f8" if tensor.datatype == "FP64" else "<i8").tolist())
    request.ClearField("raw_input_contents")
    return request


def tensor(request, name):
    place = next(place for place, found in enumerate(request.inputs) if found.name == name)
    return place, request.inputs[place]


def without(request, *names):
    for name in names:
        place, _ = tensor(request, name)
        del request.inputs[place]
        del request.raw_input_contents[place]
    return request


def set_raw(request, name, values):
    place, _ = tensor(request, name)
    request.raw_input_contents[place] = np.array(values).tobytes()
    return request


def problem(infer, request, code=grpc.StatusCode.INVALID_ARGUMENT):
    with pytest.raises(grpc.RpcError) as caught:
        infer(request, timeout=30)
    assert caught.value.code() is code, caught.value.details()
    return caught.value.details()


@pytest.mark.parametrize("rows", [1, 2, 32, 33, 64, 1000])
@pytest.mark.parametrize("form", [lambda request: request, typed], ids=["raw", "typed"])
def test_answers_are_those_of_the_graph(infer, infer_request, plain, rows, form):
    answer = infer(form(infer_request(rows)))
    quantiles, point = plain(rows)
    found = arrays(answer)
    np.testing.assert_array_equal(found["quantiles"], quantiles)
    np.testing.assert_array_equal(found["point"], point)
    assert [(output.name, output.datatype, list(output.shape)) for output in answer.outputs] == [
        ("quantiles", "FP32", [rows, quantiles.shape[1]]),
        ("point", "FP32", [rows, 1]),
    ]
    assert (answer.model_name, answer.model_version) == ("hpc-runtime", "1")


def test_the_contract_and_the_protocol_agree(infer, infer_request, stub, golden):
    job = contract.JobFeatures(
        partition=golden["partition"][0, 0], qos=golden["qos"][0, 0], submit_time=int(golden["submit_time"][0, 0]),
        processors_req=int(golden["processors_req"][0, 0]), nodes_req=int(golden["nodes_req"][0, 0]),
        wallclock_req=golden["wallclock_req"][0, 0],
    )  # fmt: skip
    told = stub.Predict(contract.PredictRequest(features=job))
    names = ("partition", "qos", "submit_time", "processors_req", "nodes_req", "wallclock_req")
    request = infer_request(1)
    answer = infer(without(request, *(tensor.name for tensor in list(request.inputs) if tensor.name not in names)))
    np.testing.assert_array_equal(arrays(answer)["quantiles"][0], np.array(told.quantile_seconds, np.float32))


def test_zero_memory_means_not_given_here_too(infer, infer_request, plain):
    answer = infer(set_raw(infer_request(1), "mem_req", [0.0]))
    np.testing.assert_array_equal(arrays(answer)["point"], plain(1, mem_req=np.array([[np.nan]]))[1])


def test_id_version_and_parameters_come_back(infer, infer_request):
    request = infer_request(2)
    request.id, request.model_version = "härtefall-7", "1"
    request.parameters["priority"].uint64_param = 1
    request.parameters["timeout"].int64_param = 10_000_000
    request.parameters["mine"].string_param = "kept"
    for _ in range(2):  # the second one is read from what the first one left
        answer = infer(request)
        assert answer.id == "härtefall-7"
        assert answer.model_version == "1"
        assert answer.parameters["priority"].uint64_param == 1
        assert answer.parameters["mine"].string_param == "kept"
    request.id = "another"
    assert infer(request).id == "another"


def test_named_outputs(infer, infer_request, plain):
    request = infer_request(3)
    request.outputs.add(name="point")
    found = arrays(infer(request))
    assert list(found) == ["point"]
    np.testing.assert_array_equal(found["point"], plain(3)[1])
    request.outputs.add(name="quantiles")
    assert list(arrays(infer(request))) == ["point", "quantiles"]


def test_typed_answers_when_asked(infer, infer_request, plain):
    request = infer_request(3)
    request.parameters["binary_data_output"].bool_param = False
    answer = infer(request)
    assert not answer.raw_output_contents
    assert list(answer.outputs[1].contents.fp32_contents) == plain(3)[1].reshape(-1).tolist()
    del request.parameters["binary_data_output"]
    request.outputs.add(name="point").parameters["binary_data"].bool_param = False
    assert list(infer(request).outputs[0].contents.fp32_contents) == plain(3)[1].reshape(-1).tolist()


def test_inputs_in_any_order(infer, infer_request, plain):
    request = infer_request(2)
    turned = pb.ModelInferRequest(model_name="hpc-runtime")
    turned.inputs.extend(reversed(request.inputs))
    turned.raw_input_contents.extend(reversed(request.raw_input_contents))
    np.testing.assert_array_equal(arrays(infer(turned))["point"], plain(2)[1])


def test_requests_of_one_shape_and_different_data(infer, infer_request, plain):
    for first in range(20):
        np.testing.assert_array_equal(arrays(infer(infer_request(1, first)))["quantiles"], plain(1, first)[0])


WRONG = {
    "unknown input": (lambda r: setattr(r.inputs[0], "name", "processors"), "inputs[0].name: must be one of ['account'"),
    "given twice": (lambda r: setattr(r.inputs[1], "name", "processors_req"), "inputs[processors_req]: must be given once"),
    "missing": (lambda r: without(r, "partition"), "inputs[partition]: must be given: it has no default"),
    "datatype": (lambda r: setattr(r.inputs[0], "datatype", "FP32"), "inputs[processors_req].datatype: must be FP64, got 'FP32'"),
    "no rank": (lambda r: r.inputs[0].ClearField("shape"), "inputs[processors_req].shape: must be [rows, 1], got []"),
    "flat": (lambda r: r.inputs[0].shape.pop(), "inputs[processors_req].shape: must be [rows, 1], got [2]"),
    "negative": (lambda r: r.inputs[0].shape.__setitem__(0, -1), "must have 1 to 10000 rows, got -1"),
    "empty": (lambda r: [t.shape.__setitem__(0, 0) for t in r.inputs], "must have 1 to 10000 rows, got 0"),
    "too many": (lambda r: [t.shape.__setitem__(0, 10_001) for t in r.inputs], "must have 1 to 10000 rows, got 10001"),
    "overflow": (lambda r: r.inputs[0].shape.__setitem__(0, 2**62), f"must have 1 to 10000 rows, got {2**62}"),
    "other rows": (lambda r: r.inputs[1].shape.__setitem__(0, 3), "inputs[nodes_req].shape: must have 2 rows as the inputs before, got 3"),
    "no inputs": (lambda r: (r.ClearField("inputs"), r.ClearField("raw_input_contents")), "inputs: must hold at least one tensor"),
    "short data": (lambda r: r.raw_input_contents.__setitem__(0, b"1234"), "inputs[processors_req]: must have 16 bytes, got 4"),
    "one entry less": (lambda r: r.raw_input_contents.pop(), "raw_input_contents: must have one entry per input (16), got 15"),
    "no data": (lambda r: r.ClearField("raw_input_contents"), "inputs[processors_req].contents: must hold 2 values, got 0"),
    "both forms": (lambda r: r.inputs[0].contents.fp64_contents.extend([1, 2]), "inputs[processors_req].contents: must be absent where raw"),
    "text cut": (lambda r: r.raw_input_contents.__setitem__(6, b"\x09\0\0\0abc"), "inputs[partition]: has a text of 9 bytes that leads past its end"),
    "texts few": (lambda r: r.raw_input_contents.__setitem__(6, b"\1\0\0\0a"), "inputs[partition]: must hold 2 texts, got fewer"),
    "texts many": (lambda r: r.raw_input_contents.__setitem__(6, b"\1\0\0\0a" * 3), "inputs[partition]: must hold 2 texts, got 5 more bytes"),
    "not UTF-8": (lambda r: r.raw_input_contents.__setitem__(6, b"\1\0\0\0\xff" * 2), "inputs[partition]: must be UTF-8 text, got byte 0xff"),
    "too small": (lambda r: set_raw(r, "wallclock_req", [60.0, 0.0]), "inputs[wallclock_req][1]: must be finite and > 0, got 0.0"),
    "NaN": (lambda r: set_raw(r, "nodes_req", [np.nan, 1.0]), "inputs[nodes_req][0]: must be finite and >= 1, got nan"),
    "infinite": (lambda r: set_raw(r, "mem_req", [1.0, np.inf]), "inputs[mem_req][1]: must be finite and >= 0, or NaN where it is not known, got inf"),
    "negative time": (lambda r: set_raw(r, "submit_time", [0, -5]), "inputs[submit_time][1]: must be >= 0, got -5"),
    "too large": (lambda r: set_raw(r, "gpus_req", [1.0, 1e12]), "inputs[gpus_req][1]: must be <= 2.14748e+09, got 1000000000000.0"),
    "in a wide column": (lambda r: set_raw(r, "recent_runtimes", [[1.0] * 9 + [-1.0], [1.0] * 10]), "inputs[recent_runtimes][0][9]: must be finite"),
    "empty text": (lambda r: r.raw_input_contents.__setitem__(6, b"\0\0\0\0\1\0\0\0a"), "inputs[partition][0]: must not be empty, got ''"),
    "long text": (lambda r: r.raw_input_contents.__setitem__(8, (b"\2\1\0\0" + b"u" * 258) * 2), "inputs[user][0]: must be at most 256 bytes, got 258"),
    "unknown output": (lambda r: r.outputs.add(name="mean"), "outputs[0].name: must be one of ['point', 'quantiles'], got 'mean'"),
    "output twice": (lambda r: (r.outputs.add(name="point"), r.outputs.add(name="point")), "outputs: must name each output once"),
    "priority": (lambda r: setattr(r.parameters["priority"], "string_param", "high"), "parameters[priority]: must be a whole number >= 0, got 'high'"),
    "timeout": (lambda r: setattr(r.parameters["timeout"], "int64_param", -1), "parameters[timeout]: must be microseconds >= 0, got '-1'"),
    "binary": (lambda r: setattr(r.parameters["binary_data_output"], "int64_param", 1), "parameters[binary_data_output]: must be a boolean, got '1'"),
    "shared memory": (lambda r: setattr(r.inputs[0].parameters["shared_memory_region"], "string_param", "x"), "shared memory is not offered"),
    "classes": (lambda r: setattr(r.outputs.add(name="point").parameters["classification"], "int64_param", 2), "classification is not offered"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(infer, infer_request, case):
    change, expected = WRONG[case]
    request = infer_request(2)
    infer(request)  # so that its head is known
    change(request)
    for _ in range(2):
        assert expected in problem(infer, request)
    infer(infer_request(2))


def test_a_wrong_row_far_down_keeps_its_number(infer, infer_request):
    request = infer_request(5000)
    place, _ = tensor(request, "wallclock_req")
    values = np.frombuffer(request.raw_input_contents[place], "<f8").copy()
    values[4321] = -7
    assert "inputs[wallclock_req][4321]: must be finite and > 0, got -7.0" in problem(
        infer, set_raw(request, "wallclock_req", values)
    )


def test_typed_contents_of_another_type(infer, infer_request):
    request = typed(infer_request(1))
    request.inputs[0].contents.Clear()
    request.inputs[0].contents.fp32_contents.append(1.0)
    assert "inputs[processors_req].contents: must be fp64_contents for FP64, got fp32_contents" in problem(
        infer, request
    )


def test_unknown_model_and_version(infer, infer_request):
    request = infer_request(1)
    request.model_version = "9"
    assert "model hpc-runtime: version '9' not found; ready: 1" in problem(infer, request, grpc.StatusCode.NOT_FOUND)
    for odd in ("01", "-1", "1 ", "٣", "x"):
        request.model_version = odd
        assert "not found" in problem(infer, request, grpc.StatusCode.NOT_FOUND)
    request.model_name = "nobody"
    told = problem(infer, request, grpc.StatusCode.NOT_FOUND)
    assert "model 'nobody': not found; served: build-memory, hpc-runtime" in told


def test_bytes_that_are_no_message(channel):
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    assert "message: must be a ModelInferRequest" in problem(call, b"\xff\xff\xff")


def test_a_wrong_request_does_not_hurt_those_that_come_with_it(server, infer_request, plain):
    bad = set_raw(infer_request(1), "wallclock_req", [-1.0])

    async def together():
        async with grpc.aio.insecure_channel(server.address) as channel:
            call = rpc.GRPCInferenceServiceStub(channel).ModelInfer
            requests = [bad if index % 5 == 0 else infer_request(1, index) for index in range(40)]
            return await asyncio.gather(*(call(request) for request in requests), return_exceptions=True)

    for index, answer in enumerate(asyncio.run(together())):
        if index % 5 == 0:
            assert answer.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "inputs[wallclock_req][0]: must be" in answer.details()
        else:
            np.testing.assert_array_equal(arrays(answer)["quantiles"], plain(1, index)[0])


def test_a_request_whose_own_timeout_passed_is_dropped(start, infer_request):
    """The timeout is shorter than reading the request takes, so that it has always passed."""
    served = start()
    request = infer_request(2000)
    request.parameters["timeout"].int64_param = 1
    with served.channel() as channel:
        call = rpc.GRPCInferenceServiceStub(channel)
        told = problem(call.ModelInfer, request, grpc.StatusCode.DEADLINE_EXCEEDED)
        assert "parameters[timeout]: 1 us passed before the work began" in told
        counted = call.ModelStatistics(pb.ModelStatisticsRequest(name="hpc-runtime")).model_stats[0]
    assert counted.inference_count == 0
    assert counted.inference_stats.fail.count == 1


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("SystemSharedMemoryStatus", "shared memory"), ("SystemSharedMemoryRegister", "shared memory"),
        ("SystemSharedMemoryUnregister", "shared memory"), ("CudaSharedMemoryStatus", "shared memory"),
        ("CudaSharedMemoryRegister", "shared memory"), ("CudaSharedMemoryUnregister", "shared memory"),
        ("TraceSetting", "trace settings"), ("LogSettings", "log settings"),
    ],
)  # fmt: skip
def test_what_is_not_offered_says_so(channel, method, told):
    call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
    assert f"{told} " in problem(call, b"", grpc.StatusCode.UNIMPLEMENTED)


def converse(server, requests):
    async def run():
        async with grpc.aio.insecure_channel(server.address) as channel:
            stream = rpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(timeout=60)
            for request in requests:
                await stream.write(request)
            await stream.done_writing()
            return [answer async for answer in stream]

    return asyncio.run(run())


def test_a_stream_answers_in_order_and_survives_errors(server, infer_request, plain):
    requests = [infer_request(1 + index % 3, index) for index in range(100)]
    for index, request in enumerate(requests):
        request.id = str(index)
    requests[7] = set_raw(infer_request(1), "wallclock_req", [-1.0])
    requests[7].id = "7"
    requests[9].model_name = "nobody"
    answers = converse(server, requests)
    assert [answer.infer_response.id for answer in answers] == [str(index) for index in range(100)]
    assert "inputs[wallclock_req][0]" in answers[7].error_message
    assert "'nobody': not found" in answers[9].error_message
    for index, answer in enumerate(answers):
        if index not in (7, 9):
            assert not answer.error_message
            quantiles = arrays(answer.infer_response)["quantiles"]
            np.testing.assert_array_equal(quantiles, plain(1 + index % 3, index)[0])


def test_a_stream_says_which_answer_is_final_when_asked(server, infer_request):
    request = infer_request(1)
    assert "triton_final_response" not in converse(server, [request])[0].infer_response.parameters
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    assert converse(server, [request])[0].infer_response.parameters["triton_final_response"].bool_param


def test_metadata_and_configuration(channel, golden, models):
    call = rpc.GRPCInferenceServiceStub(channel)
    server = call.ServerMetadata(pb.ServerMetadataRequest())
    assert server.name == "jobcast"
    assert {"model_repository", "statistics", "model_configuration"} <= set(server.extensions)
    told = call.ModelMetadata(pb.ModelMetadataRequest(name="hpc-runtime"))
    assert [item.name for item in told.inputs] == list(golden)
    assert {item.name: list(item.shape) for item in told.inputs}["recent_runtimes"] == [-1, 10]
    assert told.properties["unit.wallclock_req"] == "s"
    assert told.properties["unit.quantiles"] == "s"
    assert list(told.versions) == ["1"]
    config = call.ModelConfig(pb.ModelConfigRequest(name="hpc-runtime")).config
    assert config.max_batch_size == 10_000
    assert {item.name: item.optional for item in config.input}["user"]
    assert not {item.name: item.optional for item in config.input}["partition"]
    assert [list(item.dims) for item in config.output] == [[9], [1]]
    assert not config.model_transaction_policy.decoupled
    for name, version in (("nobody", ""), ("hpc-runtime", "44")):
        for method in (call.ModelMetadata, call.ModelConfig, call.ModelStatistics):
            kind = {call.ModelMetadata: pb.ModelMetadataRequest, call.ModelConfig: pb.ModelConfigRequest}
            request = kind.get(method, pb.ModelStatisticsRequest)(name=name, version=version)
            assert "not found" in problem(method, request, grpc.StatusCode.NOT_FOUND)


def test_statistics_count_what_was_asked(start, infer_request, job):
    served = start()
    with served.channel() as channel:
        call = rpc.GRPCInferenceServiceStub(channel)
        for rows in (1, 1, 5, 700):
            call.ModelInfer(infer_request(rows))
        with pytest.raises(grpc.RpcError):
            call.ModelInfer(set_raw(infer_request(1), "wallclock_req", [-1.0]))
        contract_rpc.JobRuntimePredictorStub(channel).Predict(contract.PredictRequest(features=job))
        (told,) = call.ModelStatistics(pb.ModelStatisticsRequest(name="hpc-runtime")).model_stats
    stats = told.inference_stats
    assert told.inference_count == 1 + 1 + 5 + 700 + 1
    assert (stats.success.count, stats.fail.count) == (5, 1)
    assert told.execution_count == 1 + 1 + 1 + 3 + 1  # 700 rows in three pieces
    assert {size.batch_size: size.compute_infer.count for size in told.batch_stats} == {1: 3, 5: 1, 256: 2, 188: 1}
    for duration in (stats.compute_input, stats.compute_infer, stats.compute_output, stats.success):
        assert duration.ns > 0
        assert duration.count == 5
    assert stats.compute_infer.ns < stats.success.ns
    assert told.last_inference > 1_700_000_000_000


def test_statistics_read_under_load_count_each_stage_alike(server, infer_request):
    async def run():
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = rpc.GRPCInferenceServiceStub(channel)
            calls = asyncio.gather(*(stub.ModelInfer(infer_request(rows)) for rows in [1, 4, 600] * 60))
            told = []
            while not calls.done():
                answer = await stub.ModelStatistics(pb.ModelStatisticsRequest(name="hpc-runtime"))
                told.append(answer.model_stats[0].inference_stats)
            await calls
            return told

    told = asyncio.run(run())
    assert len(told) > 10
    for stats in told:
        assert stats.compute_input.count == stats.compute_infer.count == stats.compute_output.count
