"""What a request asks to be guaranteed, as grammars; data only, the engine compiles them.

In auto without `strict` nothing is guaranteed and the logits stay untouched: the model knows how to conform.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence

from core.conversation import ChatRequest, CodeInterpreter, Function, Tool
from core.errors import RequestError
from core.generation import Constraint, JsonRule, Lark
from core.turn_format import CallStart
from prompt_template import PromptTemplate
from text.parser import OutputParser

TokenId = Callable[[str], int | None]

_MAY_BE_CONTROL = re.compile(r"(<[^<>\s]+>)")


def constraint(request: ChatRequest, template: PromptTemplate, token_id: TokenId) -> Constraint | None:
    """What the answer to `request` must obey; None if it is free.

    `token_id` gives the id of a control token, None for other texts. A forced call wins over the response format.
    """
    choice, spelling = request.choice, _Spelling(request, template, token_id)
    callable_tools = [tool for tool in request.tools if choice.names is None or tool.name in choice.names]
    has_format = request.response_format.kind != "text"
    if choice.mode in ("required", "named"):
        return Constraint(turn=spelling.turn(callable_tools, may_answer=False))
    if choice.mode == "auto" and callable_tools and not has_format:
        return _watch(request, template, spelling, callable_tools)
    if has_format:
        return Constraint(turn=spelling.turn(callable_tools if choice.mode == "auto" else (), may_answer=True))
    return None


def _watch(
    request: ChatRequest, template: PromptTemplate, spelling: _Spelling, callable_tools: Sequence[Tool]
) -> Constraint | None:
    """The model decides. Only what it may call is bound (`allowed_tools`), and the arguments of strict functions."""
    names = request.choice.names
    strict = [tool for tool in callable_tools if isinstance(tool, Function) and tool.strict]
    if not strict and names is None:
        return None
    return Constraint(
        turn_format=template.turn_format(request.tools),
        calls={tool.name: spelling.rest_of_call(tool) for tool in strict},
        recipients=None if names is None else frozenset(tool.name for tool in callable_tools),
    )


class _Spelling:
    """How one request's answer is spelled, as Lark rules."""

    def __init__(self, request: ChatRequest, template: PromptTemplate, token_id: TokenId) -> None:
        self._request = request
        self._template = template
        self._token_id = token_id
        self._separator = None if request.max_calls == 1 or request.choice.mode == "named" else template.separator
        stop_ids = [found for text in template.stop if (found := token_id(text)) is not None]
        self._stop = " | ".join(f"<[{stop_id}]>" for stop_id in stop_ids)

    def turn(self, tools: Sequence[Tool], *, may_answer: bool) -> Lark:
        """All that follows the prompt: calls of `tools`, or a text in the response format if `may_answer`."""
        rules: dict[str, str] = {}
        jsons: dict[str, JsonRule] = {}
        functions = [tool for tool in tools if isinstance(tool, Function)]
        codes = [tool for tool in tools if isinstance(tool, CodeInterpreter)]
        for tool in functions:
            self._define_arguments(tool, rules, jsons)
        starts = list(self._calls(functions, codes, rules))
        if may_answer:
            starts.append(_sequence(self._literal(self._after_prefill(self._template.text_head)), "answer"))
            jsons["answer"] = self._answer_rule()
        if not starts:
            raise RequestError("tool_choice allows no function that 'tools' declares.", "tool_choice")
        return self._lark(_sequence(f"({' | '.join(starts)})", "stop" if self._stop else ""), rules, jsons)

    def rest_of_call(self, function: Function) -> Lark:
        """What follows where the reader sees a call of `function` open."""
        rules: dict[str, str] = {}
        jsons: dict[str, JsonRule] = {}
        self._define_arguments(function, rules, jsons)
        ends = [self._literal(self._separator)] if self._separator else []
        ends += ["stop"] if self._stop else []
        body = _sequence(self._literal(self._unread_head(function.name)), self._arguments(function))
        return self._lark(_sequence(body, f"({' | '.join(ends)})" if ends else ""), rules, jsons)

    def _lark(self, start: str, rules: dict[str, str], jsons: dict[str, JsonRule]) -> Lark:
        defined = {"start": start, **rules, **({"stop": self._stop} if self._stop else {})}
        return Lark("".join(f"{name}: {body}\n" for name, body in defined.items()), jsons)

    def _calls(self, functions: Sequence[Tool], codes: Sequence[Tool], rules: dict[str, str]) -> Iterator[str]:
        """What a turn of calls may be. Code comes last: it runs to the stop token, nothing else is sure to end it."""
        if codes:
            rules["CODE"] = self._code()
            yield self._alternatives(codes, is_first=True)
        if functions and not self._separator:
            yield self._alternatives(functions, is_first=True)
        elif functions:
            rules["more"] = f"{self._literal(self._separator or '')} ({self._alternatives(functions, is_first=False)})"
            last = ""
            if codes:
                rules["last"] = f"{self._literal(self._separator or '')} ({self._alternatives(codes, is_first=False)})"
                last = "last?"
            yield _sequence(f"({self._alternatives(functions, is_first=True)})", "more*", last)

    def _alternatives(self, tools: Sequence[Tool], *, is_first: bool) -> str:
        heads = [(self._template.call_head(tool.name), tool) for tool in tools]
        return " | ".join(
            _sequence(self._literal(self._after_prefill(head) if is_first else head), self._arguments(tool))
            for head, tool in heads
        )

    def _arguments(self, tool: Tool) -> str:
        return f"arguments_{self._request.tools.index(tool)}" if isinstance(tool, Function) else "CODE"

    def _define_arguments(self, function: Function, rules: dict[str, str], jsons: dict[str, JsonRule]) -> None:
        if function.parameters is None:
            rules[self._arguments(function)] = '"{}"'
            return
        index = self._request.tools.index(function)
        jsons[self._arguments(function)] = JsonRule(
            schema={**function.parameters, "type": "object"},
            strict=function.strict,
            owner=f"function '{function.name}'",
            param=f"functions[{index}].parameters" if self._request.legacy else f"tools[{index}].function.parameters",
            code="invalid_function_parameters",
        )

    def _answer_rule(self) -> JsonRule:
        wanted = self._request.response_format
        schema = (wanted.schema or {}) if wanted.kind == "json_schema" else {"type": "object"}
        return JsonRule(schema, wanted.strict, owner=f"response_format '{wanted.name}'", param="response_format")

    def _code(self) -> str:
        """Any text. A separator in it would be read as the end of the code, so it cannot be written there."""
        separator = self._template.separator or ""
        if not separator or self._token_id(separator) is not None:
            return "/(?s:.*)/"
        within = re.escape(separator).replace("/", r"\/")
        return f"/(?s:.*)/ & ~/(?s:.*){within}(?s:.*)/"

    def _after_prefill(self, head: str) -> str:
        """What of `head` the prompt does not hold already."""
        return head.removeprefix(self._template.prefill(self._request.choice))

    def _unread_head(self, name: str) -> str:
        """What of a call's head comes after the mark at which the reader sees the call open."""
        parser = OutputParser(self._template.turn_format(self._request.tools))
        left = self._template.call_head(name)
        for text, is_control in self._cut(left):
            for piece in [text] if is_control else text:
                left = left[len(piece) :]
                if any(isinstance(event, CallStart) for event in parser.feed(piece, special=is_control)):
                    return left
        raise ValueError(f"{self._template.name}: the grammar does not read the head of a call")

    def _literal(self, text: str) -> str:
        """A fixed text. SentencePiece tokens after a control token may begin with a space, which nobody reads."""
        parts: list[str] = []
        cuts = list(self._cut(text))
        for number, (part, is_control) in enumerate(cuts, start=1):
            if is_control:
                is_before_word = number == len(cuts) or not cuts[number][0][0].isspace()
                parts.append(f"<[{self._token_id(part)}]>" + (' " "?' if is_before_word else ""))
            else:
                parts.append(json.dumps(part))
        return " ".join(parts)

    def _cut(self, text: str) -> Iterator[tuple[str, bool]]:
        """`text` cut into control tokens and what is between them, never empty."""
        for part in _MAY_BE_CONTROL.split(text):
            if part:
                yield part, self._token_id(part) is not None


def _sequence(*parts: str) -> str:
    return " ".join(part for part in parts if part)
