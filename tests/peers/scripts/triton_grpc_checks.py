"""What only the gRPC clients of tritonclient can ask for."""

from triton_dialects import MODEL


async def check_compressed_requests(client, rows):
    for algorithm in ("gzip", "deflate"):
        answer = await client.infer(rows.columns(), compression_algorithm=algorithm)
        for name in rows.outputs:
            rows.require_equal(name, answer.as_numpy(name))


async def check_client_timeout_and_metadata(client, rows):
    answer = await client.infer(rows.columns(0, 1), client_timeout=10.0, headers={"authorization": "none"})
    rows.require_equal("point", answer.as_numpy("point"), 0, 1)
    assert await client.tell("is_server_ready", headers={"authorization": "none"}, client_timeout=10.0) is True


async def check_stream_answers_every_request(client, rows):
    requests = [_request(client, rows, at) for at in range(20)]
    answers = await client.stream(requests)
    assert [error for _, error in answers] == [None] * 20
    found = {result.get_response().id: result for result, _ in answers}
    for at in range(20):
        rows.require_equal("quantiles", found[f"row-{at}"].as_numpy("quantiles"), at, at + 1)


async def check_stream_outlives_a_bad_request(client, rows):
    requests = [_request(client, rows, at) for at in range(5)]
    requests[2]["model_name"] = "nothing-of-that-name"
    requests[3]["inputs"] = requests[3]["inputs"][1:]
    answers = await client.stream(requests)
    messages = [str(error) for _, error in answers if error is not None]
    assert len(messages) == 2, messages
    assert "nothing-of-that-name" in "".join(messages), messages
    assert next(iter(rows.inputs)) in "".join(messages), messages
    # an answer with an error carries no result; every other one does
    good = [result for result, error in answers if error is None]
    found = {result.get_response().id: result for result in good}
    assert set(found) == {"row-0", "row-1", "row-4"}
    for at in (0, 1, 4):
        rows.require_equal("point", found[f"row-{at}"].as_numpy("point"), at, at + 1)


def _request(client, rows, at):
    return {
        "model_name": MODEL,
        "inputs": client.inputs(rows.columns(at, at + 1)),
        "request_id": f"row-{at}",
        "outputs": client.outputs(*rows.outputs),
    }
