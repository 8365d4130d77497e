"""The items of a Responses request: their fields, their kept form, and references to items of earlier responses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from apis.rules.fields import Shape, Size, by, either, tag
from apis.rules.response_tools import AnyResponseTool
from apis.rules.tools import MAX_TOOLS
from core.errors import RequestError

Json = dict[str, Any]
Find = Callable[[str], Sequence[Json] | None]

MAX_ITEMS = 4096
# Prefixes of ids, as OpenAI has them.
PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "mcp_call": "mcp",
    "additional_tools": "at",
}
_STATED = frozenset(("id", "status", "phase", "caller", "async"))  # fields of earlier answers that change nothing


class ItemText(Shape):
    """A part of a message's text."""

    unread = frozenset(("annotations", "logprobs", "prompt_cache_breakpoint"))

    type: Literal["input_text", "output_text", "text"] = Field(
        description="input_text in messages to the model, output_text in its own; images, audio and files are not "
        "supported."
    )
    text: str = Field(description="The text; may be empty.")


class ItemRefusal(Shape):
    """A part of a message of the model in which it declined a request."""

    type: Literal["refusal"] = Field(description="Always refusal.")
    refusal: str = Field(description="The model's text.")


_Text = Annotated[
    Annotated[str, Tag(tag("string"))]
    | Annotated[
        Annotated[
            list[
                Annotated[
                    Annotated[ItemText, Tag(tag("input_text"))]
                    | Annotated[ItemText, Tag(tag("output_text"))]
                    | Annotated[ItemText, Tag(tag("text"))]
                    | Annotated[ItemRefusal, Tag(tag("refusal"))],
                    by("type", "input_text", "output_text", "refusal", "text"),
                ]
            ],
            Size(),
        ],
        Tag(tag("array")),
    ],
    either("one of a string or array of objects"),
]


class MessageItem(Shape):
    """A message."""

    unread = _STATED | {"name"}

    type: Literal["message"] | None = Field("message", description="Always message; may be left out.")
    role: Literal["user", "assistant", "system", "developer"] = Field(
        description="The author. system and developer mean the same."
    )
    content: _Text = Field(description="The text, as a string or as parts; may be empty.")


class FunctionCallItem(Shape):
    """An earlier call of a function by the model."""

    unread = _STATED

    type: Literal["function_call"] = Field(description="Always function_call.")
    call_id: str = Field(description="The id of the call, which its result repeats.")
    name: str = Field(description="The name of the called function, which need not be declared in this request.")
    namespace: str | None = Field(None, description="The namespace of the function, if it is in one.")
    arguments: Any = Field(description="The arguments as JSON text. Other values are converted to JSON.")


class CustomCallItem(Shape):
    """An earlier call of a custom tool by the model."""

    unread = _STATED

    type: Literal["custom_tool_call"] = Field(description="Always custom_tool_call.")
    call_id: str = Field(description="The id of the call, which its result repeats.")
    name: str = Field(description="The name of the called tool, which need not be declared in this request.")
    namespace: str | None = Field(None, description="The namespace of the tool, if it is in one.")
    input: str = Field(description="The text that the model wrote.")


class CallOutputItem(Shape):
    """The result of an earlier call."""

    unread = _STATED | {"name", "namespace"}

    type: Literal["function_call_output", "custom_tool_call_output"] = Field(
        description="function_call_output or custom_tool_call_output."
    )
    call_id: str = Field(description="The id of the call.")
    output: _Text = Field(description="The result, as a string or as parts; may be empty.")


class ServerCallItem(Shape):
    """An earlier call that the server ran, and its result."""

    unread = _STATED | {"server_label", "approval_request_id"}

    type: Literal["mcp_call"] = Field(description="Always mcp_call.")
    name: str = Field(description="The name of the called tool, which need not be asked for in this request.")
    arguments: Any = Field(description="The arguments as JSON text. Other values are converted to JSON.")
    output: str | None = Field(None, description="The result.")
    error: Any = Field(None, description="In place of the result, why the call failed.")


class ReasoningPart(Shape):
    """A part of the model's reasoning, or of its summary."""

    type: Literal["reasoning_text", "summary_text", "text"] = Field(description="reasoning_text or summary_text.")
    text: str = Field(description="The text.")


class ReasoningItem(Shape):
    """What the model thought earlier. Ignored if the model's prompt format has no place for it."""

    unread = _STATED | {"encrypted_content"}

    type: Literal["reasoning"] = Field(description="Always reasoning.")
    summary: Annotated[list[ReasoningPart], Size()] | None = Field(
        None, description="A summary, which is read if there is no content."
    )
    content: Annotated[list[ReasoningPart], Size()] | None = Field(None, description="The reasoning.")


class ReferenceItem(Shape):
    """An item of a kept response, in place of the item itself."""

    type: Literal["item_reference"] | None = Field("item_reference", description="Always item_reference.")
    id: str = Field(description="The id of the item.")


