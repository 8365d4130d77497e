"""Follow the arguments of a call while the model writes them, and predict from the schema what comes next."""

from __future__ import annotations

import json
from typing import Any

from core.conversation import JsonSchema
from drafting.user_message import UserMessage
from json_schema.walk import target_of

_MAX_MEMBERS = 16  # the members of an enum after the first 16 are not looked up in the user message


class CallScanner:
    """Reads the JSON text of one call's arguments in pieces, and predicts keys and values of the outer object."""

    def __init__(self, schema: JsonSchema, user_message: UserMessage) -> None:
        """`schema` is the JSON Schema of the function's parameters, which has been validated."""
        self._root = schema
        parameters = target_of(schema, schema)
        self._properties: JsonSchema = parameters.get("properties", {})
        self._required = frozenset(parameters.get("required", ()))
        self._user_message = user_message
        self._written = ""
        self._mentioned: dict[str, bool] = {}
        self._keys: list[str] = []  # the complete keys of the outer object so far
        self._depth = 0
        self._in_string = self._is_escaped = False
        self._part = ""  # the incomplete key or value, as written
        self._lacks_space = False  # whether the space after the last comma or colon is not yet written
        self._state = "start"  # start, key, colon, value, after, end

    def read(self, text: str) -> None:
        """Read the next piece of the arguments."""
        self._written += text
        for char in text:
            self._read_one(char)

    def next_text(self) -> str:
        """Return the text that probably comes next; empty if nothing can be predicted."""
        space = " " if self._lacks_space and not self._part else ""
        match self._state:
            case "start":
                return "{" + self._key(beginning="", is_due=False) if self._next_key("", is_due=False) else "{}"
            case "key":
                return space + self._key(beginning=self._part, is_due=True)
            case "colon":
                return ": " + self._value(beginning="")
            case "value":
                return space + self._value(beginning=self._part)
            case "after":
                return self._after_value()
        return ""

    @property
    def is_at_end(self) -> bool:
        """Whether the outer object is closed."""
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

    def _next_key(self, beginning: str, *, is_due: bool, after: str | None = None) -> str | None:
        """Return the next key that begins with `beginning`, of those that are not written yet.

        The first key that is required, or that the user message mentions, is returned. If there is none,
        return the first unwritten key if a key must follow (`is_due`), else None.
        """
        known = (*self._keys, after)
        left = [name for name in self._properties if name not in known and name.startswith(beginning)]
        expected = (name for name in left if name in self._required or self._is_mentioned(name))
        return next(expected, left[0] if left and is_due else None)

    def _is_mentioned(self, name: str) -> bool:
        """Whether the user message contains the property's name or a member of its enum."""
        if name not in self._mentioned:
            members = [member for member in _members(self._schema_of(name))[:_MAX_MEMBERS] if isinstance(member, str)]
            spellings = (name.replace("_", " "), *members)
            self._mentioned[name] = any(len(one) > 2 and self._user_message.mentions(one) for one in spellings)
        return self._mentioned[name]

    def _key(self, beginning: str, *, is_due: bool) -> str:
        name = self._next_key(beginning[1:], is_due=is_due)
        if name is None or not f'"{name}"'.startswith(beginning):
            return ""
        return f'"{name}"'[len(beginning) :] + ": " + self._value(beginning="", name=name)

    def _after_value(self, name: str | None = None) -> str:
        """Return what follows the value of key `name` (default: the last key): the next key or the object's end."""
        following = self._next_key("", is_due=False, after=name)
        if following is None:
            return "}"
        return f', "{following}": {self._opening(self._schema_of(following))}'

    def _value(self, beginning: str, name: str | None = None) -> str:
        """Return the rest of a value that begins with `beginning`, and what follows the value.

        The value of an enum is the member that the user mentions, else the first member. The value of a string or
        number comes from the user message. Of other values, only the opening bracket is predicted.
        """
        schema = self._schema_of(name or (self._keys[-1] if self._keys else ""))
        candidates = [text for member in _members(schema) if (text := json.dumps(member)).startswith(beginning)]
        if candidates:
            mentioned = [text for text in candidates if self._user_message.mentions(text.strip('"'))]
            return (mentioned or candidates)[0][len(beginning) :] + self._after_value(name)
        kind = _kind(schema)
        if kind == "string" and (found := self._mentioned_text(beginning)) is not None:
            return f'{found}"' + self._after_value(name)
        if kind in ("integer", "number"):
            found = (
                self._user_message.continuation(beginning)
                if beginning
                else self._user_message.next_number(self._written)
            )
            return "" if found is None else found + self._after_value(name)
        return self._opening(schema) if not beginning else ""

    def _mentioned_text(self, beginning: str) -> str | None:
        """Return the rest of a string after `beginning`, found in the user message; None if it is not found.

        `beginning` includes the opening quotation mark.
        """
        if beginning[1:]:
            return self._user_message.continuation(beginning[1:])
        name = self._user_message.next_name(self._written)
        return None if name is None else ('"' if not beginning else "") + name

    def _schema_of(self, name: str) -> JsonSchema:
        return target_of(self._root, self._properties.get(name))

    def _opening(self, schema: JsonSchema) -> str:
        """Return the first characters that every value of the schema has."""
        opening = {"string": '"', "array": "[", "object": "{"}.get(_kind(schema), "")
        has_strings = opening == "[" and _kind(target_of(self._root, schema.get("items"))) == "string"
        return '["' if has_strings else opening


def _members(schema: JsonSchema) -> list[Any]:
    """Return the values of an enum or const."""
    return [schema["const"]] if "const" in schema else schema.get("enum", [])


def _kind(schema: JsonSchema) -> str:
    """Return the schema's type; the first if it has several, "any" if it has none."""
    kind = schema.get("type", "any")
    return str(kind[0] if isinstance(kind, list) else kind)
