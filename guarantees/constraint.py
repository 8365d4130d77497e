"""Build the constraint of a request: which outputs are allowed, as grammars that the engine compiles.

In tool_choice "auto", text is free, and only functions of the request can be called. Their arguments are free too,
unless the function is strict or the server binds all arguments (`--arguments schema`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from core.conversation import ChatRequest, Function, ResponseFormat, Tool
from core.errors import RequestError
from core.generation import CallRule, Constraint, JsonRule, Lark, TextRule
from core.turn_format import CallStart, TurnFormat
from guarantees.response_rule import response_rule, text_rule
from guarantees.tagged_rules import ArgumentRules, tagged_rules, text_rules
from json_schema.walk import takes_nothing
from prompt_template import Arguments, PromptTemplate
from text.parser import OutputParser

TokenId = Callable[[str], int | None]

_CONTROL_LIKE = re.compile(r"(<[^<>\s]+>|\[/?[A-Z_]+\])")


def constraint(
    request: ChatRequest, template: PromptTemplate, token_id: TokenId, arguments: Arguments = "free"
) -> Constraint | None:
    """Return the constraint of the answer to `request`, or None if every output is allowed.

    `token_id` returns the id of a control token, or None for other texts. `arguments` says whether the schemas of
    functions that are not strict bind the arguments in tool_choice "auto". If a call is forced, the response format is
    ignored. Takes some milliseconds for many tools.
    """
    choice, builder = request.choice, _GrammarBuilder(request, template, token_id)
    callable_tools = [tool for tool in request.tools if choice.names is None or tool.name in choice.names]
    if choice.mode in ("required", "named"):
        return Constraint(turn=builder.turn(callable_tools, may_be_text=False))
    callable_tools = callable_tools if choice.mode == "auto" else []
    if request.response_format.kind != "text":
        return Constraint(turn=builder.turn(callable_tools, may_be_text=True))
    if not callable_tools and not _can_open_call(builder.turn_format):
        return None
    return Constraint(
        turn_format=builder.turn_format,
        recipients=frozenset(tool.name for tool in callable_tools),
        calls={
            tool.name: builder.rest_of_call(tool)
            for tool in callable_tools
            if isinstance(tool, Function) and (tool.strict or arguments == "schema")
        },
        prefill=template.prefill(choice, request.reasoning),
    )


def completion_constraint(response_format: ResponseFormat, eos_id: int | None) -> Constraint | None:
    """Return the constraint of a raw completion, or None if every output is allowed. `eos_id` ends the completion."""
    if response_format.kind == "text":
        return None
    start = "start: answer\n" if eos_id is None else f"start: answer <[{eos_id}]>\n"
    rule = response_rule(response_format)
    if isinstance(rule, JsonRule):
        return Constraint(turn=Lark(start, {"answer": rule}))
    return Constraint(turn=Lark(f"{start}answer: {rule}\n", {}, response_format.param))


def _can_open_call(turn_format: TurnFormat) -> bool:
    """Return whether a call can open after the beginning of a text."""
    regions = map(turn_format.region, {turn_format.start, "text", *turn_format.regions})
    return any(
        turn_format.opens_call(mark)
        for region in regions
        if region.kind in ("skip", "text", "reasoning") or (region.kind == "head" and not region.leads_to_call)
        for mark in region.marks
    )


class _GrammarBuilder:
    """Writes the grammars for the answer to one request, as Lark rules."""

    def __init__(self, request: ChatRequest, template: PromptTemplate, token_id: TokenId) -> None:
        self._request = request
        self._template = template
        self._token_id = token_id
        self._numbers = {tool.name: number for number, tool in enumerate(request.tools)}
        self._separator = None if request.max_calls == 1 or request.choice.mode == "named" else template.separator
        stop_ids = [found for text in template.stop if (found := token_id(text)) is not None]
        self._stop = " | ".join(f"<[{stop_id}]>" for stop_id in stop_ids)

    @cached_property
    def turn_format(self) -> TurnFormat:
        return self._template.turn_format(self._request.tools)

    def turn(self, tools: Sequence[Tool], *, may_be_text: bool) -> Lark:
        """Return the grammar of the turn after the prompt: calls of `tools`, or text in the response format."""
        rules: dict[str, str] = {}
        json_rules: dict[str, JsonRule] = {}
        texts: dict[str, TextRule] = {}
        param = ""
        functions = [function for tool in tools if (function := self._as_function(tool))]
        interpreters = [tool for tool in tools if self._as_function(tool) is None]
        for function in functions:
            param = self._define_arguments(function, rules, json_rules, texts) or param
        starts = list(self._call_alternatives(functions, interpreters, rules))
        if may_be_text:
            starts.append(_sequence(self._literal(self._without_prefill(self._template.text_head)), "answer"))
            rule = response_rule(self._request.response_format)
            if isinstance(rule, JsonRule):
                json_rules["answer"] = rule
            else:
                rules["answer"], param = rule, self._request.response_format.param
        if not starts:
            raise RequestError("tool_choice allows no function that 'tools' declares.", "tool_choice")
        turn = (self._reasoning(rules), f"({' | '.join(starts)})", "stop" if self._stop else "")
        return self._lark(_sequence(*turn), rules, json_rules, texts, param)

    def _reasoning(self, rules: dict[str, str]) -> str:
        """Return the grammar of the reasoning before the answer; empty if the model cannot reason.

        The reasoning is optional unless the prompt has begun it.
        """
        marks, wish = self._template.reasoning, self._request.reasoning
        if marks is None or not self._template.may_reason(wish):
            return ""
        tail = marks.tail.strip()
        rules["THOUGHT"] = self._text_without(tail)
        num_spaces = len(marks.tail) - len(marks.tail.rstrip())
        space = rf"/[ \n]{{0,{num_spaces}}}/" if num_spaces else ""  # a limit, as a model may repeat spaces for ever
        rest = _sequence("THOUGHT", self._literal(tail), space)
        return rest if self._template.reasoning_prefill(wish) else f"({self._literal(marks.head.strip())} {rest})?"

    def rest_of_call(self, function: Function) -> CallRule:
        """Return the grammar of a call of `function` after the point where OutputParser reports its CallStart."""
        written = self._written_rules(function, "arguments")
        arguments = written.lark if written else self._json_rule(function)
        return CallRule(self._rest_of_heads, arguments, self._ends_of_call, function.strict)

    @cached_property
    def _ends_of_call(self) -> str:
        """The Lark expression of what follows the arguments of a call. After the tail of a call, all is allowed."""
        if self._template.call_tail:
            return self._literal(self._template.call_tail)
        if self._template.calls_close:
            return ""
        separator = self._separator and self._literal(self._separator)
        ends = [*([separator] if separator else []), *([self._stop] if self._stop else [])]
        return f"({' | '.join(ends)})" if ends else ""

    def _lark(
        self,
        start: str,
        rules: dict[str, str],
        json_rules: dict[str, JsonRule],
        texts: dict[str, TextRule],
        param: str,
    ) -> Lark:
        defined = {"start": start, **rules, **({"stop": self._stop} if self._stop else {})}
        return Lark("".join(f"{name}: {body}\n" for name, body in defined.items()), json_rules, param, texts)

    def _call_alternatives(
        self, functions: Sequence[Tool], interpreters: Sequence[Tool], rules: dict[str, str]
    ) -> Iterator[str]:
        """Yield the grammar's alternatives for a turn of calls.

        A call with code is the last of its turn where only the stop token is certain to end code.
        """
        close = self._literal(self._template.calls_close)
        if interpreters:
            rules["CODE"] = self._text_without(self._template.code_tail or self._template.separator or "")
            yield _sequence(f"({self._alternatives(interpreters, is_first=True)})", close)
        if not functions:
            return
        first = f"({self._alternatives(functions, is_first=True)})"
        if self._separator is None:
            yield _sequence(first, close)
            return
        separator = self._literal(self._separator)
        rules["more"] = _sequence(separator, f"({self._alternatives(functions, is_first=False)})")
        last = ""
        if interpreters:
            rules["last"] = _sequence(separator, f"({self._alternatives(interpreters, is_first=False)})")
            last = "last?"
        yield _sequence(first, "more*", last, close)

    def _alternatives(self, tools: Sequence[Tool], *, is_first: bool) -> str:
        """Return the grammar of one call of any of `tools`: all of them have JSON arguments, or all have code."""
        template = self._template
        tail = template.call_tail if self._as_function(tools[0]) else template.code_tail
        alternatives = []
        for tool in tools:
            head = template.call_head(tool.name)
            head = head if self._as_function(tool) else template.code_head or head
            head = self._without_prefill(template.calls_open + head) if is_first else head
            parts = (self._literal(head), self._arguments_rule_name(tool), self._literal(tail))
            alternatives.append(_sequence(*parts))
        return " | ".join(alternatives)

    def _as_function(self, tool: Tool) -> Function | None:
        """Return the function that stands for `tool` in this format; None if its arguments are plain code."""
        return tool if isinstance(tool, Function) else self._template.code_function

    def _arguments_rule_name(self, tool: Tool) -> str:
        return f"arguments_{self._numbers[tool.name]}" if self._as_function(tool) else "CODE"

    def _define_arguments(
        self, function: Function, rules: dict[str, str], json_rules: dict[str, JsonRule], texts: dict[str, TextRule]
    ) -> str:
        """Add the rules for the arguments of `function`. Return the field of the request whose text they contain."""
        if written := self._written_rules(function, self._arguments_rule_name(function)):
            rules |= written.rules
            json_rules |= written.json_rules
            texts |= written.text_rules
            return written.param
        rule = self._json_rule(function)
        if rule is None:
            rules[self._arguments_rule_name(function)] = '"{}"'
        else:
            json_rules[self._arguments_rule_name(function)] = rule
        return ""

    def _written_rules(self, function: Function, name: str) -> ArgumentRules | None:
        """Return the rules for arguments that no JSON Schema describes; None for others. `name` is the first rule."""
        is_tagged, number = self._template.arguments_style == "tagged", self._numbers[function.name]
        if function.input_format and (rule := text_rule(function.input_format, is_tagged=is_tagged)):
            key = next(iter((function.parameters or {})["properties"]))
            return text_rules(rule, key, name=name, number=number)
        if not is_tagged:
            return None
        kinds = self.turn_format.string_parameters.get(function.name, {})
        return tagged_rules(self._json_rule(function), kinds, name=name, number=number)

    def _json_rule(self, function: Function) -> JsonRule | None:
        """Return the rule of the function's arguments; None if it takes none."""
        if function.parameters is None or takes_nothing(function.parameters):
            return None
        return JsonRule(
            schema={**function.parameters, "type": "object"},
            strict=function.strict,
            owner=f"function '{self._request.own_name(function.name)}'",
            param=function.param,
            code="invalid_function_parameters",
        )

    def _text_without(self, mark: str) -> str:
        """Return the rule for any text that does not contain `mark`, up to its first control token."""
        stretch, is_control = next(self._split_at_control_tokens(mark), ("", True))
        if is_control:
            return "/(?s:.*)/"
        escaped = re.escape(stretch).replace("/", r"\/").replace("\\\n", r"\n")
        return f"/(?s:.*)/ & ~/(?s:.*){escaped}(?s:.*)/"

    def _without_prefill(self, head: str) -> str:
        """Return the part of `head` that is not yet in the prompt."""
        choice, wish = self._request.choice, self._request.reasoning
        prefill = self._template.prefill(choice, wish).removeprefix(self._template.reasoning_prefill(wish))
        return head.removeprefix(prefill)

    @cached_property
    def _rest_of_heads(self) -> str:
        """The Lark expression of the part of each call's head after the point where OutputParser reports its CallStart.

        It is the same for all functions, so it is found with the first one.
        """
        name = next(tool.name for tool in self._request.tools if isinstance(tool, Function))
        parser = OutputParser(self.turn_format)
        rest = self._template.calls_open + self._template.call_head(name)
        for text, is_control in self._split_at_control_tokens(rest):
            for piece in [text] if is_control else text:
                rest = rest[len(piece) :]
                if any(isinstance(event, CallStart) for event in parser.feed(piece, is_control=is_control)):
                    return self._literal(rest) if rest.strip() or not rest else f"{self._literal(rest)}?"
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
