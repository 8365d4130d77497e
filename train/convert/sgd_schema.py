"""SGD's services as functions: schema.json, and the paraphrases of SGD-X, which lie in the same order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.conversation import Function, JsonSchema
from train.convert.common import Json, SourceError, existing, format_of, member, number, object_schema, read_json


@dataclass(frozen=True)
class Service:
    """One wording of a service. Functions are found by the original intent, parameters by the original slot."""

    functions: dict[str, Function]
    parameters: dict[str, str]  # slot -> name here
    schemas: dict[str, JsonSchema]  # slot -> JSON Schema

    def value(self, slot: str, canonical: str) -> object:
        """The value as the schema's type has it."""
        match self.schemas[slot]["type"]:
            case "boolean":
                return canonical == "True"
            case "integer":
                return number(canonical)
            case _:
                return canonical


Wordings = dict[str, list[Service]]  # by the original service, the original wording first


def read_wordings(folder: Path, split: str = "train") -> Wordings:
    """All wordings of all services of a split. Raises SourceError."""
    paths = [existing(folder / split / "schema.json", "the schema of SGD")]
    paths += sorted((folder / "sgd_x" / "data").glob(f"v*/{split}/schema.json"))
    originals = _services(paths[0])
    wordings: Wordings = {member(service, "service_name", str, str(paths[0])): [] for service in originals}
    for path in paths:
        services = _services(path)
        if len(services) != len(originals):
            raise SourceError(f"{path}: {len(originals)} services were expected as in {paths[0]}, got {len(services)}")
        with format_of(path):
            for original, service in zip(originals, services, strict=True):
                wordings[original["service_name"]].append(_service(original, service, str(path)))
    return wordings


def _services(path: Path) -> list[Json]:
    services = read_json(path)
    if not isinstance(services, list) or not services:
        raise SourceError(f"{path}: a list of services was expected")
    return services


def _service(original: Json, service: Json, where: str) -> Service:
    slots, intents = member(service, "slots", list, where), member(service, "intents", list, where)
    originals = member(original, "slots", list, where)
    if len(slots) != len(originals) or len(intents) != len(member(original, "intents", list, where)):
        raise SourceError(f"{where}: {service.get('service_name')} has other slots or intents than the original")
    names = {old["name"]: new["name"] for old, new in zip(originals, slots, strict=True)}
    schemas = {old["name"]: _schema(new) for old, new in zip(originals, slots, strict=True)}
    own = {new: old for old, new in names.items()}
    functions = {
        old["name"]: _function(new, {name: schemas[own[name]] for name in own}, where)
        for old, new in zip(original["intents"], intents, strict=True)
    }
    return Service(functions, names, schemas)


def _function(intent: Json, schemas: dict[str, JsonSchema], where: str) -> Function:
    required = member(intent, "required_slots", list, where)
    optional = member(intent, "optional_slots", dict, where)
    properties = {name: schemas[name] for name in [*required, *optional] if name in schemas}
    for name, default in optional.items():
        if name in properties and default != "dontcare" and "enum" in properties[name]:
            properties[name] = {**properties[name], "default": _typed(properties[name], default)}
    description = member(intent, "description", str, where)
    return Function(snake_case(member(intent, "name", str, where)), description, object_schema(properties, required))


def _schema(slot: Json) -> JsonSchema:
    described = {"description": slot.get("description", "")}
    values = slot.get("possible_values") or []
    if not slot.get("is_categorical") or not values:
        return {"type": "string", **described}
    if set(values) <= {"True", "False"}:
        return {"type": "boolean", **described}
    if all(value.isdecimal() for value in values):
        return {"type": "integer", **described, "enum": [int(value) for value in values]}
    return {"type": "string", **described, "enum": list(values)}


def _typed(schema: JsonSchema, value: str) -> Any:
    return int(value) if schema["type"] == "integer" else value


def snake_case(name: str) -> str:
    """FindBus -> find_bus."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace(" ", "_").casefold()
