"""The Postman collection and its environment, made from the OpenAPI document and `flow.toml`."""

import json
import tomllib
from pathlib import Path
from typing import Any

from backend.postman import checks

FLOW_FILE = Path(__file__).parent / "flow.toml"
FILES_DIR = "tests/contract/postman"
SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
LAST_FOLDER = "at the end"

Route = tuple[str, str]
Step = dict[str, Any]


def write(document: dict[str, Any], folder: Path) -> None:
    """Write `postman_collection.json` and `postman_environment.json` of *document* into *folder*."""
    for name, told in files(document).items():
        (folder / name).write_text(told, encoding="utf-8")


def files(document: dict[str, Any]) -> dict[str, str]:
    """Both files by name, as text."""
    both = {"postman_collection.json": collection(document), "postman_environment.json": environment()}
    return {name: json.dumps(told, ensure_ascii=False, indent=1) + "\n" for name, told in both.items()}


def environment() -> dict[str, Any]:
    """What a person fills in, and the tokens that the login keeps."""
    values = {"baseUrl": "http://127.0.0.1:8000", "username": "admin", "password": "", "token": "", "refresh_token": ""}
    secret = {"password", "token", "refresh_token"}
    return {
        "name": "Polymath",
        "values": [
            {"key": key, "value": value, "type": "secret" if key in secret else "default", "enabled": True}
            for key, value in values.items()
        ],
        "_postman_variable_scope": "environment",
    }


def collection(document: dict[str, Any]) -> dict[str, Any]:
    """Every route of *document* at least once, in folders by tag: login first, deletions and logout last."""
    flow = read_flow()
    operations = operations_of(document)
    folders: dict[str, list[Step]] = {name: [] for name in flow["folders"]}
    last: list[Step] = []
    for step in steps_of(document):
        operation = operations[route_of(step)]
        ends = step.get("last") or step["route"].startswith("DELETE")
        home = last if ends else folders.setdefault(step.get("folder", operation["tags"][0]), [])
        home.append(item(step, operation, document))
    return {
        "info": {
            "name": "Polymath",
            "description": "Made by `make docs` from the OpenAPI document. Fill in the environment, then run it whole.",
            "schema": SCHEMA,
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
        "item": [{"name": name, "item": items} for name, items in (folders | {LAST_FOLDER: last}).items() if items],
    }


def steps_of(document: dict[str, Any]) -> list[Step]:
    """The steps of `flow.toml`, and one for each route of *document* that it leaves out."""
    operations = operations_of(document)
    steps: list[Step] = read_flow()["request"]
    unknown = [step["route"] for step in steps if route_of(step) not in operations]
    assert not unknown, f"flow.toml names routes that the document does not have: {unknown}"
    told = {route_of(step) for step in steps}
    return steps + [{"route": " ".join(route)} for route in operations if route not in told]


def read_flow() -> dict[str, Any]:
    """What `flow.toml` says."""
    return tomllib.loads(FLOW_FILE.read_text(encoding="utf-8"))


def show_examples(document: dict[str, Any]) -> None:
    """Write the example of each request's body into *document*, the variables of the collection filled in."""
    flow = read_flow()
    values = {f"{{{{{name}}}}}": value for name, value in flow["examples"].items()}
    operations = operations_of(document)
    for step in reversed(flow["request"]):
        if "body" in step and route_of(step) in operations:
            content = operations[route_of(step)]["requestBody"]["content"]
            content[kind_of(step["body"], content)]["example"] = filled(step["body"], values)


def filled(body: Any, values: dict[str, str]) -> Any:
    """*body* with its variables replaced by *values*, and files by their names."""
    if isinstance(body, dict):
        return {key: filled(each, values) for key, each in body.items()}
    if isinstance(body, list):
        return [filled(each, values) for each in body]
    if isinstance(body, str):
        for name, value in values.items():
            body = body.replace(name, value)
        return body.removeprefix("@")
    return body


def operations_of(document: dict[str, Any]) -> dict[Route, dict[str, Any]]:
    """Every operation by method and path, as they stand in *document*."""
    return {
        (method.upper(), path): operation
        for path, item_of in document["paths"].items()
        for method, operation in item_of.items()
    }


def route_of(step: Step) -> Route:
    method, _, path = step["route"].partition(" ")
    return method, path


def item(step: Step, operation: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """One request with its test script."""
    expected = step.get("expect") or [int(status) for status in operation["responses"] if status.startswith("2")]
    return {
        "name": step.get("name") or operation.get("summary") or step["route"],
        "event": [
            {
                "listen": "test",
                "script": {
                    "type": "text/javascript",
                    "exec": checks.script(
                        expected, checks.schemas(operation, document, expected), step.get("save", {})
                    ),
                },
            }
        ],
        "request": request(step, operation),
        "response": [],
    }


def request(step: Step, operation: dict[str, Any]) -> dict[str, Any]:
    """Method, address, headers and body."""
    method, path = route_of(step)
    headers = [{"key": key, "value": value} for key, value in step.get("headers", {}).items()]
    told: dict[str, Any] = {"method": method, "description": operation.get("description", "")}
    if operation.get("security") == []:
        told["auth"] = {"type": "noauth"}
    if "body" in step:
        kind, told["body"] = body(step["body"], operation)
        headers += [{"key": "Content-Type", "value": kind}] if kind else []
    return told | {"header": headers, "url": address(step, path)}


def address(step: Step, path: str) -> dict[str, Any] | str:
    """The URL, its parameters filled in; a step may name another, which an earlier answer gave."""
    values = step.get("path", {})
    if "url" in step:
        path = step["url"]
    parts = [
        values.get(part[1:-1], f"{{{part}}}") if _is_parameter(part) else part for part in path.strip("/").split("/")
    ]
    query = [{"key": key, "value": value} for key, value in step.get("query", {}).items()]
    raw = "{{baseUrl}}/" + "/".join(parts)
    if "url" in step:
        return "{{baseUrl}}" + path
    if query:
        raw += "?" + "&".join(f"{each['key']}={each['value']}" for each in query)
    return {"raw": raw, "host": ["{{baseUrl}}"], "path": parts, "query": query}


def _is_parameter(part: str) -> bool:
    return part.startswith("{") and not part.startswith("{{")


def body(values: dict[str, Any], operation: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The content type to say, if any, and the body: JSON where the route takes it and no value is a file."""
    if kind_of(values, operation["requestBody"]["content"]) == "application/json":
        text = json.dumps(values, ensure_ascii=False, indent=2)
        return "application/json", {"mode": "raw", "raw": text, "options": {"raw": {"language": "json"}}}
    return "", {"mode": "formdata", "formdata": [field(key, value) for key, value in values.items()]}


def kind_of(values: dict[str, Any], kinds: dict[str, Any]) -> str:
    """In which of *kinds* a body goes."""
    has_files = any(str(value).startswith("@") for value in values.values())
    return "application/json" if "application/json" in kinds and not has_files else "multipart/form-data"


def field(key: str, value: Any) -> dict[str, Any]:
    """One field of a form: a file or a text."""
    if str(value).startswith("@"):
        return {"key": key, "type": "file", "src": f"{FILES_DIR}/{value[1:]}"}
    return {"key": key, "type": "text", "value": str(value)}
