"""Top-level functions of a Python file as function definitions, from their type hints and docstrings."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path

from client.json_lines import FileError, Json
from core.conversation import JsonSchema
from train.definitions.annotations import Annotations, constant
from train.definitions.candidates import Candidate, Unfit, object_schema
from train.definitions.docstrings import Docstring, read_docstring

_KINDS: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def functions_of(path: Path, text: str) -> Iterator[Candidate]:
    """One candidate for each public function, with its line. Raises FileError for a file that is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the file's strings; it is not ours to mend
            tree = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        line = getattr(error, "lineno", None) or 1
        raise FileError(f"{path}:{line}: no Python: {getattr(error, 'msg', None) or error}") from None
    annotations = Annotations({node.name: node for node in tree.body if isinstance(node, ast.ClassDef)})
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            try:
                yield Candidate(node.name, _function(node, annotations), line=node.lineno)
            except Unfit as error:
                yield Candidate(node.name, fault=str(error), line=node.lineno)


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, annotations: Annotations) -> Json:
    arguments = node.args
    if starred := arguments.vararg or arguments.kwarg:
        raise Unfit(f"'*{starred.arg}' stands for any number of arguments; a definition needs each by its name")
    said = read_docstring(ast.get_docstring(node))
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    pairs = [*zip(positional, [*defaults, *arguments.defaults], strict=True)]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    properties: dict[str, object] = {one.arg: _parameter(one, default, annotations, said) for one, default in pairs}
    required = [one.arg for one, default in pairs if default is None]
    return {"name": node.name, "description": said.summary, "parameters": object_schema(properties, required)}


def _parameter(one: ast.arg, default: ast.expr | None, annotations: Annotations, said: Docstring) -> JsonSchema:
    """Type, description and default; a type that is not written is that of the default."""
    value = _default(default)
    if one.annotation is not None:
        try:
            schema = annotations.schema(one.annotation)
        except Unfit as error:
            raise Unfit(f"parameter {one.arg!r}: {error}") from None
    elif type(value) in _KINDS:
        schema = {"type": _KINDS[type(value)]}
    else:
        raise Unfit(f"parameter {one.arg!r} has no type hint")
    if one.arg in said.parameters:
        schema = {**schema, "description": said.parameters[one.arg]}
    return schema if value is None else {**schema, "default": value}


def _default(node: ast.expr | None) -> object:
    """A default that JSON can hold, else None: `Unit.CELSIUS` or a call are known to the function alone."""
    try:
        return None if node is None else constant(node)
    except Unfit:
        return None
