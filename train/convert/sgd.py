"""Converts Schema-Guided Dialogue: intents become functions, service calls become calls, results are shortened.

A dialogue is cut where the user turns to another service. Each piece with a call becomes a row.

An argument is the user's wording of the value ("next Friday"). The `values` and `canonical_values` of earlier actions
tell which wording belongs to which canonical value. Enum values and numbers keep the canonical value. An optional
argument that the text does not contain is left out. The piece is cut before a call with a required argument that the
text does not contain. It is also cut before an assistant's sentence with facts that no earlier message contains; such
facts exist because results are shortened.

Only the training split is read. It must be of a release that has `service_call`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

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
    number,
    progress,
    read_json,
    reject_malformed,
    require_path,
    result,
    snake_case,
    with_distractors,
)

MAX_RESULTS = 3
MAX_MESSAGES = 18
MAX_OTHERS = 2
# Acts by which the assistant states facts. CONFIRM is missing: it is a question and may propose a default.
_FACTS = {"OFFER", "INFORM", "INFORM_COUNT"}


class UnsupportedValue(Exception):
    """The text does not contain a required argument or a stated fact. The message is the reason."""


def items(folder: Path) -> Iterator[Item]:
    """Yield the rows and rejects of the source. Raises FileError."""
    wordings = read_wordings(folder)
    paths = sorted((folder / "train").glob("dialogues_*.json"))
    if not paths:
        raise FileError(f"{folder / 'train'} holds no dialogues_*.json")
    for path in progress(paths, "dialogue files"):
        dialogues = read_json(path)
        if not isinstance(dialogues, list):
            raise FileError(f"{path}: a list of dialogues was expected")
        for dialogue in dialogues:
            where = f"{path}: {member(dialogue, 'dialogue_id', str, str(path))}"
            yield from reject_malformed(_rows(dialogue, wordings, where), where)


def _rows(dialogue: Json, wordings: Wordings, where: str) -> Iterator[Item]:
    random = Random(dialogue["dialogue_id"])
    turns = member(dialogue, "turns", list, where)
    if not any("service_call" in frame for turn in turns for frame in turn["frames"]):
        yield Reject(where, "no service call in the dialogue")
        return
    if unknown := set(member(dialogue, "services", list, where)) - wordings.keys():
        raise FileError(f"{where}: the schema has no service {min(unknown)}")
    services = {name: random.choice(wordings[name]) for name in dialogue["services"]}
    fields = {_field(name) for name in services}
    unlike = [random.choice(wordings[name]) for name in wordings if _field(name) not in fields]
    others = [function for service in unlike for function in service.functions.values()]
    for place, piece in enumerate(pieces(turns)):
        window = Window(services, f"{where}, piece {place}")
        window.add(piece)
        if not any(message.calls for message in window.messages):
            yield Reject(window.where, window.cut_because or "no call in the piece")
            continue
        used = {frame["service"] for turn in piece for frame in turn["frames"]}
        called = [f for name in services if name in used for f in services[name].functions.values()]
        meta = {"dialogue_id": dialogue["dialogue_id"], "kind": "dialogue"}
        functions = with_distractors(called, others, random, MAX_OTHERS)
        yield checked(Row(functions, tuple(window.messages), "sgd", meta, window.where))


def _field(service: str) -> str:
    """Return the service's name without its number. Restaurants_1 and Restaurants_2 are interchangeable."""
    return service.split("_")[0]


def pieces(turns: Sequence[Json]) -> list[list[Json]]:
    """Cut the turns into pieces. A piece begins where the user's services differ from those of the turn before."""
    cut: list[list[Json]] = []
    before: set[str] = set()
    for turn in turns:
        services = {frame["service"] for frame in turn["frames"]}
        if (turn["speaker"] == "USER" and services != before) or not cut:
            cut.append([])
        before = services
        cut[-1].append(turn)
    return cut


