"""Build the constraint of a request: which outputs are allowed, as grammars that the engine compiles.

If tool_choice is "auto" and no function is strict, there is no constraint: the model is trained to write valid calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence

from core.conversation import ChatRequest, CodeInterpreter, Function, Tool
from core.errors import RequestError
from core.generation import Constraint, JsonRule, Lark
from core.turn_format import CallStart
from json_schema.walk import takes_nothing
from prompt_template import PromptTemplate
from text.parser import OutputParser

TokenId = Callable[[str], int | None]

_CONTROL_LIKE = re.compile(r"(<[^<>\s]+>)")


def constraint(request: ChatRequest, template: PromptTemplate, token_id: TokenId) -> Constraint | None:
    """Return the constraint of the answer to `request`, or None if every output is allowed.

    `token_id` returns the id of a control token, or None for other texts. If a call is forced, the response format is
    ignored.
    """
    choice, builder = request.choice, _GrammarBuilder(request, template, token_id)
    callable_tools = [tool for tool in request.tools if choice.names is None or tool.name in choice.names]
    has_format = request.response_format.kind != "text"
    if choice.mode in ("required", "named"):
        return Constraint(turn=builder.turn(callable_tools, may_be_text=False))
    if choice.mode == "auto" and callable_tools and not has_format:
        return _auto_constraint(request, template, builder, callable_tools)
    if has_format:
        return Constraint(turn=builder.turn(callable_tools if choice.mode == "auto" else (), may_be_text=True))
    return None


def _auto_constraint(
    request: ChatRequest, template: PromptTemplate, builder: _GrammarBuilder, callable_tools: Sequence[Tool]
) -> Constraint | None:
    """Constrain only which functions may be called (`allowed_tools`) and the arguments of strict functions."""
    names = request.choice.names
    strict = [tool for tool in callable_tools if isinstance(tool, Function) and tool.strict]
    if not strict and names is None:
        return None
    return Constraint(
        turn_format=template.turn_format(request.tools),
        calls={tool.name: builder.rest_of_call(tool) for tool in strict},
        recipients=None if names is None else frozenset(tool.name for tool in callable_tools),
    )


class _GrammarBuilder:
    """Writes the grammars for the answer to one request, as Lark rules."""

    def __init__(self, request: ChatRequest, template: PromptTemplate, token_id: TokenId) -> None:
        self._request = request
        self._template = template
        self._token_id = token_id
        self._separator = None if request.max_calls == 1 or request.choice.mode == "named" else template.separator
        stop_ids = [found for text in template.stop if (found := token_id(text)) is not None]
        self._stop = " | ".join(f"<[{stop_id}]>" for stop_id in stop_ids)

    def turn(self, tools: Sequence[Tool], *, may_be_text: bool) -> Lark:
        """Return the grammar of the turn after the prompt: calls of `tools`, or text in the response format."""
        rules: dict[str, str] = {}
        json_rules: dict[str, JsonRule] = {}
        functions = [tool for tool in tools if isinstance(tool, Function)]
        interpreters = [tool for tool in tools if isinstance(tool, CodeInterpreter)]
        for tool in functions:
            self._define_arguments(tool, rules, json_rules)
        starts = list(self._call_alternatives(functions, interpreters, rules))
        if may_be_text:
            starts.append(_sequence(self._literal(self._without_prefill(self._template.text_head)), "answer"))
            json_rules["answer"] = self._response_rule()
        if not starts:
            raise RequestError("tool_choice allows no function that 'tools' declares.", "tool_choice")
        return self._lark(_sequence(f"({' | '.join(starts)})", "stop" if self._stop else ""), rules, json_rules)

    def rest_of_call(self, function: Function) -> Lark:
        """Return the grammar of a call of `function` after the point where OutputParser reports its CallStart."""
        rules: dict[str, str] = {}
        json_rules: dict[str, JsonRule] = {}
        self._define_arguments(function, rules, json_rules)
        ends = [self._literal(self._separator)] if self._separator else []
        ends += ["stop"] if self._stop else []
        body = _sequence(self._literal(self._rest_of_head(function.name)), self._arguments_rule_name(function))
        return self._lark(_sequence(body, f"({' | '.join(ends)})" if ends else ""), rules, json_rules)

    def _lark(self, start: str, rules: dict[str, str], json_rules: dict[str, JsonRule]) -> Lark:
        defined = {"start": start, **rules, **({"stop": self._stop} if self._stop else {})}
        return Lark("".join(f"{name}: {body}\n" for name, body in defined.items()), json_rules)

    def _call_alternatives(
        self, functions: Sequence[Tool], interpreters: Sequence[Tool], rules: dict[str, str]
    ) -> Iterator[str]:
        """Yield the grammar's alternatives for a turn of calls.

        A call with code is the last of its turn, because only the stop token is certain to end code.
        """
        if interpreters:
            rules["CODE"] = self._code_rule()
            yield self._alternatives(interpreters, is_first=True)
        if functions and not self._separator:
            yield self._alternatives(functions, is_first=True)
        elif functions:
            rules["more"] = f"{self._literal(self._separator or '')} ({self._alternatives(functions, is_first=False)})"
            last = ""
            if interpreters:
                rules["last"] = (
                    f"{self._literal(self._separator or '')} ({self._alternatives(interpreters, is_first=False)})"
                )
                last = "last?"
            yield _sequence(f"({self._alternatives(functions, is_first=True)})", "more*", last)

    def _alternatives(self, tools: Sequence[Tool], *, is_first: bool) -> str:
        heads = [(self._template.call_head(tool.name), tool) for tool in tools]
        return " | ".join(
            _sequence(self._literal(self._without_prefill(head) if is_first else head), self._arguments_rule_name(tool))
            for head, tool in heads
        )

    def _arguments_rule_name(self, tool: Tool) -> str:
        return f"arguments_{self._request.tools.index(tool)}" if isinstance(tool, Function) else "CODE"

    def _define_arguments(self, function: Function, rules: dict[str, str], json_rules: dict[str, JsonRule]) -> None:
        if function.parameters is None or takes_nothing(function.parameters):
            rules[self._arguments_rule_name(function)] = '"{}"'
            return
        index = self._request.tools.index(function)
        json_rules[self._arguments_rule_name(function)] = JsonRule(
            schema={**function.parameters, "type": "object"},
            strict=function.strict,
            owner=f"function '{function.name}'",
            param=f"functions[{index}].parameters" if self._request.legacy else f"tools[{index}].function.parameters",
            code="invalid_function_parameters",
        )

    def _response_rule(self) -> JsonRule:
        response_format = self._request.response_format
        schema = (response_format.schema or {}) if response_format.kind == "json_schema" else {"type": "object"}
        return JsonRule(
            schema, response_format.strict, owner=f"response_format '{response_format.name}'", param="response_format"
        )

    def _code_rule(self) -> str:
        """Return the rule for source code: any text without the separator between calls, which would end the code."""
        separator = self._template.separator or ""
        if not separator or self._token_id(separator) is not None:
            return "/(?s:.*)/"
        escaped = re.escape(separator).replace("/", r"\/")
        return f"/(?s:.*)/ & ~/(?s:.*){escaped}(?s:.*)/"

    def _without_prefill(self, head: str) -> str:
        """Return the part of `head` that is not yet in the prompt."""
        return head.removeprefix(self._template.prefill(self._request.choice))

    def _rest_of_head(self, name: str) -> str:
        """Return the part of a call's head after the point where OutputParser reports its CallStart."""
        parser = OutputParser(self._template.turn_format(self._request.tools))
        rest = self._template.call_head(name)
        for text, is_control in self._split_at_control_tokens(rest):
            for piece in [text] if is_control else text:
                rest = rest[len(piece) :]
                if any(isinstance(event, CallStart) for event in parser.feed(piece, is_control=is_control)):
                    return rest
        raise ValueError(f"{self._template.name}: the turn format does not open a call at its head")

    def _literal(self, text: str) -> str:
        """Return the Lark expression of a fixed text.

        After a control token, SentencePiece may add a space, which the parser strips.
        """
        parts: list[str] = []
        stretches = list(self._split_at_control_tokens(text))
        for number, (stretch, is_control) in enumerate(stretches, start=1):
            if is_control:
                is_before_word = number == len(stretches) or not stretches[number][0][0].isspace()
                parts.append(f"<[{self._token_id(stretch)}]>" + (' " "?' if is_before_word else ""))
            else:
                parts.append(json.dumps(stretch))
        return " ".join(parts)

    def _split_at_control_tokens(self, text: str) -> Iterator[tuple[str, bool]]:
        """Split `text` at control tokens. Yield each part, and whether it is a control token."""
        for part in _CONTROL_LIKE.split(text):
            if part:
                yield part, self._token_id(part) is not None


def _sequence(*parts: str) -> str:
    return " ".join(part for part in parts if part)
