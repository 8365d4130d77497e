"""Uses every part of Anthropic's Messages API with the official client, and prints what came as one JSON object."""

from __future__ import annotations

import json
from typing import Any

import anthropic
from pydantic import BaseModel


class Weather(BaseModel):
    city: str
    degrees: int


client = anthropic.Anthropic(max_retries=0)
found: dict[str, Any] = {}


def tool(name: str) -> dict[str, Any]:
    return {"name": name, "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def ask(text: str, **fields: Any) -> Any:
    return {"model": "functionary", "max_tokens": 90, "messages": [{"role": "user", "content": text}], **fields}


hello = ask("Hello!", system="Be short.")
found["text"] = client.messages.create(**hello).to_dict()
with client.messages.stream(**hello) as stream:
    found["events"] = [event.type for event in stream]
    found["text streamed"] = stream.get_final_message().to_dict()
found["raw events"] = [event.type for event in client.messages.create(**hello, stream=True)]
found["models"] = [model.to_dict(mode="json") for model in client.models.list()]
found["counted"] = client.messages.count_tokens(
    **{key: hello[key] for key in ("model", "messages", "system")}
).to_dict()

tools = [tool("get_weather"), tool("get_time")]
weather = ask("What is the weather in Paris?", tools=tools)
found["choices"] = {
    kind: client.messages.create(**weather, tool_choice={"type": kind}).to_dict() for kind in ("auto", "any", "none")
}
found["call"] = client.messages.create(**weather).to_dict()
with client.messages.stream(**weather) as stream:
    found["partial json"] = [event.partial_json for event in stream if event.type == "input_json"]
    found["call streamed"] = stream.get_final_message().to_dict()
found["called by name"] = client.messages.create(
    **weather, tool_choice={"type": "tool", "name": "get_weather"}
).to_dict()

(call,) = [block for block in found["call"]["content"] if block["type"] == "tool_use"]
result = {"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": "21 degrees"}]}
turns = [*weather["messages"], {"role": "assistant", "content": found["call"]["content"]}]
found["answer"] = client.messages.create(
    **{**weather, "messages": [*turns, {"role": "user", "content": [result]}]}
).to_dict()

parsed = client.messages.parse(**ask("Paris has 21 degrees."), output_format=Weather).parsed_output
found["parsed"] = parsed.model_dump()
found["stopped"] = client.messages.create(**ask("Hello!", stop_sequences=["there"])).to_dict()
found["cut"] = client.messages.create(**{**hello, "max_tokens": 1}).to_dict()

wrong: dict[str, Any] = {
    "BadRequestError": {"extra_body": {"temperature": 3}},
    "NotFoundError": {"model": "claude"},
    "BadRequestError of a tool": {"tools": [tool("f")], "tool_choice": {"type": "tool", "name": "g"}},
}
found["errors"] = {}
for name, fields in wrong.items():
    for stream in (False, True):
        try:
            client.messages.create(**{**hello, **fields}, stream=stream)
        except anthropic.APIStatusError as error:
            found["errors"][f"{name}{' streamed' * stream}"] = [type(error).__name__, error.body, error.request_id]
print(json.dumps(found))
