"""Where in a call's arguments the text stands, and what a schema says comes next."""

from __future__ import annotations

import json
from typing import Any

from core.conversation import JsonSchema
from drafting.user_message import UserMessage
from json_schema.walk import target_of

_FIRST = 16  # members of an enum that are looked for in the question


class CallScanner:
    """Reads the JSON text of one call's arguments as it comes; looks at the outer object's keys and values."""

    def __init__(self, schema: JsonSchema, spoken: UserMessage) -> None:
        """`schema` is the function's parameters, checked."""
        self._root = schema
        parameters = target_of(schema, schema)
        self._properties: JsonSchema = parameters.get("properties", {})
        self._required = frozenset(parameters.get("required", ()))
        self._spoken = spoken
        self._written = ""
        self._spoken_of: dict[str, bool] = {}
        self._keys: list[str] = []  # whose values have begun
        self._depth = 0
        self._in_string = self._is_escaped = False
        self._part = ""  # of the key or value that is open, as written
        self._lacks_space = False  # behind the last comma or colon
        self._state = "start"  # start, key, colon, value, after, end

    def read(self, text: str) -> None:
        self._written += text
        for char in text:
            self._read_one(char)

    def next_text(self) -> str:
        """What probably follows; empty where nothing is known."""
        space = " " if self._lacks_space and not self._part else ""
        match self._state:
            case "start":
                return "{" + self._key(begun="", is_due=False) if self._next_key("", is_due=False) else "{}"
            case "key":
                return space + self._key(begun=self._part, is_due=True)
            case "colon":
                return ": " + self._value(begun="")
            case "value":
                return space + self._value(begun=self._part)
            case "after":
                return self._behind()
        return ""

    @property
    def is_at_end(self) -> bool:
        return self._state == "end"

    def _read_one(self, char: str) -> None:
        if self._in_string:
            self._part += char
            if not self._is_escaped and char == '"':
                self._close_string()
            self._is_escaped = char == "\\" and not self._is_escaped
        elif char == '"':
            self._in_string = True
            self._part += char
        elif char in "{[":
            self._depth += 1
            self._part += char
            if self._state == "start":
                self._state, self._part, self._lacks_space = "key", "", False
        elif char in "}]" or (char == "," and self._depth == 1):
            self._close(char)
        elif char == ":" and self._state == "colon":
            self._state, self._part, self._lacks_space = "value", "", True
        elif self._part or not char.isspace():
            self._part += char
        else:
            self._lacks_space = False

    def _close_string(self) -> None:
        self._in_string = False
        if self._state == "key":
            self._keys.append(self._part.strip()[1:-1])
            self._state = "colon"
        elif self._state == "value" and self._depth == 1:
            self._state = "after"

    def _close(self, char: str) -> None:
        self._part += char
        if char == ",":
            self._state, self._part, self._lacks_space = "key", "", True
            return
        self._depth -= 1
        if self._depth == 0:
            self._state = "end"
        elif self._depth == 1 and self._state == "value":
            self._state = "after"

    def _next_key(self, begun: str, *, is_due: bool, after: str | None = None) -> str | None:
        """The next required one in schema order, or one that was spoken of; of others the first, where a key is due."""
        known = (*self._keys, after)
        left = [name for name in self._properties if name not in known and name.startswith(begun)]
        expected = (name for name in left if name in self._required or self._is_spoken_of(name))
        return next(expected, left[0] if left and is_due else None)

    def _is_spoken_of(self, name: str) -> bool:
        """By its own name, or a member of its enum."""
        if name not in self._spoken_of:
            members = [member for member in _members(self._schema_of(name))[:_FIRST] if isinstance(member, str)]
            spellings = (name.replace("_", " "), *members)
            self._spoken_of[name] = any(len(one) > 2 and self._spoken.mentions(one) for one in spellings)
        return self._spoken_of[name]

    def _key(self, begun: str, *, is_due: bool) -> str:
        name = self._next_key(begun[1:], is_due=is_due)
        if name is None or not f'"{name}"'.startswith(begun):
            return ""
        return f'"{name}"'[len(begun) :] + ": " + self._value(begun="", name=name)

    def _behind(self, name: str | None = None) -> str:
        """What follows a value, of `name` or of the key that was read last: the next key, or the end."""
        following = self._next_key("", is_due=False, after=name)
        if following is None:
            return "}"
        return f', "{following}": {self._opening(self._schema_of(following))}'

    def _value(self, begun: str, name: str | None = None) -> str:
        """Of an enum the member that was spoken of, else the first; of others what was said, or how they open."""
        schema = self._schema_of(name or (self._keys[-1] if self._keys else ""))
        fitting = [text for member in _members(schema) if (text := json.dumps(member)).startswith(begun)]
        if fitting:
            mentioned = [text for text in fitting if self._spoken.mentions(text.strip('"'))]
            return (mentioned or fitting)[0][len(begun) :] + self._behind(name)
        kind = _kind(schema)
        if kind == "string" and (said := self._said(begun)) is not None:
            return f'{said}"' + self._behind(name)
        if kind in ("integer", "number"):
            said = self._spoken.continuation(begun) if begun else self._spoken.next_number(self._written)
            return "" if said is None else said + self._behind(name)
        return self._opening(schema) if not begun else ""

    def _said(self, begun: str) -> str | None:
        """A string's text behind `begun`, which includes the quotation mark."""
        if begun[1:]:
            return self._spoken.continuation(begun[1:])
        name = self._spoken.next_name(self._written)
        return None if name is None else ('"' if not begun else "") + name

    def _schema_of(self, name: str) -> JsonSchema:
        return target_of(self._root, self._properties.get(name))

    def _opening(self, schema: JsonSchema) -> str:
        """How a value begins."""
        opening = {"string": '"', "array": "[", "object": "{"}.get(_kind(schema), "")
        is_strings = opening == "[" and _kind(target_of(self._root, schema.get("items"))) == "string"
        return '["' if is_strings else opening


def _members(schema: JsonSchema) -> list[Any]:
    """The values that are allowed, where they are listed."""
    return [schema["const"]] if "const" in schema else schema.get("enum", [])


def _kind(schema: JsonSchema) -> str:
    """The type of a value, the first one of several; "any" where it is not said."""
    kind = schema.get("type", "any")
    return str(kind[0] if isinstance(kind, list) else kind)
