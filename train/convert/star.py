"""Converts STAR, dialogues in which a person played the assistant (the wizard).

Queries of the knowledge base become calls, and apis/apis/*.json become the functions. A constraint that is a plain
value or `api.is_equal_to(...)` becomes an argument. A dialogue is cut before the first query that has any other
constraint or a value that the text does not contain. The part before the cut becomes a row if it has a call. The
wizard's drafts (request_suggestions) and the instructions to the user (instruct) are left out.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Literal

from agent.definitions.candidates import object_schema
from client.json_lines import FileError, Json
from client.rows import Row
from core.conversation import Call, Function, JsonSchema, Message
from train.convert.common import (
    Item,
    Reject,
    checked,
    format_of,
    function_call,
    is_grounded,
    member,
    progress,
    read_json,
    reject_malformed,
    require_path,
    result,
    snake_case,
    tokens,
    with_distractors,
)

DESCRIPTIONS = Path(__file__).with_name("star.toml")
MAX_MESSAGES = 30
MAX_OTHERS = 3
UTTERANCES = {"utter", "pick_suggestion"}
_EQUAL = re.compile(r"api\.is_equal_to\((.*)\)")
_NO = {"no", "not", "none", "don", "didn", "haven", "without", "never"}
_YES = {"yes", "yeah", "yep", "sure", "ok", "okay", "please", "have", "did", "paid", "with"}


class Unsupported(Exception):
    """An event cannot become a message: a query is no plain call, or the text does not support the query."""


@dataclass(frozen=True)
class Api:
    """A function of STAR. `names` maps STAR's parameter names to the function's parameter names."""

    function: Function
    names: dict[str, str]


def items(folder: Path) -> Iterator[Item]:
    """Yield the rows and rejects of the source. Raises FileError."""
    apis = _apis(require_path(folder / "apis" / "apis", "STAR's folder of APIs"))
    paths = sorted((folder / "dialogues").glob("*.json"), key=lambda path: (len(path.stem), path.stem))
    if not paths:
        raise FileError(f"{folder / 'dialogues'} holds no dialogues")
    for path in progress(paths, "dialogues"):
        yield from reject_malformed(_rows(read_json(path), apis, str(path)), str(path))


def _apis(folder: Path) -> dict[str, Api]:
    described = tomllib.loads(DESCRIPTIONS.read_text(encoding="utf-8"))
    apis = {}
    for path in sorted(folder.glob("*.json")):
        document = read_json(path)
        description = described.get(path.stem, path.stem.replace("_", " ").capitalize())
        with format_of(path):
            inputs = member(document, "input", list, str(path))
            names = {entry["Name"]: snake_case(entry["Name"]) for entry in inputs}
            properties = {names[entry["Name"]]: _schema(entry) for entry in inputs}
            required = [names[name] for name in member(document, "required", list, str(path)) if name in names]
            apis[path.stem] = Api(Function(path.stem, description, object_schema(properties, required)), names)
    if not apis:
        raise FileError(f"{folder} holds no APIs")
    return apis


def _schema(entry: Json) -> JsonSchema:
    described = {"description": entry.get("ReadableName", "")}
    match entry["Type"]:
        case "Integer":
            return {"type": "integer", **described}
        case "Boolean":
            return {"type": "boolean", **described}
        case "CategoricalMultiple":
            return {"type": "array", **described, "items": {"type": "string", "enum": entry["Categories"]}}
        case _ if entry.get("Categories") and len(entry["Categories"]) <= 12:
            return {"type": "string", **described, "enum": entry["Categories"]}
        case _:
            return {"type": "string", **described}


def _rows(dialogue: Json, apis: dict[str, Api], where: str) -> Iterator[Item]:
    if dialogue["CompletionLevel"] != "Complete":
        yield Reject(where, "the dialogue was broken off")
        return
    dialogue_messages = DialogueMessages(apis)
    dialogue_messages.add(dialogue["Events"])
    if not dialogue_messages.called:
        yield Reject(where, dialogue_messages.cut_because or "no query in the dialogue")
        return
    random = Random(f"star {dialogue['DialogueID']}")
    called = [apis[name].function for name in dict.fromkeys(dialogue_messages.called)]
    functions = with_distractors(called, [api.function for api in apis.values()], random, MAX_OTHERS)
    meta = {"dialogue_id": str(dialogue["DialogueID"]), "kind": "dialogue"}
    yield checked(Row(functions, tuple(dialogue_messages.messages), "star", meta, where))


@dataclass
class DialogueMessages:
    """The events of a dialogue as messages. The last message is the assistant's."""

    apis: dict[str, Api]
    messages: list[Message] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    cut_because: str = ""
    _waiting: Call | None = None  # the call whose result has not come yet
    _text: str = ""

    def add(self, events: list[Json]) -> None:
        try:
            for event in events:
                if len(self.messages) >= MAX_MESSAGES:
                    break
                self._event(event)
        except Unsupported as error:
            self.cut_because = str(error)
        while self.messages and self.messages[-1].role != "assistant":
            self.messages.pop()

    def _event(self, event: Json) -> None:
        match event["Agent"], event["Action"]:
            case "User", "utter":
                self._say("user", event["Text"])
            case "Wizard", action if action in UTTERANCES:
                self._say("assistant", event["Text"])
            case "Wizard", "query":
                self._query(event)
            case "KnowledgeBase", "return_item":
                self._return(event)
            case "KnowledgeBase", action:
                raise Unsupported(f"an answer of the knowledge base that is no item: {action}")

    def _say(self, role: Literal["user", "assistant"], said: str) -> None:
        said = " ".join(said.split())
        last = self.messages[-1] if self.messages else None
        if not said:
            return
        if self._waiting:
            raise Unsupported("a query without its result")
        if last and last.role == role and not last.calls:  # consecutive utterances of one speaker become one message
            self.messages[-1] = Message(role, f"{last.content} {said}")
        else:
            self.messages.append(Message(role, said))
        self._text += f"\n{said}"

    def _query(self, event: Json) -> None:
        if not self.messages or event["APIName"] not in self.apis:
            raise Unsupported(f"a query before anybody spoke, or of an unknown API: {event['APIName']}")
        api = self.apis[event["APIName"]]
        arguments = {}
        for constraint in event["Constraints"]:
            for name, text in constraint.items():
                arguments[api.names[name]] = self._value(api, api.names[name], text)
        call = function_call(api.function, arguments, len(self.called))
        self.messages.append(Message("assistant", None, (call,)))
        self.called.append(event["APIName"])
        self._waiting = call

    def _return(self, event: Json) -> None:
        if self._waiting is None:
            raise Unsupported("a result without a query")
        content = {snake_case(key): value for key, value in event["Item"].items() if key != "APIName"}
        answer = result(self._waiting, content)
        self.messages.append(answer)
        self._text += f"\n{answer.content}"
        self._waiting = None

    def _value(self, api: Api, name: str, text: str) -> object:
        value = _literal(text)
        schema = (api.function.parameters or {})["properties"][name]
        if schema["type"] == "string" and isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)  # for example an account number
        if schema["type"] == "boolean" or value in ("Yes", "No"):
            is_said = self._is_answered(schema["description"], _YES if value in (True, "Yes") else _NO)
        elif name == "request_type":
            is_said = True  # the value "check" or "book" classifies the request and need not be in the text
        else:
            is_said = is_grounded(value, self._text, 0.6)
        if not is_said:
            raise Unsupported(f"the text does not support a value: {name} = {text}")
        return value

    def _is_answered(self, description: str, words: set[str]) -> bool:
        """Return whether the user answered a question about the parameter with one of `words`."""
        topic = {word for word in tokens(description) if len(word) > 3}
        return any(
            asked.role == "assistant"
            and topic & set(tokens(asked.content or ""))
            and words & set(tokens(answer.content or ""))
            for asked, answer in pairwise(self.messages)
            if answer.role == "user"
        )


def _literal(text: str) -> Any:
    """Parse a constraint that is a plain value. Raises Unsupported for any other constraint."""
    equal = _EQUAL.fullmatch(text.strip())
    source = equal[1] if equal else text
    try:
        return json.loads({"True": "true", "False": "false"}.get(source, source))
    except json.JSONDecodeError:
        raise Unsupported(f"a constraint that is no plain value: {text}") from None
