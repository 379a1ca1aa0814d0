"""The OpenAPI document as one page of HTML that loads nothing else: users' networks may be closed."""

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #2a6fdb; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; } pre { background: var(--soft); padding: .8rem; overflow: auto; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; }
summary { padding: .5rem .8rem; cursor: pointer; } details > div { padding: 0 1rem 1rem; }
b.method { display: inline-block; min-width: 3.2rem; color: var(--accent); }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: .3rem .5rem;
border-bottom: 1px solid var(--line); } .dim { opacity: .7; } nav a { margin-right: 1rem; }
"""


def render(document: dict[str, Any]) -> str:
    """The page."""
    info = document["info"]
    head = f"<title>{escape(info['title'])} REST</title><style>{STYLE}</style>"
    tags = document["tags"]
    links = "".join(f'<a href="#{tag["name"]}">{tag["name"]}</a>' for tag in [*tags, {"name": "schemas"}])
    parts = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}: REST</h1>{_text(info['description'])}",
        f'<p>The same as <a href="openapi.json">openapi.json</a>, for tools.</p><nav>{links}</nav>',
    ]
    for tag in tags:
        parts.append(f'<h2 id="{tag["name"]}">{tag["name"]}</h2><p>{escape(tag["description"])}</p>')
        parts += _operations(document, tag["name"])
    parts.append('<h2 id="schemas">schemas</h2>')
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts.append(f'<h3 id="{name}">{name}</h3>{_text(schema.get("description", ""))}{_fields(schema)}')
    body = "\n".join(parts)
    return f'<!doctype html><html lang="en"><head><meta charset="utf-8">{head}</head><body>{body}</body></html>'


def _operations(document: dict[str, Any], tag: str) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                title = f'<b class="method">{method.upper()}</b> <code>{escape(path)}</code>'
                about = f'<span class="dim"> {escape(operation["summary"])}</span>'
                yield f"<details><summary>{title}{about}</summary><div>{_operation(operation)}</div></details>"


def _operation(operation: dict[str, Any]) -> str:
    parts = [_text(operation.get("description", ""))]
    if parameters := operation.get("parameters"):
        rows = [
            (f"<code>{item['name']}</code>", item["in"], escape(item.get("description", ""))) for item in parameters
        ]
        parts.append(_table(("parameter", "in", ""), rows))
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Body: <code>{kind}</code> {_type(content['schema'])}</p>")
        for example in content.get("examples", {}).values():
            parts.append(f"<pre>{escape(_example(example['value']))}</pre>")
    answers = []
    for status, response in operation["responses"].items():
        bodies = [_type(content["schema"]) for content in response.get("content", {}).values() if content["schema"]]
        answers.append((status, escape(response["description"]), " ".join(bodies)))
    return "".join([*parts, _table(("status", "meaning", "body"), answers)])


def _fields(schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = []
    for name, field in schema.get("properties", {}).items():
        needed = "" if name in required else '<span class="dim">may be absent</span>'
        rows.append((f"<code>{name}</code>", _type(field), needed, _inline(field.get("description", ""))))
    return _table(("field", "type", "", ""), rows) if rows else ""


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(item) for item in schema["anyOf"] if item.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return escape(", ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")])))
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return escape(schema.get("type", "any"))


def _example(value: dict[str, Any]) -> str:
    """JSON with one tensor on a line."""
    lines = []
    for name, field in value.items():
        if isinstance(field, list):
            items = ",\n".join(f"    {json.dumps(item)}" for item in field)
            lines.append(f'  "{name}": [\n{items}\n  ]')
        else:
            lines.append(f'  "{name}": {json.dumps(field)}')
    return "{\n" + ",\n".join(lines) + "\n}"


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{item}</th>" for item in heads)
    body = "".join("<tr>" + "".join(f"<td>{item}</td>" for item in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _text(text: str) -> str:
    return "".join(f"<p>{_inline(paragraph)}</p>" for paragraph in text.split("\n\n") if paragraph)


def _inline(text: str) -> str:
    """Text with `code` marked."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
