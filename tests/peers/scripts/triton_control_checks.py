"""Loading and unloading over the network, on a server that was started to allow it."""

from triton_dialects import MODEL


async def check_unload_and_load_again(client, rows):
    await client.tell("load_model", MODEL)
    rows.require_equal("point", (await client.infer(rows.columns())).as_numpy("point"))
    await client.tell("unload_model", MODEL)
    assert await client.tell("is_model_ready", MODEL) is False
    assert "READY" not in await _states(client)
    refused = await client.refusal(client.infer(rows.columns(0, 1)))
    assert MODEL in refused[1], refused
    await client.tell("load_model", MODEL)
    assert await client.tell("is_model_ready", MODEL) is True
    assert "READY" in await _states(client)
    rows.require_equal("point", (await client.infer(rows.columns())).as_numpy("point"))


async def check_a_model_that_is_not_there(client, rows):
    for method in ("load_model", "unload_model"):
        refused = await client.refusal(client.tell(method, "nothing-of-that-name"))
        assert "nothing-of-that-name" in refused[1], (method, refused)


async def check_files_are_never_written(client, rows):
    content = {"file:2/model.onnx": b"not a graph"}
    refused = await client.refusal(client.tell("load_model", MODEL, config="{}", files=content))
    assert "file:2/model.onnx" in refused[1] or "config" in refused[1], refused
    assert not [one for one in await _index(client) if one.get("version") == "2"]


async def _index(client):
    answer = await client.ask("get_model_repository_index")
    return answer.get("models", []) if isinstance(answer, dict) else answer


async def _states(client):
    return [one.get("state", "") for one in await _index(client) if one["name"] == MODEL]
