"""Uses the anthropic client: a tool call and its result, whole and streamed.

Run `make serve` in one terminal. In another, run `pip install anthropic`,
`export ANTHROPIC_BASE_URL=http://localhost:8000 ANTHROPIC_API_KEY=none` and `python3 examples/messages.py`.
"""

from anthropic import Anthropic

client = Anthropic()
schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
request = {
    "model": "functionary",
    "max_tokens": 60,
    "tools": [{"name": "get_weather", "description": "Weather of a city", "input_schema": schema}],
}
messages = [{"role": "user", "content": "What is the weather in Paris?"}]
asked = client.messages.create(messages=messages, tool_choice={"type": "tool", "name": "get_weather"}, **request)
call = next(block for block in asked.content if block.type == "tool_use")
print(call.name, call.input)

result = {"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees"}
messages += [{"role": "assistant", "content": asked.content}, {"role": "user", "content": [result]}]
with client.messages.stream(messages=messages, **request) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
print()
