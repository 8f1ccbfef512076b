"""The API's page for people, made on the server from the OpenAPI document, without any script."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase

_METHODS = ("get", "post", "put", "patch", "delete")


class DocsPage(DocsBase):
    """Lists the operations with their fields and answers."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        """The page `/api/docs`."""
        schema = api.get_openapi_schema()
        groups: dict[str, list[dict[str, Any]]] = {}
        for path, methods in schema["paths"].items():
            for method in (word for word in _METHODS if word in methods):
                described = _describe(schema, methods[method], method=method, path=path)
                groups.setdefault(described["tag"], []).append(described)
        context = {"title": api.title, "groups": groups, "openapi_url": self.get_openapi_url(api, {})}
        return render(request, "api/docs.html", context)


def _describe(schema: dict[str, Any], operation: dict[str, Any], *, method: str, path: str) -> dict[str, Any]:
    summary, _, more = operation.get("description", "").replace("`", "").partition("\n")
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    return {
        "id": operation["operationId"],
        "tag": operation.get("tags", ["other"])[0],
        "method": method.upper(),
        "path": path,
        "summary": summary,
        "more": more.strip(),
        "parameters": [
            {
                "name": parameter["name"],
                "where": parameter["in"],
                "required": parameter.get("required", False),
                **_field(parameter["schema"]),
            }
            for parameter in operation["parameters"]
        ],
        "fields": _fields(schema, body) if body else [],
        "answers": [
            {"status": status, "what": answer["description"]}
            for status, answer in operation["responses"].items()
        ],
    }


def _fields(schema: dict[str, Any], body: dict[str, Any], *, prefix: str = "") -> list[dict[str, Any]]:
    """The fields of a shape, those of shapes inside it behind a dot."""
    shape = _resolve(schema, body)
    required = shape.get("required", [])
    fields = []
    for name, details in shape.get("properties", {}).items():
        fields.append({"name": prefix + name, "required": name in required, **_field(details)})
        for part in (details, *details.get("anyOf", ())):
            if "$ref" in part:
                fields += _fields(schema, part, prefix=f"{prefix}{name}.")
    return fields


def _resolve(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    name = part.get("$ref", "").rsplit("/", 1)[-1]
    return dict(schema["components"]["schemas"][name]) if name else part


def _field(details: dict[str, Any]) -> dict[str, Any]:
    default = details.get("default")
    return {
        "type": _type(details),
        "default": "" if default in (None, "", [], {}) else _text(default),
        "description": details.get("description", "").replace("`", ""),
    }


def _text(default: Any) -> str:
    return default if isinstance(default, str) else json.dumps(default)


def _type(details: dict[str, Any]) -> str:
    """A short word for a JSON schema's type."""
    if "$ref" in details:
        return str(details["$ref"].rsplit("/", 1)[-1])
    if "enum" in details:
        return ", ".join(str(value) for value in details["enum"])
    if "const" in details:
        return str(details["const"])
    parts = details.get("anyOf") or details.get("allOf")
    if parts:
        words = [_type(part) for part in parts if part.get("type") != "null"]
        return " or ".join(dict.fromkeys(words))
    if details.get("type") == "array":
        return f"list of {_type(details.get('items', {}))}"
    return str(details.get("format") or details.get("type") or "any")
