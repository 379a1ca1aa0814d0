"""What only the HTTP clients of tritonclient can ask for."""

from itertools import product

from triton_dialects import MODEL


async def check_every_mix_of_json_and_binary(client, rows):
    for binary_in, binary_out in product((False, True), repeat=2):
        tensors = client.inputs(rows.columns(), binary_data=binary_in)
        outputs = client.outputs(*rows.outputs, binary_data=binary_out)
        answer = await client.tell("infer", MODEL, tensors, outputs=outputs)
        for name in rows.outputs:
            listed = answer.get_output(name)
            assert ("data" in listed) is not binary_out, listed
            rows.require_equal(name, answer.as_numpy(name))


async def check_json_inputs_without_named_outputs(client, rows):
    answer = await client.tell("infer", MODEL, client.inputs(rows.columns(0, 3), binary_data=False))
    assert "binary_data_size" in answer.get_output("point")["parameters"]
    rows.require_equal("point", answer.as_numpy("point"), 0, 3)


async def check_one_output_binary_the_other_json(client, rows):
    outputs = [*client.outputs("point", binary_data=False), *client.outputs("quantiles", binary_data=True)]
    answer = await client.infer(rows.columns(0, 6), outputs=outputs)
    assert "data" in answer.get_output("point")
    assert "data" not in answer.get_output("quantiles")
    for name in rows.outputs:
        rows.require_equal(name, answer.as_numpy(name), 0, 6)


async def check_compressed_requests_and_answers(client, rows):
    for asked, answered in product((None, "gzip", "deflate"), repeat=2):
        answer = await client.infer(
            rows.columns(), request_compression_algorithm=asked, response_compression_algorithm=answered
        )
        for name in rows.outputs:
            rows.require_equal(name, answer.as_numpy(name))


async def check_query_parameters_do_no_harm(client, rows):
    answer = await client.infer(rows.columns(0, 1), query_params={"trace": "on", "of": ["a", "b"]})
    rows.require_equal("point", answer.as_numpy("point"), 0, 1)
