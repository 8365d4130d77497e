"""Custom tools: the model calls them with a text instead of JSON arguments.

To the model, a custom tool is a function with one string parameter, so that every prompt format can show it. Its answer
is read back as text: the API has no JSON around it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from apis.rules.constraints import MAX_GRAMMAR
from apis.rules.fields import Shape, by, tag
from core.conversation import Function, JsonSchema, ResponseFormat, Tool
from text.json_string import JsonStringDecoder

INPUT = "input"  # the parameter of the function that stands for a custom tool
_OPENING = re.compile(r'\s*\{\s*"input"\s*:\s*"')


class TextInput(Shape):
    """The text is any text."""

    type: Literal["text"] = Field(description="Always text.")


class Grammar(Shape):
    """A grammar in one of two notations."""

    syntax: Literal["lark", "regex"] = Field(
        description="lark: a grammar with a rule start. regex: a regular expression that the whole text matches."
    )
    definition: Annotated[str, Field(max_length=MAX_GRAMMAR)] = Field(
        description="The grammar, in llguidance's dialect of Lark (GBNF is read too), or the regular expression, in "
        "Rust's syntax: no lookaround, no backreferences."
    )


class GrammarInput(Shape):
    """The text follows a grammar, from its first character to its last."""

    type: Literal["grammar"] = Field(description="Always grammar.")
    grammar: Grammar = Field(description="The grammar.")


class FlatGrammarInput(Grammar):
    """The text follows a grammar, written as in the Responses API."""

    type: Literal["grammar"] = Field(description="Always grammar.")


def _form_of_grammar(value: Any) -> str:
    return tag("flat" if isinstance(value, dict) and value.keys() & {"syntax", "definition"} else "object")


# Clients mix the forms of chat completions and of the Responses API, so both APIs read both.
InputFormat = Annotated[
    Annotated[TextInput, Tag(tag("text"))]
    | Annotated[
        Annotated[
            Annotated[GrammarInput, Tag(tag("object"))] | Annotated[FlatGrammarInput, Tag(tag("flat"))],
            Discriminator(_form_of_grammar),
        ],
        Tag(tag("grammar")),
    ],
    by("type", "text", "grammar"),
]


def input_format(asked: TextInput | GrammarInput | FlatGrammarInput | None, path: str) -> ResponseFormat:
    """Return the format of a custom tool's text. `path` is the path of `asked` in the request."""
    match asked:
        case GrammarInput(grammar=grammar):
            path += ".grammar"
        case FlatGrammarInput() as grammar:
            pass
        case _:
            return ResponseFormat(param=path)
    if grammar.syntax == "regex":
        return ResponseFormat("regex", pattern=grammar.definition, param=f"{path}.definition")
    return ResponseFormat("grammar", grammar=grammar.definition, param=f"{path}.definition")


def custom_function(name: str, description: str, input_format: ResponseFormat) -> Function:
    """Return the function that stands for a custom tool. Its arguments are always bound, so that they can be read.

    The function's description shows the grammar, since prompt formats keep the lines of this description only.
    """
    parameters: JsonSchema = {
        "type": "object",
        "properties": {INPUT: {"type": "string"}},
        "required": [INPUT],
        "additionalProperties": False,
    }
    described = "\n\n".join(part for part in (description, _described(input_format)) if part)
    return Function(name, described, parameters, strict=True, input_format=input_format)


def custom_names(tools: Iterable[Tool]) -> frozenset[str]:
    """Return the names of the custom tools."""
    return frozenset(tool.name for tool in tools if isinstance(tool, Function) and tool.input_format is not None)


def _described(input_format: ResponseFormat) -> str:
    """Return what the model is told about the format of the text."""
    match input_format.kind:
        case "grammar":
            return f"The {INPUT} follows this grammar:\n{input_format.grammar.strip()}"
        case "regex":
            return f"The {INPUT} matches this regular expression: {input_format.pattern}"
    return ""


def input_arguments(text: str) -> str:
    """Return the arguments of an earlier call of a custom tool with `text`."""
    return json.dumps({INPUT: text}, ensure_ascii=False)


class InputReader:
    """Reads the text out of the arguments of one call of a custom tool, which arrive in pieces."""

    def __init__(self) -> None:
        self._head: str | None = ""  # what came before the text; None once the text has begun
        self._tail = ""  # backslashes at the end of the text so far, which may escape a quote
        self._decoder = JsonStringDecoder()
        self._is_over = False

    def feed(self, arguments: str) -> str:
        """Add a piece of the arguments; return the text that it completes."""
        if self._head is not None:
            head = self._head + arguments
            opening = _OPENING.match(head)
            self._head = None if opening else head
            if not opening:
                return ""
            arguments = head[opening.end() :]
        return "" if self._is_over else self._decoder.push(self._before_quote(arguments))

    def _before_quote(self, piece: str) -> str:
        """Return the part of `piece` before the quote that ends the text."""
        text = self._tail + piece
        for quote in re.finditer('"', text):
            before = text[: quote.start()]
            if (len(before) - len(before.rstrip("\\"))) % 2 == 0:
                self._is_over = True
                return before[len(self._tail) :]
        self._tail = text[len(text.rstrip("\\")) :]
        return piece
