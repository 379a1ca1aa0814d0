"""Administration has a switch of its own, pages of other sites may not use it, and an open server says that it is."""

import json
import re

import grpc
import pytest

LOAD = "/v2/repository/models/nothing/load"
TRAIN = ("/train", {"model_type": "x"})
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested
OPEN = "THIS SERVER IS OPEN"


def said(served, text):
    return [line for line in served.said if text in line]


def test_off_is_off_for_everybody(start, keys):
    keys.add("ops", "admin")
    served = start("--admin", "off", "--model-control", "explicit", "--keys", str(keys.path))
    for path in (LOAD, "/train", "/predict/table/a/b/c/d/e"):
        answer = served.ask("POST", path, {}, keys.headers("ops"))
        assert (answer.status, "--admin on" in answer.json()["error"]) == (403, True)


def test_an_open_server_warns_and_has_no_administration(start):
    served = start("--host", EVERYWHERE, "--model-control", "explicit", "--load-model", "hpc-runtime")
    assert len(said(served, OPEN)) == 1
    assert served.ask("POST", LOAD, {}).status == 403
    assert served.ask("POST", *TRAIN).status == 403
    assert served.ask("GET", "/v2").status == 200
    assert served.metrics("/anything").status == 200


def test_an_open_server_may_have_it_if_the_operator_says_so(start):
    served = start("--host", EVERYWHERE, "--admin", "on", "--model-control", "explicit", "--load-model", "hpc-runtime")
    assert '"admin": "on"' in said(served, OPEN)[0]
    assert served.ask("POST", LOAD, {}).status == 404


def test_loopback_is_as_ever_and_silent(start, tmp_path):
    log = tmp_path / "audit.jsonl"
    served = start("--model-control", "explicit", "--load-model", "hpc-runtime", "--audit-log", str(log))
    assert not said(served, OPEN)
    assert served.ask("POST", LOAD, {}).status == 404
    assert served.ask("POST", "/v2/repository/models/hpc-runtime/unload", {}).status == 200
    for origin in ("http://elsewhere.example", "null", "http://[", f"http://127.0.0.1:{served.ready['metrics_port']}"):
        for path in (LOAD, "/train", "/outcomes"):
            answer = served.ask("POST", path, {}, {"Origin": origin})
            assert (answer.status, "origin" in answer.json()["error"]) == (403, True), origin
    own = f"http://127.0.0.1:{served.ready['http_port']}"
    assert served.ask("POST", LOAD, {}, {"Origin": own}).status == 404
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    acts = [(line["call"].rpartition("/")[2], line["outcome"]) for line in lines if line["event"] == "admin"]
    assert acts == [("load", "failed (404)"), ("unload", "success"), ("load", "failed (404)")]
    refused = [line for line in lines if line["event"] == "refused"]
    assert len(refused) == 12
    assert {line["outcome"] for line in refused} == {"denied"}


def test_what_was_refused_and_done_is_written_down(guarded):
    served, keys = guarded.served, guarded.keys
    before = len(guarded.audited())
    served.ask("POST", LOAD, {}, keys.headers("predict") | {"x-request-id": "forbidden-7"})
    served.ask("POST", LOAD, {}, keys.headers("admin") | {"x-request-id": "asked-7"})
    refused, done = [line for line in guarded.audited()[before:] if line.get("request_id", "").endswith("-7")]
    assert (refused["event"], refused["key"], refused["outcome"]) == ("refused", "", "denied")
    assert "predict" in refused["problem"]
    assert (done["event"], done["key"], done["outcome"]) == ("admin", "admin", "failed (404)")
    assert done["call"] == f"POST {LOAD}"
    assert all(line["peer"].startswith("127.0.0.1:") for line in (refused, done))
    written = guarded.audit.read_text()
    assert not any(token in written for token in keys.tokens.values())


def test_who_called_over_grpc_is_written_down(guarded):
    keys, before = guarded.keys, len(guarded.audited())
    with guarded.served.channel() as channel:
        load = channel.unary_unary("/inference.GRPCInferenceService/RepositoryModelLoad")
        for name in ("predict", "admin"):
            with pytest.raises(grpc.RpcError):
                load(b"", metadata=keys.metadata(name))
    refused, done = guarded.audited()[before:]
    assert (refused["event"], done["event"]) == ("refused", "admin")
    assert all(re.fullmatch(r"ipv4:127\.0\.0\.1:\d+", line["peer"]) for line in (refused, done))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_loopback(host):
    from jobcast_server.security.security import local

    assert local(host)


@pytest.mark.parametrize(
    "host", [EVERYWHERE, "::", "192.0.2.1", "example.org", "localhost.example.org", "127.0.0.1.nip.io"]
)
def test_not_loopback(host):
    from jobcast_server.security.security import local

    assert not local(host)