@dataclass
class Window:
    """A piece of a dialogue as messages. The last message is the assistant's."""

    services: dict[str, Service]
    where: str
    messages: list[Message] = field(default_factory=list)
    wordings: dict[tuple[str, str, str], str] = field(
        default_factory=dict
    )  # (service, slot, canonical value) -> the last wording of the value
    cut_because: str = ""
    _text: str = ""
    _num_calls: int = 0

    def add(self, turns: Sequence[Json]) -> None:
        """Add the turns. Stops at the first call or fact that the text does not support."""
        for place, turn in enumerate(turns):
            if len(self.messages) >= MAX_MESSAGES:
                break
            if turn["speaker"] == "USER":
                self._note(turn)
                self._say("user", turn["utterance"])
                continue
            try:
                self._answer(turn, turns[place + 1 :])
            except UnsupportedValue as error:
                self.cut_because = str(error)
                break
        while self.messages and self.messages[-1].role != "assistant":
            self.messages.pop()

    def _answer(self, turn: Json, later: Sequence[Json]) -> None:
        for frame in turn["frames"]:
            if "service_call" in frame:
                call = self._call(frame)
                self._num_calls += 1
                self.messages.append(Message("assistant", None, (call,)))
                answer = result(call, self._results(frame, [turn, *later]))
                self.messages.append(answer)
                self._text += f"\n{answer.content}"
        for frame in turn["frames"]:
            for action in frame["actions"]:
                if action["act"] in _FACTS and not self._is_known(action):
                    raise UnsupportedValue("the assistant states a fact that stands nowhere")
        self._note(turn)
        self._say("assistant", turn["utterance"])

    def _say(self, role: str, text: str) -> None:
        self.messages.append(Message("user" if role == "user" else "assistant", text))
        self._text += f"\n{text}"

    def _note(self, turn: Json) -> None:
        for frame in turn["frames"]:
            for action in frame["actions"]:
                pairs = zip(action.get("canonical_values", ()), action.get("values", ()), strict=False)
                for canonical, value in pairs:
                    self.wordings[frame["service"], action["slot"], canonical] = value
            for slot, values in frame.get("state", {}).get("slot_values", {}).items():
                for value in values:
                    self.wordings.setdefault((frame["service"], slot, value), value)

    def _call(self, frame: Json) -> Call:
        service = self.services[frame["service"]]
        made, arguments = frame["service_call"], {}
        function = service.functions[made["method"]]
        for slot, canonical in made["parameters"].items():
            value = self._value(service, frame["service"], slot, canonical)
            if value is not None:
                arguments[service.parameters[slot]] = value
            elif service.parameters[slot] in (function.parameters or {})["required"]:
                raise UnsupportedValue(f"the text does not support a required argument: {slot} = {canonical!r}")
        return function_call(function, arguments, self._num_calls)

    def _value(self, service: Service, name: str, slot: str, canonical: str) -> object:
        """Return the value of an argument, or None if the text does not contain it."""
        if canonical == "dontcare" or slot not in service.parameters:
            return None
        said = self.wordings.get((name, slot, canonical))
        if service.schemas[slot]["type"] != "string" or "enum" in service.schemas[slot]:
            return service.value(slot, canonical) if said is not None else None
        for value in (canonical, said):
            if value is not None and is_grounded(value, self._text):
                return value
        return None

    def _results(self, frame: Json, turns: Sequence[Json]) -> Json:
        """Return the result of a call, shortened to the entries that the assistant mentions later.

        If it mentions none, the first entries are kept. `count` is the number of all entries.
        """
        service = self.services[frame["service"]]
        every = frame.get("service_results", [])
        later = " ".join(turn["utterance"] for turn in turns if turn["speaker"] == "SYSTEM")
        own = [entry for entry in every if _is_mentioned(entry, every, later)]
        chosen = (own or every)[:MAX_RESULTS]
        entries = [{service.parameters.get(slot, slot): value for slot, value in entry.items()} for entry in chosen]
        return {"count": len(every), "results": entries}

    def _is_known(self, action: Json) -> bool:
        values = [*action.get("canonical_values", ()), *action.get("values", ())]
        if not values or set(values) & {"True", "False", "dontcare"}:
            return True
        return any(is_grounded(value, self._text, 0.6) for value in values)


