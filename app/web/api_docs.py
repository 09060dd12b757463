"""The API's documentation as a page of our own: plain HTML made from the OpenAPI document, without scripts from elsewhere."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.web.templates import templates

router = APIRouter(include_in_schema=False)


@router.get("/api/docs")
async def docs(request: Request) -> Response:
    """Every operation: what it is for, what it takes, what it answers."""
    document = request.app.openapi()
    schemas = document["components"]["schemas"]
    base = request.app.state.settings.base_url or str(request.base_url)
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            success = next(code for code in operation["responses"] if code.startswith("2"))
            shown = {
                "method": method.upper(),
                "path": path,
                "summary": operation["summary"],
                "description": operation.get("description", ""),
                "parameters": operation.get("parameters", []),
                "body": _shape(_content(operation.get("requestBody", {})), schemas),
                "status": success,
                "answer": _shape(_content(operation["responses"][success]), schemas),
            }
            groups.setdefault(operation["tags"][0], []).append(shown)
    return templates.TemplateResponse(request, "web/api_docs.html", {"groups": groups, "base": base.rstrip("/")})


def _content(part: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of a body or an answer, if it is JSON."""
    schema: dict[str, Any] | None = part.get("content", {}).get("application/json", {}).get("schema")
    return schema


def _shape(schema: dict[str, Any] | None, schemas: dict[str, Any]) -> str | None:
    """A schema as JSON with types in the place of values."""
    return json.dumps(_outline(schema, schemas), indent=2, ensure_ascii=False) if schema else None


def _outline(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    if reference := schema.get("$ref"):
        return _outline(schemas[reference.rpartition("/")[2]], schemas)
    if options := schema.get("anyOf"):
        texts = [_outline(option, schemas) for option in options]
        return " | ".join(map(str, texts))
    if choices := schema.get("enum"):
        return " | ".join(map(str, choices))
    if schema.get("type") == "array":
        return [_outline(schema["items"], schemas)]
    if properties := schema.get("properties"):
        return {name: _outline(part, schemas) for name, part in properties.items()}
    return schema.get("format") or schema.get("description") or schema.get("type", "any")
