"""Write the grammar of arguments that stand between tags: `<parameter=KEY>`, a value, `</parameter>`.

The parameters come in the order of the schema. A string is written without quotes, up to the line `</parameter>`; any
other value is JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from core.conversation import JsonSchema
from core.generation import JsonRule, Lark, TextRule
from core.turn_format import StringKind
from guarantees.caller_grammar import literal, safe_regexp
from json_schema.errors import Subject, not_enforced
from json_schema.grammar_rules import bound_schema
from json_schema.walk import target_of

_END = r'"\n</parameter>\n"'
_WITHOUT_END = r"~/(?s:.*)\n<\/parameter>(?s:.*)/"
_ANY_TEXT = "/(?s:.*)/"
_MAX_LENGTH = 2_000  # characters; the automaton has as many states
_DATE = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "ipv4": rf"{_BYTE}(?:\.{_BYTE}){{3}}",
    "uuid": "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
    "email": r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@(?:[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\.)+[A-Za-z]{2,20}",
}
_ESCAPED = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)  # escaped characters and sets of characters
_OBJECT_KEYWORDS = {"type", "properties", "required", "additionalProperties", "$defs"}


@dataclass(frozen=True)
class ArgumentRules:
    """The Lark rules of one function's arguments, and their rules for JSON and for texts. `param` as in `Lark`."""

    rules: Mapping[str, str]
    json_rules: Mapping[str, JsonRule]
    param: str = ""
    text_rules: Mapping[str, TextRule] = field(default_factory=dict)

    @property
    def lark(self) -> Lark:
        """The rules as a part of a grammar."""
        return Lark(
            "".join(f"{name}: {body}\n" for name, body in self.rules.items()),
            self.json_rules,
            self.param,
            self.text_rules,
        )


def tagged_rules(rule: JsonRule | None, kinds: Mapping[str, StringKind], *, name: str, number: int) -> ArgumentRules:
    """Return the rules for the arguments that `rule` describes, of which `name` is the first one.

    `kinds` are the parameters that are text, and `number` sets these rules apart from those of other functions. Raises
    RequestError if the rule is strict and says more than the grammar can express. From a rule that is not strict, the
    `pattern` and `format` of strings, lengths above _MAX_LENGTH and limits on the number of properties are dropped.
    """
    if rule is None:
        return ArgumentRules({name: '""'}, {})
    return _Writer(rule, kinds, name, number).written()


def text_rules(rule: TextRule, key: str, *, name: str, number: int) -> ArgumentRules:
    """Return the rules for arguments that are one text, the parameter `key`. `name` and `number` as in `tagged_rules`.

    They are JSON or stand between tags, as the rule says.
    """
    head, end = json.dumps(json.dumps({key: ""})[:-2]), json.dumps('"}')
    if rule.written_as == "tagged":
        head, end = json.dumps(f"<parameter={key}>\n"), _END
    return ArgumentRules({name: f"{head} input_{number} {end}"}, {}, text_rules={f"input_{number}": rule})


