"""Schemas as tests use them: readers accept fields that they do not know, and what we write has none of them."""

from __future__ import annotations

from typing import Any


def closed(schema: Any) -> Any:
    """The schema with every object restricted to its properties, where it describes all that it requires."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: closed(part) for name, part in schema.items()}
    described = schema.get("properties")
    if isinstance(described, dict) and "type" in schema and set(schema.get("required", ())) <= described.keys():
        parts.setdefault("additionalProperties", False)
    return parts
