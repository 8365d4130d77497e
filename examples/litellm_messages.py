"""Uses litellm over chat completions, Responses and Messages: a tool call and its result, and a stream.

Run `make serve` in one terminal. In another, run
`pip install litellm backoff fastapi orjson redis soundfile` (the last five are for its streams in Anthropic's words),
`export OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none`,
`export ANTHROPIC_BASE_URL=http://localhost:8000 ANTHROPIC_API_KEY=none` and `python3 examples/litellm_messages.py`.
"""

import asyncio
import json

import litellm

litellm.suppress_debug_info = True  # it prints a line for each model that it has no price of

parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
function = {"name": "get_weather", "description": "Weather of a city", "parameters": parameters}
tools = [{"type": "function", "function": function}]
for model in ("openai/functionary", "openai/responses/functionary", "anthropic/functionary"):
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    asked = litellm.completion(model, messages, tools=tools, tool_choice="required", max_tokens=60)
    (call,) = asked.choices[0].message.tool_calls
    print(call.function.name, call.function.arguments)
    messages += [asked.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}]
    stream = litellm.completion(model, messages, tools=tools, max_tokens=60, stream=True)
    print(*(chunk.choices[0].delta.content or "" for chunk in stream), sep="")


async def anthropics_words() -> None:
    """Ask in the words of Anthropic's API: litellm translates the request for the first model, not for the second."""
    tool = {"name": "get_weather", "description": "Weather of a city", "input_schema": parameters}
    for model in ("openai/functionary", "anthropic/functionary"):
        request = {"model": model, "max_tokens": 60, "tools": [tool]}
        messages = [{"role": "user", "content": "What is the weather in Paris?"}]
        create = litellm.anthropic.messages.acreate
        asked = await create(messages=messages, tool_choice={"type": "tool", "name": "get_weather"}, **request)
        call = next(block for block in asked["content"] if block["type"] == "tool_use")
        print(call["name"], call["input"])
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": "21 degrees"}
        messages += [{"role": "assistant", "content": asked["content"]}, {"role": "user", "content": [result]}]
        stream = await create(messages=messages, stream=True, **request)
        lines = b"".join([chunk async for chunk in stream]).decode().splitlines()
        events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
        print(*(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta"), sep="")


asyncio.run(anthropics_words())