class _Writer:
    def __init__(self, rule: JsonRule, kinds: Mapping[str, StringKind], name: str, number: int) -> None:
        self._rule = rule
        self._kinds = kinds
        self._name = name
        self._number = number
        self._root = bound_schema(rule)
        self._rules: dict[str, str] = {name: ""}
        self._json_rules: dict[str, JsonRule] = {}

    def written(self) -> ArgumentRules:
        members = self._root.get("anyOf", [self._root])
        objects = [self._object(target_of(self._root, member)) for member in members]
        self._rules[self._name] = " | ".join(f"({one})" for one in objects)
        return ArgumentRules(self._rules, self._json_rules, self._rule.param if self._rule.strict else "")

    def _object(self, schema: JsonSchema) -> str:
        for keyword in sorted(schema.keys() - _OBJECT_KEYWORDS):
            self._drop(keyword)
        properties: Mapping[str, JsonSchema] = schema.get("properties", {})
        required = schema.get("required", ())
        parts = [self._parameter(key, child) + ("" if key in required else "?") for key, child in properties.items()]
        if not properties and schema.get("additionalProperties", True) is not False:
            self._drop("additionalProperties")
            self._rules[f"TEXT_{self._number}"] = _terminal(_ANY_TEXT)
            parts.append(f'("<parameter=" /[^<>\\n]+/ ">" TEXT_{self._number})*')
        return " ".join(parts) or '""'

    def _parameter(self, key: str, schema: JsonSchema) -> str:
        if {"<", ">", "\n"} & set(key):
            self._drop(key, why="this model's format cannot show such a name")
        tag, rule_number = f"<parameter={key}>", f"{self._number}_{len(self._rules) + len(self._json_rules)}"
        kind = self._kinds.get(key)
        if kind is None:
            json_rule, defs = f"value_{rule_number}", self._root.get("$defs", {})
            schema = schema if isinstance(schema, dict) else {}
            self._json_rules[json_rule] = replace(self._rule, schema={**schema, "$defs": defs} if defs else schema)
            return " ".join(("(", json.dumps(tag + "\n"), json_rule, _END, ")"))
        options = [*self._texts(schema), *(['"null"'] if kind == "string or null" else [])]
        self._rules[f"TEXT_{rule_number}"] = _terminal(" | ".join(options) or _ANY_TEXT)
        return f"({json.dumps(tag)} TEXT_{rule_number})"

    def _texts(self, schema: JsonSchema) -> Iterator[str]:
        """Yield the alternatives for the text of a string, as expressions of terminals."""
        schema = target_of(self._root, schema)
        if "anyOf" in schema:
            for member in schema["anyOf"]:
                yield from self._texts(member)
        elif "enum" in schema:
            yield from (literal(value) for value in schema["enum"] if isinstance(value, str))
        elif "string" in schema.get("type", ""):
            limits = [self._length(schema), *self._patterns(schema)]
            for inner in schema.get("allOf", ()):
                limits += self._patterns(inner)
            yield " & ".join(limits)

    def _length(self, schema: JsonSchema) -> str:
        low, high = schema.get("minLength", 0), schema.get("maxLength")
        if max(low, high or 0) > _MAX_LENGTH:
            self._drop("maxLength" if (high or 0) > _MAX_LENGTH else "minLength", why=f"above {_MAX_LENGTH}")
            return _ANY_TEXT
        return f"/(?s:.{{{low},{'' if high is None else high}}})/"

    def _patterns(self, schema: JsonSchema) -> Iterator[str]:
        """Yield what `pattern` and `format` say, if the rule is strict: a pattern may be too costly to follow."""
        if not self._rule.strict:
            return
        if "pattern" in schema:
            searched = _searched(schema["pattern"])
            if searched is None:
                self._drop("pattern", why="'^' and '$' can only be its first and last character")
            yield safe_regexp(searched or "", self._rule.param)
        if "format" in schema:
            if schema["format"] not in _FORMATS:
                self._drop("format", why=f"this model's format has no rule for {schema['format']}")
            yield f"/{_FORMATS.get(schema['format'], '(?s:.*)')}/"

    def _drop(self, keyword: str, *, why: str = "") -> None:
        """Leave out what the grammar cannot express. Raises RequestError if the rule is strict."""
        if self._rule.strict:
            raise not_enforced(Subject(self._rule.owner, self._rule.param, self._rule.code), keyword, (), why)


def _terminal(text: str) -> str:
    r"""Return the terminal of a value, from the line break before it to the one after its end tag.

    The end tag belongs to the terminal: a lexer that reads as much as it can would take a part of the tag for the text.
    """
    return f'(("\\n" ({text})) & {_WITHOUT_END}) {_END}'


def _searched(pattern: str) -> str | None:
    """Return a pattern that may match anywhere in a text as one that matches all of it; None if that is not possible.

    `^` at the beginning and `$` at the end bind the match to the ends of the text.
    """
    has_end = re.search(r"(?<!\\)(?:\\\\)*\$\Z", pattern) is not None
    inner = pattern[:-1] if has_end else pattern
    has_start = inner.startswith("^")
    inner = inner.removeprefix("^")
    plain = _ESCAPED.sub("", inner)
    if "^" in plain or "$" in plain or ((has_start or has_end) and _has_open_alternatives(plain)):
        return None
    return f"{'' if has_start else '(?s:.*)'}(?:{inner}){'' if has_end else '(?s:.*)'}"


def _has_open_alternatives(plain: str) -> bool:
    """Return whether a `|` stands outside of all groups, so that `^` or `$` would bind one alternative only."""
    depth = 0
    for char in plain:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "|" and not depth:
            return True
    return False
