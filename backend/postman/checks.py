"""The test script of each request: its status, its content type, and the shape that the document says."""

import json
from typing import Any

KEPT = ("type", "required", "enum", "const", "minItems", "additionalProperties")
DEEPEST = 12


def script(expected: list[int], schemas: dict[str, Any], save: dict[str, str]) -> list[str]:
    """Lines of JavaScript for Postman: every answer has a documented status and the schema of that status."""
    lines = [
        f"const expected = {json.dumps(sorted(expected))};",
        f"const schemas = {json.dumps(schemas, ensure_ascii=False, sort_keys=True)};",
        "pm.test(`status is one of ${expected}`, () => pm.expect(pm.response.code).to.be.oneOf(expected));",
        "pm.test('the answer carries its request id', () => pm.response.to.have.header('X-Request-ID'));",
        "const kind = (pm.response.headers.get('Content-Type') || '').split(';')[0];",
        "const schema = (schemas[pm.response.code] || {})[kind];",
        "pm.test('the content type is documented', () => {",
        "  const kinds = Object.keys(schemas[pm.response.code] || {});",
        "  const fits = (told) => told === '*/*' || told === kind || kind.startsWith(told.replace('*', ''));",
        "  pm.expect(kinds.length === 0 || kinds.some(fits), `${kind} of ${kinds}`).to.be.true;",
        "});",
        "if (schema) pm.test('the body fits its schema', () => pm.response.to.have.jsonSchema(schema));",
    ]
    if save:
        lines += [
            f"const saved = {json.dumps(save)};",
            "if (pm.response.code < 300) pm.test('what later requests need is there', () => {",
            "  for (const [name, place] of Object.entries(saved)) {",
            "    const value = place.split('.').reduce((found, key) => found[key], pm.response.json());",
            "    pm.expect(value, place).to.be.ok;",
            "    pm.environment.set(name, value);",
            "  }",
            "});",
        ]
    return lines


def schemas(operation: dict[str, Any], document: dict[str, Any], statuses: list[int]) -> dict[str, Any]:
    """For each of *statuses* the documented content types, with the schema of those that are JSON."""
    answers = operation["responses"]
    missing = [status for status in statuses if str(status) not in answers]
    assert not missing, f"flow.toml expects {missing} of a route that shows {list(answers)}: {operation['summary']}"
    return {str(status): _content(answers[str(status)], document) for status in statuses}


def _content(response: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    return {
        kind: plain(told.get("schema", {}), document) if kind == "application/json" else None
        for kind, told in (response.get("content") or {}).items()
    }


def plain(schema: dict[str, Any], document: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """*schema* without references and words: types and required keys alone."""
    if depth > DEEPEST:
        return {}
    if "$ref" in schema:
        return plain(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, depth + 1)
    kept = {key: schema[key] for key in KEPT if key in schema and not isinstance(schema[key], dict)}
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            kept[key] = [plain(each, document, depth + 1) for each in schema[key]]
    if "properties" in schema:
        kept["properties"] = {name: plain(each, document, depth + 1) for name, each in schema["properties"].items()}
    if isinstance(schema.get("items"), dict):
        kept["items"] = plain(schema["items"], document, depth + 1)
    return kept
