"""Uses the current openai client: the model calls a function, gets the result and answers with a text.

Run `make serve` in one terminal. In another, run `pip install openai` and `python3 examples/weather.py`.
"""

import json

from openai import OpenAI

client = OpenAI(base_url="http://localhost:8000/v1", api_key="functionary")
tools = [
    {
        "type": "function",
        "function": {
            "name": "get_current_weather",
            "description": "Get the current weather",
            "parameters": {
                "type": "object",
                "properties": {"location": {"type": "string", "description": "The city, e.g. San Francisco"}},
                "required": ["location"],
            },
        },
    }
]
messages = [{"role": "user", "content": "What is the weather for Istanbul?"}]

answer = client.chat.completions.create(model="functionary", messages=messages, tools=tools, tool_choice="required")
call = answer.choices[0].message.tool_calls[0]
print(call.function.name, call.function.arguments)

location = json.loads(call.function.arguments)["location"]
messages += [
    answer.choices[0].message.model_dump(exclude_none=True),
    {
        "role": "tool",
        "tool_call_id": call.id,
        "content": json.dumps({"location": location, "celsius": 21, "sky": "clear"}),
    },
]
stream = client.chat.completions.create(
    model="functionary", messages=messages, tools=tools, tool_choice="none", max_tokens=60, stream=True
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
