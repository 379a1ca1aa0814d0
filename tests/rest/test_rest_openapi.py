"""The OpenAPI document and its page: complete, true, and readable where nothing else can be reached."""

import json
import re
from html.parser import HTMLParser

import pytest

STEMS = {"{name}": "hpc-runtime", "{version}": "1", "{job}": "none"}
KEY = "/{model_type}/{model_name}/{hardware}/{software_name}/{software_version}"
PREDICTIONS = ["/predict", *(f"/predict/{kind}{KEY}" for kind in ("single", "batch", "table"))]
TASKS = ["/health", "/models", "/outcomes", "/train", "/train/{job}", *PREDICTIONS]


@pytest.fixture(scope="module")
def document(server):
    return server.ask("GET", "/openapi.json").json()


def operations(document):
    return [(path, method, told) for path, methods in document["paths"].items() for method, told in methods.items()]


def test_every_path_is_there(document):
    model = [f"/v2/models/{{name}}{version}{leaf}" for version in ("", "/versions/{version}")
             for leaf in ("", "/ready", "/infer", "/config", "/stats")]  # fmt: skip
    verbs = [f"/v2/repository/models/{{name}}/{verb}" for verb in ("load", "unload")]
    server = ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/stats", "/v2/repository/index"]
    assert set(document["paths"]) == {*model, *verbs, *server, *TASKS, "/docs", "/openapi.json"}
    assert document["openapi"].startswith("3.1")


def test_every_operation_is_described_and_named_once(document):
    names = [told["operationId"] for _, _, told in operations(document)]
    assert len(set(names)) == len(names)
    for path, _, told in operations(document):
        assert told["summary"], path
        assert set(re.findall(r"{(\w+)}", path)) == {item["name"] for item in told.get("parameters", [])}, path
        assert {"200", "400", "408", "431", "500"} <= told["responses"].keys(), path
        assert all(response["description"] for response in told["responses"].values()), path
        assert ("422" in told["responses"]) == (path in TASKS and "requestBody" in told), path


def test_every_reference_leads_somewhere(document):
    names = set(re.findall(r'"\$ref":"#/components/schemas/(\w+)"', json.dumps(document, separators=(",", ":"))))
    assert names <= set(document["components"]["schemas"])
    assert '"$ref":"#/$defs' not in json.dumps(document, separators=(",", ":"))
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


def require_fields(schema, value, schemas, where):
    """Every object has the fields that its schema requires, and none that its schema does not know."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if isinstance(value, list):
        for item in value:
            require_fields(schema.get("items", {}), item, schemas, where)
    elif isinstance(value, dict) and "properties" in schema:
        assert set(schema.get("required", ())) <= value.keys() <= schema["properties"].keys(), where
        for name, field in value.items():
            require_fields(schema["properties"][name], field, schemas, f"{where}.{name}")


def test_what_every_path_answers_has_the_documented_fields(server, document, good):
    server.infer(good)  # so that there are statistics
    for path, method, told in operations(document):
        for name, value in STEMS.items():
            path = path.replace(name, value)
        answer = server.ask(method.upper(), path, good if path.endswith("infer") else None)
        assert str(answer.status) in told["responses"], path
        content = told["responses"][str(answer.status)]["content"]
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in content, path
        if kind == "application/json":
            require_fields(content[kind]["schema"], answer.json(), document["components"]["schemas"], path)


def test_the_example_is_answered(server, document):
    body = document["paths"]["/v2/models/{name}/infer"]["post"]["requestBody"]["content"]["application/json"]
    for example in body["examples"].values():
        assert server.infer(example["value"]).json()["outputs"][0]["name"] == "point"


class Page(HTMLParser):
    """Collects what a page refers to, and whether its tags are closed."""

    def __init__(self):
        super().__init__()
        self.links, self.ids, self.tags, self.open = [], set(), set(), []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        told = dict(attributes)
        self.links += [told[name] for name in ("href", "src") if name in told]
        self.ids.add(told.get("id"))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_nothing_from_outside(server, document):
    answer = server.ask("GET", "/docs", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert answer.headers["content-type"].startswith("text/html")
    page = Page()
    page.feed(answer.body.decode())
    assert not page.open
    assert not page.tags & {"script", "link", "img", "iframe"}
    assert set(page.links) == {"openapi.json"} | {link for link in page.links if link[1:] in page.ids}
    text = answer.body.decode()
    assert all(path in text for path in document["paths"])
    assert all(f'id="{name}"' in text for name in document["components"]["schemas"])


def test_the_page_is_the_document_where_json_is_asked_for(server, document):
    assert server.ask("GET", "/docs", headers={"Accept": "application/json"}).json() == document


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_both_are_packed_for_who_accepts_it(server, path):
    import gzip

    answer = server.ask("GET", path, headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(answer.body) == server.ask("GET", path).body