def _is_mentioned(entry: Json, every: Sequence[Json], text: str) -> bool:
    """Return whether the text contains a value of the entry that most other entries lack."""
    for slot, value in entry.items():
        shared = sum(other.get(slot) == value for other in every)
        if shared * 2 <= max(2, len(every)) and any(c.isalpha() for c in value) and is_grounded(value, text):
            return value not in ("True", "False")
    return False


# The schema: services as functions. The paraphrases of SGD-X have their services in the same order.


@dataclass(frozen=True)
class Service:
    """A service in one wording. The keys of the attributes are the original intents and slots."""

    functions: dict[str, Function]
    parameters: dict[str, str]  # slot -> parameter name in this wording
    schemas: dict[str, JsonSchema]  # slot -> JSON Schema

    def value(self, slot: str, canonical: str) -> object:
        """Convert a canonical value to the schema's type."""
        match self.schemas[slot]["type"]:
            case "boolean":
                return canonical == "True"
            case "integer":
                return number(canonical)
            case _:
                return canonical


Wordings = dict[str, list[Service]]  # by the original service's name; the first item is the original wording


def read_wordings(folder: Path) -> Wordings:
    """Read all wordings of the services of the training split. Raises FileError."""
    paths = [require_path(folder / "train" / "schema.json", "the schema of SGD")]
    paths += sorted((folder / "sgd_x" / "data").glob("v*/train/schema.json"))
    originals = _services(paths[0])
    wordings: Wordings = {member(service, "service_name", str, str(paths[0])): [] for service in originals}
    for path in paths:
        services = _services(path)
        if len(services) != len(originals):
            raise FileError(f"{path}: {len(originals)} services were expected as in {paths[0]}, got {len(services)}")
        with format_of(path):
            for original, service in zip(originals, services, strict=True):
                wordings[original["service_name"]].append(_service(original, service, str(path)))
    return wordings


def _services(path: Path) -> list[Json]:
    services = read_json(path)
    if not isinstance(services, list) or not services:
        raise FileError(f"{path}: a list of services was expected")
    return services


def _service(original: Json, service: Json, where: str) -> Service:
    slots, intents = member(service, "slots", list, where), member(service, "intents", list, where)
    originals = member(original, "slots", list, where)
    if len(slots) != len(originals) or len(intents) != len(member(original, "intents", list, where)):
        raise FileError(f"{where}: {service.get('service_name')} has other slots or intents than the original")
    names = {old["name"]: new["name"] for old, new in zip(originals, slots, strict=True)}
    schemas = {old["name"]: _schema(new) for old, new in zip(originals, slots, strict=True)}
    own = {new: old for old, new in names.items()}
    functions = {
        old["name"]: _function(new, {name: schemas[own[name]] for name in own}, where)
        for old, new in zip(original["intents"], intents, strict=True)
    }
    return Service(functions, names, schemas)


def _function(intent: Json, schemas: dict[str, JsonSchema], where: str) -> Function:
    required = member(intent, "required_slots", list, where)
    optional = member(intent, "optional_slots", dict, where)
    properties = {name: schemas[name] for name in [*required, *optional] if name in schemas}
    for name, default in optional.items():
        if name in properties and default != "dontcare" and "enum" in properties[name]:
            properties[name] = {**properties[name], "default": _typed(properties[name], default)}
    description = member(intent, "description", str, where)
    return Function(snake_case(member(intent, "name", str, where)), description, object_schema(properties, required))


def _schema(slot: Json) -> JsonSchema:
    described = {"description": slot.get("description", "")}
    values = slot.get("possible_values") or []
    if not slot.get("is_categorical") or not values:
        return {"type": "string", **described}
    if set(values) <= {"True", "False"}:
        return {"type": "boolean", **described}
    if all(value.isdecimal() for value in values):
        return {"type": "integer", **described, "enum": [int(value) for value in values]}
    return {"type": "string", **described, "enum": list(values)}


def _typed(schema: JsonSchema, value: str) -> Any:
    return int(value) if schema["type"] == "integer" else value
