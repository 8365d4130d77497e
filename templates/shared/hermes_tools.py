"""The prompt texts of Hermes and Qwen: the section `# Tools`, and results as `<tool_response>`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.conversation import Function
from prompt_template import Piece
from schema import function_json

_HEAD = "# Tools\n\nYou may call one or more functions to assist with the user query."
_SIGNATURES = "\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>"
_TAIL = """
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>"""


def tool_line(function: Function) -> str:
    """Return a function as a tool of a request, on one line of JSON."""
    return f'{{"type": "function", "function": {function_json(function)}}}'


def tools_pieces(tool_lines: Iterable[str], sentence: str = "") -> list[Piece]:
    """Return the section from `# Tools` to the last `</tool_call>`. `sentence` follows the sentence on functions."""
    lines = [Piece(f"\n{line}") for line in tool_lines]
    return [Piece(_HEAD + sentence + _SIGNATURES, markup=True), *lines, Piece(_TAIL, markup=True)]


def response_pieces(results: Sequence[str]) -> list[Piece]:
    """Return the results of the calls of one turn."""
    pieces: list[Piece] = []
    for number, result in enumerate(results):
        pieces.append(Piece("\n<tool_response>\n" if number else "<tool_response>\n", markup=True))
        pieces += [Piece(result), Piece("\n</tool_response>", markup=True)]
    return pieces
