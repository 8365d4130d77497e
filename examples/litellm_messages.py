"""Uses litellm over chat completions, Responses and Messages: a tool call and its result, and a stream.

Run `make serve` in one terminal. In another, run `pip install litellm`,
`export OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none`,
`export ANTHROPIC_BASE_URL=http://localhost:8000 ANTHROPIC_API_KEY=none` and `python3 examples/litellm_messages.py`.
"""

import asyncio

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
    for model in ("openai/functionary", "anthropic/functionary"):
        request = {"model": model, "max_tokens": 60, "messages": [{"role": "user", "content": "Hello!"}]}
        print((await litellm.anthropic.messages.acreate(**request))["content"][0]["text"])


asyncio.run(anthropics_words())