class AdditionalToolsItem(Shape):
    """Further tools, which count like those in `tools`."""

    unread = _STATED | {"role"}

    type: Literal["additional_tools"] = Field(description="Always additional_tools.")
    tools: Annotated[list[AnyResponseTool], Size(MAX_TOOLS)] = Field(description="The tools.")


_TYPES = (
    *("message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"),
    *("mcp_call", "reasoning", "item_reference", "additional_tools"),
)


def _kind(value: object) -> str | None:
    """Return pydantic's tag for an item. Without a type, an item with a role is a message, else a reference."""
    if not isinstance(value, dict):
        return None
    kind = value.get("type")
    if kind is None and ("role" in value or "id" in value):
        kind = "message" if "role" in value else "item_reference"
    return tag(kind) if kind in _TYPES else None


AnyItem = Annotated[
    Annotated[MessageItem, Tag(tag("message"))]
    | Annotated[FunctionCallItem, Tag(tag("function_call"))]
    | Annotated[CallOutputItem, Tag(tag("function_call_output"))]
    | Annotated[CustomCallItem, Tag(tag("custom_tool_call"))]
    | Annotated[CallOutputItem, Tag(tag("custom_tool_call_output"))]
    | Annotated[ServerCallItem, Tag(tag("mcp_call"))]
    | Annotated[ReasoningItem, Tag(tag("reasoning"))]
    | Annotated[ReferenceItem, Tag(tag("item_reference"))]
    | Annotated[AdditionalToolsItem, Tag(tag("additional_tools"))],
    Discriminator(_kind, "no_member", " ".join(("type", *_TYPES))),
]
Input = Annotated[
    Annotated[str, Tag(tag("string"))] | Annotated[list[AnyItem], Size(MAX_ITEMS), Tag(tag("array"))],
    either("one of a string or array of objects"),
]


class ItemList(Shape):
    """Items that were checked before, as they are kept."""

    items: list[AnyItem]


def new_response_id(random: str) -> str:
    """Return the id of a response, which `item_id` repeats."""
    return f"resp_{random}"


def item_id(kind: str, response_id: str, place: str) -> str:
    """Return the id of an item of type `kind`. It contains the id of its response, so that a reference finds it."""
    return f"{PREFIXES[kind]}_{response_id.removeprefix('resp_')}_{place}"


def kept_items(given: str | Sequence[Json], response_id: str) -> tuple[Json, ...]:
    """Return the items of a checked request in the form in which they are kept and listed: complete, each with an id.

    Items that have an id keep it. Fields that the request's model does not read may have any JSON value.
    """
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    return tuple(_kept(item, f"in{position}", response_id) for position, item in enumerate(items))


def _type_of(item: Json) -> str:
    return str(item.get("type") or ("message" if "role" in item else "item_reference"))


def _kept(item: Json, place: str, response_id: str) -> Json:
    kind = _type_of(item)
    if kind == "item_reference":
        return item
    given, status = item.get("id"), item.get("status")
    own_id = given if given and isinstance(given, str) else item_id(kind, response_id, place)
    kept = {**item, "type": kind, "id": own_id}
    if kind not in ("reasoning", "additional_tools"):
        legal = ("completed", "incomplete", *(["failed"] if kind == "mcp_call" else []))
        kept["status"] = status if status in legal else "completed"
    if kind == "message":
        is_own = item["role"] == "assistant"
        content = item["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        kept["content"] = [_kept_part(part, is_own) for part in parts]
    return kept


def _kept_part(part: Json, is_own: bool) -> Json:
    if part["type"] == "refusal":
        return part
    if is_own:
        return {"annotations": [], "logprobs": [], **part, "type": "output_text"}
    return {"type": "input_text", "text": part["text"]}


def resolved(items: Iterable[Json], previous: Sequence[Json], find: Find) -> tuple[Json, ...]:
    """Return `items` with each reference replaced by its item, as other items of the same responses are kept.

    A reference to one of the items `previous`, which come before in any case, is left out. `find` returns the items of
    a kept response. Raises RequestError for a reference that leads nowhere.
    """
    known = {item["id"] for item in previous}
    responses: dict[str, Sequence[Json]] = {}  # response id -> its items
    found: list[Json] = []
    for item in items:
        if _type_of(item) != "item_reference":
            found.append(item)
        elif item["id"] not in known:
            found.append(_referred(item["id"], responses, find))
    return tuple(found)


def _referred(wanted: str, responses: dict[str, Sequence[Json]], find: Find) -> Json:
    parts = wanted.split("_")
    response_id = f"resp_{parts[1]}" if len(parts) == 3 else ""
    if response_id and response_id not in responses:
        responses[response_id] = find(response_id) or ()
    for item in responses.get(response_id, ()):
        if item["id"] == wanted:
            return item
    message = f"Item with id '{wanted[:100]}' not found. Items of responses with 'store' set to false are not kept; "
    raise RequestError(f"{message}send the item itself instead.", "input")
