"""The format of Hermes 2 Pro and Hermes 3: ChatML with Hermes's own system text, which shows functions like Python's.

The text is that of the chat template for tools, except where the template fails: it has no words for the items of a
list, for a union and for a parameter without a type.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from core.conversation import Function, JsonSchema, Message
from prompt_template import Piece, PromptTemplate
from templates.shared.chatml_calls import END, ChatmlCalls, turn
from templates.shared.hermes_tools import response_pieces

_HEAD = (
    "You are a function calling AI model. You are provided with function signatures within <tools></tools> XML tags. "
    "You may call one or more functions to assist with the user query. Don't make assumptions about what values to "
    "plug into functions. Here are the available tools: <tools> "
)
_TAIL = (
    " </tools>Use the following pydantic model json schema for each tool call you will make: "
    '{"properties": {"name": {"title": "Name", "type": "string"}, "arguments": {"title": "Arguments", "type": '
    '"object"}}, "required": ["name", "arguments"], "title": "FunctionCall", "type": "object"}}\n'
    "For each function call return a json object with function name and arguments within <tool_call></tool_call> XML "
    'tags as follows:\n<tool_call>\n{"name": <function-name>, "arguments": <args-dict>}\n</tool_call>'
)
_TYPES = {"string": "str", "number": "float", "integer": "int", "boolean": "bool", "null": "None"}


class Hermes(ChatmlCalls):
    name = "hermes"
    versions = ("hermes-2-pro", "hermes-3")
    signs = ("<tool_call>", "pydantic model json schema")
    bos = True

    def system_pieces(self, turns: list[Message], functions: Sequence[Function]) -> list[Piece]:
        """Return the message with the functions. The request's own system messages stay in their place."""
        if not functions:
            return []
        declared = Piece("\n".join(_declaration(function) for function in functions))
        return turn("system", [Piece(_HEAD, markup=True), declared, Piece(_TAIL, markup=True)])

    def results(self, results: Sequence[str], is_last: bool) -> list[Piece]:
        """Return the results in a turn of the role `tool`, which has no line break behind it."""
        end = END if is_last else f"\n{END}"
        return [Piece("<|im_start|>tool\n", markup=True), *response_pieces(results), Piece(end, markup=True)]


def _declaration(function: Function) -> str:
    """Return a function as JSON whose description has the signature and the parameters of a Python function."""
    properties = (function.parameters or {}).get("properties")
    fields = {name: field for name, field in properties.items() if isinstance(field, dict)} if properties else {}
    signature = ", ".join(f"{name}: {_type(field)}" for name, field in fields.items())
    described = "".join(
        f"        {name}({_type(field)}): {str(field.get('description', '')).strip()}" for name, field in fields.items()
    )
    description = f"{function.name}({signature}) - {function.description}\n\n"
    description += f"    Args:\n{described}" if fields else ""
    parameters = json.dumps(function.parameters, ensure_ascii=False) if fields else "{}"
    head = f'{{"type": "function", "function": {{"name": "{function.name}", "description": "'
    return f'{head}{description}", "parameters": {parameters}}}'


def _type(schema: JsonSchema) -> str:
    match schema.get("type"):
        case [*names]:
            return f"Union[{','.join(_type({**schema, 'type': name}) for name in names)}]"
        case "array":
            items = schema.get("items")
            return f"list[{_type(items)}]" if isinstance(items, dict) else "list"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"dict[str, {_type(schema['additionalProperties'])}]"
        case "object":
            return "dict"
        case str() as name:
            return _TYPES.get(name, "Any")
    return "Any"


TEMPLATE: PromptTemplate = Hermes()
